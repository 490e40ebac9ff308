//! A machine as cargo's runner: it runs one program, with a DAX file system for its files.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cachemaint_lab_protocol::MARK;
use clap::Args;

use super::Lab;
use super::architecture::Architecture;
use super::machine::Machine;
use super::machines::{DIRECTORY, dax_machine};
use crate::host::Host;
use crate::log::Log;

/// The arguments of `cargo xtask machine`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Program {
    /// A program that needs no library (RUSTFLAGS=-Ctarget-feature=+crt-static).
    program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the program in a machine. Returns its exit code.
pub(crate) fn run(host: &Host, program: &Program) -> Result<u8> {
    let lab = Lab::new(host);
    let kit = lab.kit(Architecture::X86)?;
    let name = format!("machine-{}", std::process::id());
    let mut log = Log::create(lab.sources.work(), &name)?;
    let mut machine =
        dax_machine(&kit, &name, &[(String::from("/lab/program"), &program.program)], &mut log)?;
    let ended = run_in(&mut machine, program.arguments.clone());
    machine.power_off()?;
    show(&log)?;
    log.remove()?;
    match ended? {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => bail!("the program was ended by signal {signal:?}"),
    }
}

fn run_in(machine: &mut Machine, arguments: Vec<String>) -> Result<(Option<i32>, Option<i32>)> {
    // Few generated cases by default, because emulation is slow.
    let cases = std::env::var("PROPTEST_CASES").unwrap_or_else(|_unset| String::from("16"));
    let environment = [("TMPDIR", DIRECTORY), ("PROPTEST_CASES", &*cases)];
    machine.run_with("/lab/program", arguments, &environment)
}

/// Prints the machine's output, without the conversation.
fn show(log: &Log) -> Result<()> {
    let text = log.text()?;
    let mut out = io::stdout().lock();
    for line in text.lines().filter(|line| !line.contains(MARK)) {
        writeln!(out, "{line}").context("cannot print")?;
    }
    Ok(())
}
