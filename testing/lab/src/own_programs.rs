//! This project's own programs under `lose-lines files`: nothing that they acknowledged is lost. Without one of the last syncs
//! something is, and the report names it. Of two mirrors, either sync alone is not needed.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
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

static OWN: [Own; 5] = [
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
        run: "for i in 1 2 3; do \
              printf %600d $i | $BIN/cachemaint store save state n$i --create 1M > /dev/null; echo $i; done",
        check: "for i in $(cat $PRINTED); do \
                test \"$($BIN/cachemaint store load state n$i)\" = \"$(printf %600d $i)\" || \
                { echo n$i is lost; exit 1; }; done",
    },
];

/// The number of states: enough for a missing sync to be found.
const STATES: &str = "200";

/// The number of syncs that are left out, one at a time, until one is missed.
const LAST: usize = 6;

/// The words about a sync that is missing.
const MISSING: [&str; 2] = ["was not made durable", "was not followed by"];

/// Returns the lanes.
pub(crate) fn lanes() -> Vec<Lane> {
    let lane = |own: &'static Own| {
        Lane::new(format!("files/{}", own.name), move |lab| {
            Build::cargo("build -p cachemaint-cli").read()?;
            let examples = "build -p cachemaint-examples --example first --example power_cut";
            Build::cargo(examples).read()?;
            let (bin, tool) = (lab.host.target_dir("debug"), lab.tool()?);
            let log = lab.work().join(own.name);
            Ok(Box::new(move |to: &mut Transcript| own.test(&tool, &bin, &log, to)))
        })
    };
    OWN.iter().map(lane).collect()
}

impl Own {
    fn test(&self, tool: &Path, bin: &Path, log: &Path, to: &mut Transcript) -> Result<()> {
        let check = format!("/bin/sh -c {}", quoted(self.check));
        let (bin, path) = (format!("BIN={}", bin.display()), log.display().to_string());
        let common =
            ["files", "--model", "ext4", "--states", STATES, "--env", &bin, "--check", &check];
        let cmd = Cmd::new(tool.display().to_string()).args(common.map(str::to_owned));
        let record = ["--keep", &path, "--", "/bin/sh", "-ec", self.run];
        let ending = cmd.clone().args(record.map(str::to_owned)).watch_in(to, |_line| ())?;
        ensure!(ending.code == Some(0), "{}: {}", self.name, ending.told);
        let whole = load(log)?;
        let again = cmd.args(["--log", &path].map(str::to_owned));
        for number in 0..LAST {
            without(&whole, number)?.save(BufWriter::new(File::create(log)?))?;
            let mut is_named = false;
            let ending = again.watch_in(to, |line| {
                is_named |= MISSING.iter().any(|words| line.contains(words));
            })?;
            match ending.code {
                Some(0) => {}
                Some(1) if is_named => return Ok(()),
                _ => bail!("{} without a sync: {}, named: {is_named}", self.name, ending.told),
            }
        }
        bail!("{}: none of the last {LAST} syncs is missed", self.name)
    }
}

fn load(path: &Path) -> Result<Log> {
    Ok(Log::load(BufReader::new(File::open(path)?))?)
}

/// Returns a recording without a sync before the last line, counted backwards.
fn without(log: &Log, number: usize) -> Result<Log> {
    let mut log = log.clone();
    let is_line = |record: &Record| matches!(record.operation, Operation::Line(_));
    let line = log.records.iter().rposition(is_line).context("no line was printed")?;
    let is_sync = |record: &&Record| matches!(record.operation, Operation::Sync { .. });
    let mut syncs = log.records[..line].iter().rev().filter(is_sync);
    let call = syncs.nth(number).context("there are fewer syncs")?.call;
    let is_of = |record: &Record| {
        record.call == call
            && matches!(record.operation, Operation::Begin { .. } | Operation::Sync { .. })
    };
    log.records.retain(|record| !is_of(record));
    Ok(log)
}
