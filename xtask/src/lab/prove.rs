//! Proof that the lab can fail: each patch under `tests/lab/planted` is planted in a copy of the tree, and a lane must
//! turn red for the reason that the defect causes.
//!
//! The patch's line `Lane: NAME` names the lane, and `Shows: WORDS` quotes the lane or its log: a failure for another
//! reason proves nothing.

use anyhow::{Context as _, Result, bail, ensure};

use super::Lab;
use super::lane::{self, Lane};
use super::request::lanes;
use crate::host::Host;
use crate::planted::Planted;
use crate::report::{Finding, Report, Tests, timed};
use lose_lines::log::Log;

/// Plants each defect.
pub(crate) fn prove(host: &Host, report: &mut Report) -> Result<()> {
    prove_for(host, report, &[])
}

/// Plants each defect, or those for lanes with these prefixes. A row of the report shows whether the lane noticed it.
pub(super) fn prove_for(host: &Host, report: &mut Report, lanes: &[String]) -> Result<()> {
    let mut is_any = false;
    for patch in Planted::all(&host.root().join("tests/lab/planted"))? {
        let lane = patch.says("Lane")?;
        if !lanes.is_empty() && !lanes.iter().any(|wanted| lane.starts_with(wanted.as_str())) {
            continue;
        }
        is_any = true;
        let (finding, time) = timed(|| noticed(host, &patch));
        let finding =
            finding.unwrap_or_else(|why| Finding::failed(Tests::default(), format!("{why:#}")));
        report.record(&format!("prove/{}", patch.name()), "lab --prove", finding, time)?;
    }
    ensure!(is_any, "no defect is planted for {lanes:?}");
    Ok(())
}

/// Plants a defect, and runs the lane that must notice it.
fn noticed(host: &Host, patch: &Planted) -> Result<Finding> {
    let (wanted, complaint) = (patch.says("Lane")?, patch.says("Shows")?);
    let is_it = |lane: &Lane| lane.name == wanted;
    let selected: Vec<Lane> = lanes().into_iter().filter(is_it).collect();
    ensure!(!selected.is_empty(), "there is no lane {wanted}");
    // The copy is built in its own folder: its products must not be taken for the workspace's.
    let work = host.target_dir("lab-prove");
    let copy = work.join("tree");
    patch.plant(host, &copy)?;
    // A lane that cannot be prepared writes none, and must not be judged by that of a run before.
    Log::create(&work, wanted)?;
    let lab = Lab::of(host, &copy, work);
    let mut finding = None;
    lane::run_all(&lab, selected, |_name, found, _time| {
        finding = Some(found);
        Ok(())
    })?;
    let finding = finding.context("the lane came to nothing")?;
    let log = Log::read(lab.sources.work(), wanted);
    match finding.failure() {
        Some(why) if why.contains(complaint) || log.contains(complaint) => {
            Ok(Finding::passed(Tests::default()))
        }
        Some(why) => bail!("{wanted} failed for another reason: {why}"),
        None if finding.is_skipped() => Ok(finding),
        None => bail!("{wanted} does not notice it"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Planted, lanes};

    #[test]
    fn each_planted_defect_names_a_lane_and_what_it_says() {
        let lanes = lanes();
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for patch in Planted::all(&tree.join("tests/lab/planted")).unwrap() {
            let lane = patch.says("Lane").unwrap();
            assert!(lanes.iter().any(|known| known.name == lane), "{lane}");
            assert!(!patch.says("Shows").unwrap().is_empty());
        }
    }
}
