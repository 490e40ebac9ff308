//! The lab as a command, and as steps of the checks.

use std::io::{self, Write as _};

use anyhow::{Result, ensure};
use clap::Args;

use super::lane::{self, Lane};
use super::{Lab, c_programs, cpus, freestanding, last_events, libpmem, machines, prove, selftest};
use crate::host::Host;
use crate::report::Report;

/// The request of `cargo xtask lab`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Request {
    /// Lanes to run: listed names, or prefixes of them [default: all].
    lanes: Vec<String>,
    /// List the lanes and their claims.
    #[arg(long)]
    list: bool,
    /// Prove that the lab can fail: plant defects, and check that a lane notices each. If lanes are named, only theirs.
    #[arg(long, conflicts_with = "list")]
    prove: bool,
}

/// The lanes of each change: of another architecture, of a machine that loses lines, of an ordinary drive, of the plugin that
/// follows write-backs.
const OF_EACH_KIND: [&str; 4] = [
    "cpu/qemu-aarch64/neoverse-n1",
    "machine/x86_64/power-cut-pmem",
    "drive/formats/ext4",
    "flush/x86_64/max",
];

/// Returns all lanes.
pub(super) fn lanes() -> Vec<Lane> {
    let groups = [
        c_programs::lanes(),
        libpmem::lanes(),
        cpus::lanes(),
        freestanding::lanes(),
        last_events::lanes(),
        selftest::lanes(),
        machines::lanes(),
    ];
    groups.into_iter().flatten().collect()
}

/// Runs the lanes of each change.
pub(crate) fn one_of_each_kind(host: &Host, report: &mut Report) -> Result<()> {
    run_selected(host, report, &OF_EACH_KIND.map(str::to_owned))
}

/// Runs all lanes.
pub(crate) fn all(host: &Host, report: &mut Report) -> Result<()> {
    run_selected(host, report, &[])
}

/// Serves the request. Returns true if it was to run lanes.
pub(crate) fn run(host: &Host, report: &mut Report, request: &Request) -> Result<bool> {
    if request.list {
        list()?;
    } else if request.prove {
        prove::prove_for(host, report, &request.lanes)?;
    } else {
        run_selected(host, report, &request.lanes)?;
    }
    Ok(!request.list)
}

/// Prints the lanes with their claims.
fn list() -> Result<()> {
    let lanes = lanes();
    let width = lanes.iter().map(|lane| lane.name.len()).max().unwrap_or(0);
    for lane in lanes {
        writeln!(io::stdout(), "{:width$}  {}", lane.name, lane.proves)?;
    }
    Ok(())
}

fn run_selected(host: &Host, report: &mut Report, wanted: &[String]) -> Result<()> {
    let lanes = lanes();
    for name in wanted {
        ensure!(
            lanes.iter().any(|lane| lane.name.starts_with(name.as_str())),
            "no lane's name begins with {name}: `cargo xtask lab --list` names them"
        );
    }
    lane::run_all(&Lab::new(host), select(lanes, wanted), |name, finding, time| {
        report.record(name, &format!("lab {name}"), finding, time)
    })
}

/// Returns the wanted lanes, or all if none is. A whole name means that lane alone.
fn select(lanes: Vec<Lane>, wanted: &[String]) -> Vec<Lane> {
    let whole: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
    let is_wanted = |lane: &Lane| {
        let is_meant = |name: &String| {
            lane.name == *name || !whole.contains(name) && lane.name.starts_with(name.as_str())
        };
        wanted.is_empty() || wanted.iter().any(is_meant)
    };
    lanes.into_iter().filter(is_wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::{Lane, OF_EACH_KIND, lanes, select};
    use std::env;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_whole_name_is_one_lane_and_a_beginning_all_of_its_kind() {
        let selected = |wanted: &[&str]| -> Vec<String> {
            let lane =
                |name| Lane::new(name, "nothing", |_lab| Ok(Box::new(|_log| unreachable!())));
            let all = vec![lane("cpu/a"), lane("cpu/a,-b"), lane("machine/a")];
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            select(all, &wanted).into_iter().map(|lane| lane.name).collect()
        };
        assert_eq!(selected(&[]).len(), 3);
        assert_eq!(selected(&["cpu"]), ["cpu/a", "cpu/a,-b"]);
        assert_eq!(selected(&["cpu/a"]), ["cpu/a"]);
        assert_eq!(selected(&["cpu/a,", "machine"]), ["cpu/a,-b", "machine/a"]);
    }

    /// Each claim stands once, in its lane: the page is written from them by `cargo xtask bless`.
    #[test]
    fn the_page_of_the_lanes_has_their_claims() {
        let mut page = String::from(
            "# The lanes\n\nWritten from the lanes by `cargo xtask bless`.\n\n\
             | lanes | claim |\n|---|---|\n",
        );
        for row in lanes().chunk_by(|one, other| one.proves == other.proves) {
            let names: Vec<_> = row.iter().map(|lane| format!("`{}`", lane.name)).collect();
            let row = ["| ", &names.join("<br>"), " | ", &row[0].proves, " |\n"];
            page.extend(row);
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lab/LANES.md");
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), page, "review, then `cargo xtask bless`");
    }

    #[test]
    fn the_lanes_of_each_change_are_there() {
        let lanes: Vec<String> = lanes().into_iter().map(|lane| lane.name).collect();
        assert!(OF_EACH_KIND.iter().all(|name| lanes.iter().any(|lane| lane == name)));
    }
}
