//! The project's formats on an ordinary drive, by the command `lose-lines drive` and `examples/power_cut`.

use anyhow::{Context as _, Result, ensure};

use crate::command::Cmd;
use crate::lab::Lab;
use crate::lab::lane::{Lane, Run};
use crate::report::Finding;
use lose_lines::architecture::Architecture;
use lose_lines::losses::seed_of_run;

const FORMATS: [&str; 3] = ["journal", "store", "recorder"];

/// The lanes, and how they check: on the host, which is fast, or by the kernel's own recovery.
const LANES: [(&str, &str); 3] = [
    ("drive/formats/ext4", "--states 200"),
    ("drive/formats/xfs", "--states 100 --fs xfs"),
    ("drive/formats/btrfs", "--states 100 --fs btrfs"),
];

pub(super) fn lanes() -> Vec<Lane> {
    let proves = "journal, store and recording have everything acknowledged in every tested state that a power cut leaves on an ordinary drive";
    let lane = |(name, options)| Lane::new(name, proves, move |lab| prepare(lab, options));
    LANES.into_iter().map(lane).collect()
}

fn prepare(lab: &Lab<'_>, options: &'static str) -> Result<Run> {
    lab.can_lose_lines(Architecture::X86)?;
    let tool = lab.tool()?;
    Cmd::cargo("build -p cachemaint-examples --example power_cut").read()?;
    let program = lab.sources.host.target_dir("debug").join("examples/power_cut");
    let program = program.to_str().context("the folder's name is no text")?.to_owned();
    Ok(Box::new(move |log| {
        for format in FORMATS {
            let mut summary = String::new();
            let ending = Cmd::new(tool.display().to_string())
                .words("drive --seed")
                .arg(seed_of_run().to_string())
                .words(options)
                .args(["--check", &format!("{program} {format} check"), &*program, format, "run"])
                .watch_in(log, |line| line.clone_into(&mut summary))?;
            ensure!(ending.code == Some(0), "{format} {options} {}: {summary}", ending.told);
        }
        Ok(Finding::from(FORMATS.len()))
    }))
}
