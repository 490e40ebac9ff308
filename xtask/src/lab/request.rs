//! The lab as a command, and as steps of the checks.

use anyhow::{Result, ensure};
use clap::Args;

use super::Lab;
use super::lane::{self, Lane};
use super::lanes::{lanes, list};
use super::programs::Built;
use super::prove;
use crate::host::Host;
use crate::report::Report;

/// The request of `cargo xtask lab`.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Request {
    /// Lanes to run: names as listed, or their beginnings [default: all except the long ones].
    lanes: Vec<String>,
    /// List the lanes and their claims.
    #[arg(long)]
    list: bool,
    /// Run the long lanes instead of the others.
    #[arg(long)]
    long: bool,
    /// Run the tests of its architecture on each CPU model, and every test on one of each architecture.
    #[arg(long, conflicts_with_all = ["list", "prove"])]
    whole: bool,
    /// Prove that the lab can fail: plant defects, and demand that a lane notices each; only for these lanes, if some
    /// are named.
    #[arg(long, conflicts_with_all = ["list", "long"])]
    prove: bool,
}

impl Request {
    /// Returns the lanes asked for. A whole name means that lane alone, a long one too.
    fn select(&self, lanes: Vec<Lane>) -> Vec<Lane> {
        let is_whole = |wanted: &String| lanes.iter().any(|lane| lane.name == *wanted);
        let (whole, beginnings): (Vec<&String>, Vec<&String>) =
            self.lanes.iter().partition(|wanted| is_whole(wanted));
        let is_selected = |lane: &Lane| {
            let is_begun = |wanted: &&String| lane.name.starts_with(wanted.as_str());
            let is_asked = self.lanes.is_empty() || beginnings.iter().any(is_begun);
            let is_usual = self.whole || self.long == lane.is_long;
            whole.contains(&&lane.name) || is_asked && is_usual
        };
        lanes.into_iter().filter(is_selected).collect()
    }
}

/// The lanes that run the library's tests.
const WHOLE: [&str; 3] = ["cpu/", "machine/riscv64/", "machine/x86_64/tests-on-dax"];

/// Runs the step `lab` of the checks: all lanes except the long ones.
pub(crate) fn lab(host: &Host, report: &mut Report) -> Result<()> {
    run_selected(host, report, &Request::default())
}

/// Runs the long lanes, but for those of a whole run.
pub(crate) fn lab_long(host: &Host, report: &mut Report) -> Result<()> {
    let is_of_whole = |lane: &Lane| WHOLE.iter().any(|begin| lane.name.starts_with(begin));
    let long = lanes().into_iter().filter(|lane| lane.is_long && !is_of_whole(lane));
    let lanes = long.map(|lane| lane.name).collect();
    run_selected(host, report, &Request { lanes, long: true, ..Request::default() })
}

/// Runs more tests on each CPU than its own.
pub(crate) fn lab_whole(host: &Host, report: &mut Report) -> Result<()> {
    let lanes = WHOLE.map(str::to_owned).to_vec();
    run_selected(host, report, &Request { lanes, whole: true, ..Request::default() })
}

/// Checks that each planted defect is noticed.
pub(crate) fn lab_prove(host: &Host, report: &mut Report) -> Result<()> {
    prove::prove(host, report, &[])
}

/// Serves the request. Returns true if it was to run lanes.
pub(crate) fn run(host: &Host, report: &mut Report, request: &Request) -> Result<bool> {
    if request.list {
        list()?;
        return Ok(false);
    }
    if request.prove {
        prove::prove(host, report, &request.lanes)?;
    } else {
        run_selected(host, report, request)?;
    }
    Ok(true)
}

fn run_selected(host: &Host, report: &mut Report, request: &Request) -> Result<()> {
    let lanes = lanes();
    for wanted in &request.lanes {
        let is_known = lanes.iter().any(|lane| lane.name.starts_with(wanted.as_str()));
        ensure!(
            is_known,
            "no lane's name begins with {wanted}: `cargo xtask lab --list` names them"
        );
    }
    let selected = request.select(lanes);
    let other = if request.long { "leave out --long" } else { "add --long, or name one whole" };
    ensure!(!selected.is_empty(), "there are lanes of this name, but of the other kind: {other}");
    let lab = Lab { programs: Built::new(request.whole), ..Lab::new(host) };
    lane::run_all(&lab, selected, |name, finding, time| {
        report.record(name, &format!("lab {name}"), finding, time)
    })
}

#[cfg(test)]
mod tests {
    use super::{Lane, Request};

    fn of(request: &Request) -> Vec<String> {
        let lane = |name| Lane::new(name, "nothing", |_lab| Ok(Box::new(|_log| unreachable!())));
        let all = vec![lane("cpu/a"), lane("cpu/a,-b"), lane("cpu/a,-c").long(), lane("machine/a")];
        request.select(all).into_iter().map(|lane| lane.name).collect()
    }

    fn selected(lanes: &[&str], long: bool) -> Vec<String> {
        let lanes = lanes.iter().map(|name| (*name).to_owned()).collect();
        of(&Request { lanes, long, ..Request::default() })
    }

    #[test]
    fn a_whole_run_has_the_long_lanes_too() {
        let lanes = vec!["cpu/".to_owned()];
        let whole = Request { lanes, whole: true, ..Request::default() };
        assert_eq!(of(&whole), ["cpu/a", "cpu/a,-b", "cpu/a,-c"]);
    }

    #[test]
    fn a_whole_name_is_one_lane_and_a_beginning_all_of_its_kind() {
        assert_eq!(selected(&[], false), ["cpu/a", "cpu/a,-b", "machine/a"]);
        assert_eq!(selected(&[], true), ["cpu/a,-c"]);
        assert_eq!(selected(&["cpu"], false), ["cpu/a", "cpu/a,-b"]);
        assert_eq!(selected(&["cpu/a"], false), ["cpu/a"]);
        assert_eq!(selected(&["cpu/a,-c", "machine"], false), ["cpu/a,-c", "machine/a"]);
        assert!(selected(&["none"], false).is_empty());
    }
}
