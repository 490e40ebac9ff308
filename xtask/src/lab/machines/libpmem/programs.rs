//! Unmodified programs on ext4-DAX: they get the same results with each library, and each library reads the files that the
//! other one has left, also after a reset that loses dirty lines.

use core::time::Duration;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::super::{DIRECTORY, PMEM0, WITHOUT_COMMITS, emulated, lane_with, make_ext4};
use super::Client;
use crate::lab::Lab;
use crate::lab::lane::Lane;
use lose_lines::architecture::Architecture;
use lose_lines::kit::Kit;
use lose_lines::log::Log;
use lose_lines::machine::Machine;
use lose_lines::machine::programs::printed;
use lose_lines::program::HostProgram;

const NAME: &str = "machine/x86_64/libpmem-clients";
const PACKAGES: [&str; 4] = ["libpmemobj-dev", "libpmemlog-dev", "pmdk-tools", "fio"];

/// The file of the machine with the lines that a killed program had printed.
const PRINTED: &str = "/tmp/printed";

/// The lines of pmempool that differ between two pools.
const OF_ONE_POOL: [&str; 3] = ["UUID", "Creation Time", "Checksum"];

/// The jobs of fio: streaming stores and ordinary ones, each with a fence of its own.
const FIO: [&str; 2] = ["--filename=streamed --bs=4k --direct=1", "--filename=stored --bs=1k"];

pub(super) fn lanes() -> Vec<Lane> {
    let proves = "libpmemobj, libpmemlog, pmempool and fio get the same results with each library";
    let prepare = |lab: &Lab<'_>| {
        let transactions = lab.client(Architecture::X86, "transactions", "pmemobj", &PACKAGES)?;
        let log_client = lab.client(Architecture::X86, "log", "pmemlog", &PACKAGES)?;
        Ok((transactions, log_client, lab.libpmem(Architecture::X86)?))
    };
    vec![lane_with(Architecture::X86, NAME, proves, prepare, |kit, needed, _name, log| {
        let (transactions, log_client, ours) = needed;
        let programs = |first| Programs::new(transactions, log_client, first);
        compare(kit, &[programs(None)?, programs(Some(&**ours))?], log)
    })]
}

/// The programs with one library.
struct Programs {
    transactions: HostProgram,
    log: HostProgram,
    pmempool: HostProgram,
    fio: HostProgram,
}

/// A step of a program, its end, and its output without that which differs between two runs.
type Ended = (String, String);

impl Programs {
    fn new(transactions: &Client, log: &Client, first: Option<&Path>) -> Result<Self> {
        let root = &transactions.root;
        let packaged =
            |name: &str| HostProgram::packaged(root, &root.join("usr/bin").join(name), first);
        Ok(Self {
            transactions: transactions.with(first)?,
            log: log.with(first)?,
            pmempool: packaged("pmempool")?,
            fio: packaged("fio")?,
        })
    }

    /// Returns the programs that are killed at their work.
    const fn killed(&self) -> [&HostProgram; 2] {
        [&self.transactions, &self.log]
    }

    fn all(&self) -> [&HostProgram; 4] {
        [&self.transactions, &self.log, &self.pmempool, &self.fio]
    }
}

/// Runs all programs with each library in one machine. Returns the number of steps.
fn compare(kit: &Kit, libraries: &[Programs], log: &mut Log) -> Result<usize> {
    let mut setup = emulated(NAME);
    setup.limit = Duration::from_secs(3000);
    if let Some(losses) = &mut setup.losses {
        // The original relies on it.
        losses.more.push(String::from("user-streaming=evicting"));
        losses.allowed_unmapped = u64::MAX;
    }
    libraries.iter().flat_map(Programs::all).for_each(|program| program.add_to(&mut setup.files));
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, PMEM0, WITHOUT_COMMITS)?;
    let mut results: Vec<Vec<Ended>> = Vec::new();
    for library in libraries {
        let mut session =
            Session { machine, log, steps: Vec::new(), acknowledged: Default::default() };
        session.use_all(library)?;
        libraries.iter().try_for_each(|reader| session.read_all(reader))?;
        session.machine.reboot()?;
        session.machine.wait_for(PMEM0)?;
        session.machine.mount(PMEM0, DIRECTORY, WITHOUT_COMMITS)?;
        libraries
            .iter()
            .try_for_each(|reader| session.read_all(reader))
            .context("after a reset")?;
        session.remove_all()?;
        results.push(session.steps);
        machine = session.machine;
    }
    machine.power_off()?;
    for other in results.iter().skip(1) {
        for (one, other) in results[0].iter().zip(other) {
            ensure!(one == other, "{one:?} with one library, {other:?} with another one");
        }
    }
    Ok(results.iter().map(Vec::len).sum())
}

/// The programs' steps with one library.
struct Session<'a> {
    machine: Machine,
    log: &'a mut Log,
    steps: Vec<Ended>,
    /// The lines that the killed programs had printed.
    acknowledged: [String; 2],
}

impl Session<'_> {
    /// Makes all files.
    fn use_all(&mut self, programs: &Programs) -> Result<()> {
        for (program, work) in [(&programs.transactions, "update 20"), (&programs.log, "append 50")]
        {
            self.succeeds(program, "create")?;
            self.succeeds(program, work)?;
        }
        for (end, line) in [
            (0, "info transactions.pool"),
            (0, "info log.pool"),
            (0, "create --layout=empty --size=16M obj empty.pool"),
        ] {
            self.ends(&programs.pmempool, line, end)?;
        }
        for (number, program) in programs.killed().into_iter().enumerate() {
            self.acknowledged[number] = self.output(program, "killed 40", 0)?;
        }
        for job in FIO {
            self.succeeds(&programs.fio, &fio("libpmem --rw=randwrite --do_verify=1", job))?;
        }
        Ok(())
    }

    /// Reads all files by the programs with a library.
    fn read_all(&mut self, programs: &Programs) -> Result<()> {
        for (number, program) in programs.killed().into_iter().enumerate() {
            self.machine.write(PRINTED, &self.acknowledged[number])?;
            self.succeeds(program, "check")?;
        }
        for (line, code) in [
            ("check -v transactions.pool", 0),
            ("check -v log.pool", 0),
            ("check -v empty.pool", 0),
            ("check -v stored", 1),
        ] {
            self.ends(&programs.pmempool, line, code)?;
        }
        for job in FIO {
            // With its engine for libpmem, fio fills a file before it reads it.
            self.succeeds(&programs.fio, &fio("psync --rw=read", job))?;
        }
        Ok(())
    }

    fn remove_all(&mut self) -> Result<()> {
        for name in self.machine.list(DIRECTORY)? {
            if name != "lost+found" {
                self.machine.remove(&format!("{DIRECTORY}/{name}"))?;
            }
        }
        Ok(())
    }

    fn succeeds(&mut self, program: &HostProgram, line: &str) -> Result<()> {
        self.ends(program, line, 0)
    }

    /// Runs a program, which must end with this code, and keeps its output for the comparison.
    fn ends(&mut self, program: &HostProgram, line: &str, code: i32) -> Result<()> {
        let output = self.output(program, line, code)?;
        self.steps.push((line.to_owned(), comparable(&output)));
        Ok(())
    }

    /// Runs a program, which must end with this code. Returns its output.
    fn output(&mut self, program: &HostProgram, line: &str, code: i32) -> Result<String> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let before = self.log.position()?;
        let ended = self.machine.run_request(&program.run(&arguments, &[("PRINTED", PRINTED)]))?;
        let output = printed(&self.log.since(before)?);
        writeln!(self.log, "`{line}` ended with {ended:?}")?;
        ensure!(ended == (Some(code), None), "`{line}` ended with {ended:?}: {output}");
        Ok(output.replace('\r', ""))
    }
}

/// Returns the arguments of fio for an engine and a job: every block that it reads has a checksum.
fn fio(engine: &str, job: &str) -> String {
    format!(
        "--name=job --size=1M --sync=1 --thread --verify=crc32c --minimal {job} --ioengine={engine}"
    )
}

/// Returns the lines of an output that are the same in each run. fio's has times behind its first fields, of which the
/// fifth is the error.
fn comparable(output: &str) -> String {
    let line = |line: &str| -> Option<String> {
        if OF_ONE_POOL.iter().any(|word| line.contains(word)) {
            return None;
        }
        match line.split(';').collect::<Vec<_>>().as_slice() {
            [version @ "3", name, job, group, error, ..] => {
                Some([*version, name, job, group, error].join(";"))
            }
            _ => Some(line.to_owned()),
        }
    };
    output.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::comparable;

    #[test]
    fn the_same_lines_of_two_runs_are_compared() {
        let output = "POOL Header:\nUUID : 1-2\nCreation Time : now\nChecksum : 0x1 [OK]\nClass : 64\n\
                      3;fio-3.33;job;0;84;2048\n";
        assert_eq!(comparable(output), "POOL Header:\nClass : 64\n3;fio-3.33;job;0;84");
    }
}
