//! A machine as cargo's runner: it runs one program, with a DAX file system for its files.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::Lab;
use super::architecture::Architecture;
use super::host_program::HostProgram;
use super::machine::Machine;
use super::machine::programs::{End, printed};
use super::machines::dax_machine;
use crate::host::Host;
use crate::log::Log;

/// The arguments of `cargo xtask machine`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Request {
    /// A program of this system, by its path or its name in PATH. Its libraries come along.
    program: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// A library that the program opens, or another program that it starts, with the libraries that this one needs.
    #[arg(long = "library", value_name = "FILE")]
    libraries: Vec<PathBuf>,
}

/// Runs the program in a machine. Returns its exit code.
pub(crate) fn run(host: &Host, request: &Request) -> Result<u8> {
    let program = HostProgram::find(&request.program, &request.libraries)?;
    let lab = Lab::new(host);
    let kit = lab.kit(Architecture::X86)?;
    let name = format!("machine-{}", std::process::id());
    let mut log = Log::create(lab.sources.work(), &name)?;
    let mut machine = dax_machine(&kit, &name, |files| program.add_to(files), &mut log)?;
    let before = log.len()?;
    let ended = run_in(&mut machine, &program, &request.arguments);
    write!(io::stdout(), "{}", printed(&log.since(before)?))?;
    machine.power_off()?;
    log.remove()?;
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
