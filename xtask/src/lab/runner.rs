//! A machine for one program of this system, as cargo's runner too: it has a DAX file system for its files. It may lose
//! power and lines.

use core::time::Duration;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::Lab;
use super::architecture::Architecture;
use super::crashes::moments::{Counted, Counts, Moment};
use super::crashes::words::words;
use super::crashes::{CrashTest, cut_all};
use super::host_program::HostProgram;
use super::kit::Kit;
use super::losses::{Policy, checked_seed_of_run};
use super::machine::Machine;
use super::machine::programs::{End, printed};
use super::machines::dax_machine;
use crate::command::quoted;
use crate::host::Host;
use crate::log::Log;

/// The arguments of `cargo xtask machine`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Request {
    /// A program of this system, by its path or its name in PATH. The program's libraries come along.
    program: PathBuf,
    /// The program's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// A library that the program opens, or another program that it starts, with the libraries that this one needs.
    #[arg(long = "library", value_name = "FILE")]
    libraries: Vec<PathBuf>,
    /// Cut the power again and again while the program runs, lose lines that it has not written back, and check the
    /// state that is left. The exit code is 1 if a check failed.
    #[arg(long)]
    lose: bool,
    #[command(flatten)]
    losing: Losing,
}

#[derive(Args, Clone, Debug)]
struct Losing {
    /// The number of power cuts, each on a new file system. The last one comes after the end of the program.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), requires = "lose")]
    cuts: u64,
    /// The seed of the moments and the losses [default: a random number].
    #[arg(long, requires = "lose")]
    seed: Option<u64>,
    /// Cut the power once, at this moment: writeback:N, fence:N, store:N, ms:MILLISECONDS or end. The seed is that of
    /// the losses.
    #[arg(long, value_name = "MOMENT", requires = "lose", conflicts_with = "cuts")]
    cut: Option<Moment>,
    /// The dirty lines that a crash keeps.
    #[arg(long, value_enum, default_value_t = Policy::Half, requires = "lose")]
    policy: Policy,
    /// Take a streaming store for one that is written back, so that a fence makes it persistent, as PMDK does.
    #[arg(long, requires = "lose")]
    streaming: bool,
    /// The arguments with which the program checks the state, in quotes: exit code 0 if the state is right. The variable
    /// PRINTED names a file with the lines that the program had printed [default: the same arguments].
    #[arg(long, value_name = "ARGUMENTS", requires = "lose", allow_hyphen_values = true)]
    check: Option<String>,
    /// The time after which the program, or the check, is taken for one that never ends.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "lose")]
    limit: u64,
}

/// Runs the program in a machine. Returns its exit code, or that of the crash test.
pub(crate) fn run(host: &Host, request: &Request) -> Result<u8> {
    let program = HostProgram::find(&request.program, &request.libraries)?;
    let check = request.losing.check.as_deref().map(words).transpose();
    let check = check.map_err(|why| anyhow!("--check: {why}"))?;
    let lab = Lab::new(host);
    let kit = lab.kit(Architecture::X86)?;
    let name = format!("machine-{}", std::process::id());
    let mut log = Log::create(lab.sources.work(), &name)?;
    let code = if request.lose {
        run_losing(&kit, &name, &program, request, check, &log)
    } else {
        run_once(&kit, &name, &program, request, &mut log)
    };
    match code {
        Ok(code) => log.remove().map(|()| code),
        Err(why) => Err(anyhow!("{why:#}\nthe log of the machines is {}", log.path())),
    }
}

fn run_once(
    kit: &Kit,
    name: &str,
    program: &HostProgram,
    request: &Request,
    log: &mut Log,
) -> Result<u8> {
    let mut machine = dax_machine(kit, name, |files| program.add_to(files), log)?;
    let before = log.len()?;
    let ended = run_in(&mut machine, program, &request.arguments);
    write!(io::stdout(), "{}", printed(&log.since(before)?))?;
    machine.power_off()?;
    match ended? {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => bail!("the program was ended by signal {signal}"),
        (None, None) => bail!("the program ended without an exit code"),
    }
}

fn run_in(machine: &mut Machine, program: &HostProgram, arguments: &[String]) -> Result<End> {
    // Few generated cases by default, because emulation is slow.
    let cases = std::env::var("PROPTEST_CASES").unwrap_or_else(|_unset| String::from("16"));
    machine.run_request(&program.run(arguments, &[("PROPTEST_CASES", &*cases)]))
}

fn run_losing(
    kit: &Kit,
    name: &str,
    program: &HostProgram,
    request: &Request,
    check: Option<Vec<String>>,
    log: &Log,
) -> Result<u8> {
    let Losing { cuts, seed, cut, policy, streaming, limit, .. } = &request.losing;
    let arguments = request.arguments.clone();
    let test = CrashTest {
        kit,
        name,
        program,
        prepare: Vec::new(),
        check: check.unwrap_or_else(|| arguments.clone()),
        arguments,
        policy: *policy,
        is_streaming_evicting: *streaming,
        limit: Duration::from_secs(*limit),
    };
    let mut out = io::stdout();
    let seed = seed.map_or_else(checked_seed_of_run, Ok)?;
    let made = test.make(log)?;
    let cuts = if let Some(moment) = cut {
        vec![(*moment, seed)]
    } else {
        let counted = test.count(&made, log)?;
        writeln!(out, "{}; seed {seed}", found(&counted))?;
        counted.cuts(*cuts, seed)
    };
    let repeating = |moment, seed| request.repeating(moment, seed);
    let summary = cut_all(&test, &made, &cuts, repeating, (log, &mut out))?;
    Ok(u8::from(summary.failures > 0))
}

/// Returns the findings of a run that was not cut.
fn found(counted: &Counted) -> String {
    let Counted { counts: Counts { writebacks, fences, stores }, time, has_ended } = counted;
    let end = if *has_ended { "it succeeded" } else { "it did not end, and was ended" };
    let seconds = time.as_secs_f64();
    let counts = match (writebacks + fences, stores) {
        (0, 0) => String::from(
            "it made no store to persistent memory and no write-back: the power is cut at random times, which no seed \
             repeats exactly",
        ),
        (0, stores) => format!(
            "it made {stores} stores to persistent memory and no write-back: the power is cut after some of the stores"
        ),
        _ => format!("it made {writebacks} write-backs, and {fences} fences that complete some"),
    };
    format!("without a cut, {end} after {seconds:.1} s; {counts}")
}

impl Request {
    /// Returns the command that repeats one cut.
    fn repeating(&self, moment: Moment, seed: u64) -> String {
        let Losing { policy, streaming, check, limit, .. } = &self.losing;
        let mut line = format!(
            "cargo xtask machine --lose --cut {moment} --seed {seed} --policy {policy} --limit {limit}"
        );
        let mut add = |word: &str| {
            line.push(' ');
            line.push_str(&quoted(word));
        };
        if *streaming {
            add("--streaming");
        }
        for library in &self.libraries {
            add("--library");
            add(&library.display().to_string());
        }
        if let Some(check) = check {
            add("--check");
            add(check);
        }
        add(&self.program.display().to_string());
        self.arguments.iter().for_each(|argument| add(argument));
        line
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::losses::{Cut, FENCE};
    use super::{Losing, Moment, Request, words};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        request: Request,
    }

    fn parsed(line: &str) -> Request {
        let line = line.strip_prefix("cargo xtask ").unwrap();
        Line::try_parse_from(words(line).unwrap()).unwrap().request
    }

    #[test]
    fn the_command_that_repeats_a_cut_is_the_same_test() {
        let request = parsed(
            "cargo xtask machine --lose --cuts 3 --policy torn --streaming --limit 7 --library /lib/a.so --check '-c \"a b\"' \
             /bin/sh -c 'c --cut d' --lose",
        );
        let moment = Moment::At(Cut { event: FENCE, number: 3 });
        let again = parsed(&request.repeating(moment, 5));
        assert_eq!((again.losing.cut, again.losing.seed), (Some(moment), Some(5)));
        let kept = |request: &Request| {
            let Request { program, arguments, libraries, lose, losing } = request.clone();
            let Losing { policy, streaming, check, limit, .. } = losing;
            (program, arguments, libraries, lose, policy, streaming, check, limit)
        };
        assert_eq!(kept(&again), kept(&request));
        assert_eq!(again.arguments, ["-c", "c --cut d", "--lose"]);
    }
}
