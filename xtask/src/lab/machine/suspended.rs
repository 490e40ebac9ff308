//! A machine that is suspended into a file, and the machines that go on from there without a boot.
//!
//! The file has the machine without the memory that is a file of its own, as an NVDIMM's contents (QEMU,
//! `qapi/migration.json`, `x-ignore-shared`). So each of these machines finds that memory as the one before has left it:
//! for its kernel the power was cut and came back while no file system was mounted. The agent gives each of them another
//! boot for programs to see, and other random numbers.

use core::time::Duration;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::Request;
use serde_json::{Value, json};

use super::Machine;
use super::setup::Setup;
use crate::lab::emulator::value;
use crate::lab::kit::Kit;
use crate::lab::temporary::Temporary;
use crate::log::Log;

/// The time that the emulator may take for a step.
const PATIENCE: Duration = Duration::from_secs(120);

pub(in crate::lab) struct Suspended(Temporary);

impl Suspended {
    /// Starts a machine, has it prepared, and suspends it.
    pub(in crate::lab) fn new(
        kit: &Kit,
        setup: &Setup,
        log: &Log,
        prepare: impl FnOnce(&mut Machine) -> Result<()>,
    ) -> Result<Self> {
        let state = Temporary::new(kit.work.join(format!("{}.state", setup.name)));
        let (mut machine, mut control) = controlled(kit, setup, log, &[])?;
        machine.boot = machine.greeting().context("the machine did not come up")?;
        prepare(&mut machine)?;
        control.do_with_file("migrate", &state)?;
        control.wait_for("query-migrate", "completed")?;
        machine.end()?;
        Ok(Self(state))
    }

    /// Returns a machine that goes on from there. The memory has lost lines before.
    pub(in crate::lab) fn resume(&self, kit: &Kit, setup: &Setup, log: &Log) -> Result<Machine> {
        let mut setup = setup.clone();
        if let Some(losses) = &mut setup.losses {
            losses.more.push(String::from("resumed=yes"));
        }
        let (mut machine, mut control) = controlled(kit, &setup, log, &["-incoming", "defer"])?;
        control.do_with_file("migrate-incoming", &self.0)?;
        control.wait_for("query-status", "running")?;
        let [first, second, entropy] = [(); 3].map(|()| RandomState::new().build_hasher().finish());
        let digits = format!("{first:016x}{second:016x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        let boot = parts.join("-");
        machine.send(&Request::Resume { boot: boot.clone(), entropy })?;
        machine.boot = machine.greeting().context("the machine did not go on")?;
        ensure!(machine.boot == boot, "the machine is in boot {}, not {boot}", machine.boot);
        Ok(machine)
    }
}

/// Starts a machine with a connection to its emulator.
fn controlled(kit: &Kit, setup: &Setup, log: &Log, words: &[&str]) -> Result<(Machine, Control)> {
    let socket = Temporary::new(kit.work.join(format!("{}.control", setup.name)));
    let server = format!("unix:{},server=on,wait=off", value(socket.display()));
    let size = setup.memory.split(',').next().unwrap_or_default();
    // The first object must be the largest: QEMU takes offsets in a memory for offsets in all of it when it forgets the
    // dirty pages (`cpu_physical_memory_sync_dirty_bitmap` of version 10, with the accelerator TCG).
    let ram = format!("memory-backend-ram,id=ram,size={size}");
    let words = ["-object", &ram, "-qmp", &server].into_iter().chain(words.iter().copied());
    let mut setup = setup.clone();
    setup.board.push_str(",memory-backend=ram");
    setup.devices.splice(0..0, words.map(str::to_owned));
    let machine = Machine::launch(kit, &setup, log)?;
    Ok((machine, Control::connect(&socket)?))
}

/// The emulator's control socket (QEMU, `docs/interop/qmp-spec.rst`).
struct Control(BufReader<UnixStream>);

impl Control {
    fn connect(socket: &Path) -> Result<Self> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(error).context("the emulator has no control socket");
                }
                Err(_absent) => thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control = Self(BufReader::new(stream));
        control.execute("qmp_capabilities", &json!({}))?;
        Ok(control)
    }

    /// Has a command executed. Returns its result.
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{line}").context("the emulator does not listen")?;
        loop {
            let mut answer = String::new();
            self.0.read_line(&mut answer).context("the emulator does not answer")?;
            let mut answer: Value =
                serde_json::from_str(&answer).with_context(|| format!("{command}: {answer:?}"))?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }

    /// Has a command executed that moves a machine, without shared memory, to or from a file.
    fn do_with_file(&mut self, command: &str, file: &Path) -> Result<()> {
        let without_shared = json!([{ "capability": "x-ignore-shared", "state": true }]);
        self.execute("migrate-set-capabilities", &json!({ "capabilities": without_shared }))?;
        self.execute(command, &json!({ "uri": format!("file:{}", file.display()) }))?;
        Ok(())
    }

    /// Waits until a query has this status.
    fn wait_for(&mut self, query: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.execute(query, &json!({}))?;
            if answer.get("status").and_then(Value::as_str) == Some(wanted) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{query} is not {wanted}: {answer}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
