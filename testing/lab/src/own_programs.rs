//! This project's own programs under `lose-lines files`: nothing that they acknowledged is lost. Without the last sync before
//! their last acknowledgement something is, and the report names it.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::command::{Cmd, quoted};
use lose_lines_machine::transcript::Transcript;
use lose_lines_states::{Log, Operation, Record};
use xtask::command::Cmd as Build;

use crate::lane::Lane;

/// A program and its check, as lines for the shell. `BIN` is the folder of compiled programs.
struct Own {
    name: &'static str,
    run: &'static str,
    check: &'static str,
}

const OWN: [Own; 5] = [
    Own {
        name: "first",
        run: "printf \"%s\\n\" one two three | $BIN/examples/first",
        check: "found=$($BIN/examples/first < /dev/null); grep ^durable: $PRINTED | while read -r _ line; do \
                echo \"$found\" | grep -qx \"found: $line\" || { echo $line is lost; exit 1; }; done",
    },
    Own {
        name: "journal",
        run: "$BIN/examples/power_cut journal run",
        check: "$BIN/examples/power_cut journal check",
    },
    Own {
        name: "store",
        run: "$BIN/examples/power_cut store run",
        check: "$BIN/examples/power_cut store check",
    },
    Own {
        name: "recorder",
        run: "$BIN/examples/power_cut recorder run",
        check: "$BIN/examples/power_cut recorder check",
    },
    Own {
        name: "save",
        run: "for i in 1 2 3; do echo $i | $BIN/cachemaint store save state n$i --create 1M > /dev/null; echo $i; done",
        check: "for i in $(cat $PRINTED); do test \"$($BIN/cachemaint store load state n$i)\" = $i || \
                { echo n$i is lost; exit 1; }; done",
    },
];

/// The numbers of states: enough that a missing sync is found, and few of formats whose check takes long.
const STATES: &str = "200";

/// Returns the lanes.
pub(crate) fn lanes() -> Vec<Lane> {
    let lane = |own: &'static Own| {
        Lane::new(format!("files/{}", own.name), |lab| {
            Build::cargo("build -p cachemaint-cli").read()?;
            let examples = "build -p cachemaint-examples --example first --example power_cut";
            Build::cargo(examples).read()?;
            let (bin, tool) = (lab.host.target_dir("debug"), lab.tool()?);
            let log = lab.work().join(own.name);
            Ok(Box::new(move |to: &mut Transcript| own.test(&tool, &bin, log, to)))
        })
    };
    OWN.iter().map(lane).collect()
}

impl Own {
    fn test(&self, tool: &Path, bin: &Path, log: PathBuf, to: &mut Transcript) -> Result<()> {
        let check = format!("/bin/sh -c {}", quoted(self.check));
        let (bin, path) = (format!("BIN={}", bin.display()), log.display().to_string());
        let common =
            ["files", "--model", "ext4", "--states", STATES, "--env", &bin, "--check", &check];
        let cmd = Cmd::new(tool.display().to_string()).args(common.map(str::to_owned));
        let record = ["--keep", &path, "--", "/bin/sh", "-ec", self.run];
        let ending = cmd.clone().args(record.map(str::to_owned)).watch_in(to, |_line| ())?;
        ensure!(ending.code == Some(0), "{}: {}", self.name, ending.told);
        leave_out(&log)?;
        let mut is_named = false;
        let again = cmd.args(["--log", &path].map(str::to_owned));
        let ending = again.watch_in(to, |line| {
            is_named |=
                line.contains("was not made durable") || line.contains("was not followed by");
        })?;
        ensure!(ending.code == Some(1), "{} without a sync: {}", self.name, ending.told);
        ensure!(is_named, "{}: the missing sync is not named", self.name);
        Ok(())
    }
}

/// Leaves out the last sync before the last line of a recording.
fn leave_out(path: &Path) -> Result<()> {
    let mut log = Log::load(BufReader::new(File::open(path)?))?;
    let is_line = |record: &Record| matches!(record.operation, Operation::Line(_));
    let line = log.records.iter().rposition(is_line).context("no line was printed")?;
    let is_sync = |record: &Record| matches!(record.operation, Operation::Sync { .. });
    let sync = log.records[..line].iter().rposition(is_sync).context("there is no sync")?;
    log.records.remove(sync);
    Ok(log.save(BufWriter::new(File::create(path)?))?)
}
