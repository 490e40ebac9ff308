//! Power cuts: the emulator is killed while the guest persists, and a fresh machine on the same
//! medium must find every record that the guest had acknowledged over its serial line.
//!
//! The kill takes the guest's page cache with it, so a record that only reached that is lost. An NVDIMM loses the lines
//! that were not written back and fenced, too, by a seed (the module `losses`). The power is cut at a random moment, and
//! before the n-th write-back, fence or store of the guest.

use core::time::Duration;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use cachemaint_lab_protocol::{Records, Request};

use super::{
    Architecture, Contents, DAX, DIRECTORY, Kit, Lane, Log, Machine, PMEM0, Setup, found_again_on,
    lane, make_ext4, make_namespace, mount_again, nvdimm,
};
use lose_lines::losses::{Cut, FENCE, Policy, STORE, WRITEBACK, random};
use lose_lines::machine::setup::drive;
use lose_lines::machine::suspended::Suspended;

/// Power cuts of a run: one at each kind of moment.
const CUTS: u32 = 4;

/// Records of a file: more than are persisted before the power is cut.
const RECORDS: u64 = 64 << 10;
/// The greatest number of acknowledgements before the power is cut, and of events.
const LATEST: u64 = 1500;

pub(super) fn lanes() -> Vec<Lane> {
    let x86 = |name, proves: &str, story| lane(Architecture::X86, name, proves, story);
    let cut = "every acknowledged record is there after a power cut";
    vec![
        x86("power-cut-pmem", &format!("NVDIMM: {cut}"), on_pmem),
        x86("power-cut-disk", &format!("disk, through msync: {cut}"), on_disk),
    ]
}

fn on_pmem(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = nvdimm(name, Some("mem-ctrl"), &contents);
    let (starts, machine) = Starts::new(kit, setup, log)?;
    let medium = Medium { device: PMEM0, options: DAX, allow_pages: false };
    let start = |setup: &Setup, log: &Log| starts.start(setup, log);
    cut_repeatedly(kit, &starts.setup, log, &medium, machine, start)
}

fn on_disk(kit: &Kit, name: &str, log: &mut Log) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let setup = Setup::new(name, "q35", "768M")
        .devices(["-drive", &drive(&contents.path, "if=virtio,cache=writeback")]);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, "/dev/vda", "")?;
    let medium = Medium { device: "/dev/vda", options: "", allow_pages: true };
    let start = |setup: &Setup, log: &Log| Machine::start(kit, setup, log);
    cut_repeatedly(kit, &setup, log, &medium, machine, start)
}

/// The medium of the records.
struct Medium {
    device: &'static str,
    options: &'static str,
    allow_pages: bool,
}

/// The machines of a lane on the same NVDIMM, one after each power cut. If the NVDIMM loses lines, they go on from a
/// suspended machine, in a tenth of the time of a boot.
pub(super) struct Starts<'k> {
    kit: &'k Kit,
    pub(super) setup: Setup,
    suspended: Option<Suspended>,
}

impl<'k> Starts<'k> {
    /// Makes a file system on an NVDIMM, and returns the first machine, in which it is mounted.
    pub(super) fn new(kit: &'k Kit, setup: Setup, log: &Log) -> Result<(Self, Machine)> {
        let make = |machine: &mut Machine| {
            make_namespace(machine, "region0", "fsdax")?;
            make_ext4(machine, PMEM0, DAX)
        };
        let setup = setup.policy(Policy::Any);
        if kit.plugin.is_none() {
            let mut machine = Machine::start(kit, &setup, log)?;
            make(&mut machine)?;
            return Ok((Self { kit, setup, suspended: None }, machine));
        }
        let suspended = Suspended::new(kit, &setup, log, |machine| {
            make(machine)?;
            machine.unmount(DIRECTORY)
        })?;
        let starts = Self { kit, setup, suspended: Some(suspended) };
        let mut machine = starts.start(&starts.setup, log)?;
        mount_again(&mut machine)?;
        Ok((starts, machine))
    }

    /// Returns the next machine, with this setup.
    pub(super) fn start(&self, setup: &Setup, log: &Log) -> Result<Machine> {
        match &self.suspended {
            Some(suspended) => suspended.resume(self.kit, setup, log),
            None => Machine::start(self.kit, setup, log),
        }
    }
}

/// The moment of a power cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// After so many acknowledgements.
    Acknowledged(u64),
    /// An event of the guest, if the machine loses lines.
    Event(Cut),
}

impl Moment {
    /// Returns the moment of a round of a lane, from 1: an acknowledgement, or an event up to the `latest` one.
    pub(super) fn of(kit: &Kit, name: &str, round: u32, latest: u64) -> Self {
        let number = 1 + random(name) % latest;
        let event = match round % 4 {
            2 => WRITEBACK,
            3 => FENCE,
            0 => STORE,
            _ => return Self::Acknowledged(number),
        };
        match kit.plugin {
            Some(_) => Self::Event(Cut { event, number }),
            None => Self::Acknowledged(number),
        }
    }

    /// Returns the setup of the machine whose power is cut at this moment.
    pub(super) fn prepare(self, setup: &Setup, round: u32) -> Setup {
        match self {
            Self::Acknowledged(_) => setup.round(round.into(), None),
            Self::Event(cut) => setup.round(round.into(), Some(cut)),
        }
    }

    /// Returns the machine whose power is cut at this moment, with the file system mounted. An opening for the check
    /// writes back too, and would count; so a cut at an event has a machine of its own.
    pub(super) fn arm(
        self,
        machine: Machine,
        starts: &Starts<'_>,
        round: u32,
        log: &Log,
    ) -> Result<Machine> {
        if matches!(self, Self::Acknowledged(_)) {
            return Ok(machine);
        }
        machine.power_off()?;
        let mut machine = starts.start(&self.prepare(&starts.setup, round), log)?;
        mount_again(&mut machine)?;
        Ok(machine)
    }

    /// Sends a request that is acknowledged record by record, the first one behind `there`, and lets the power be cut.
    /// Returns the number of the last record that was acknowledged, or `there`.
    pub(super) fn cut(self, machine: Machine, request: &Request, there: u64) -> Result<u64> {
        self.cut_later(machine, request, there, Duration::ZERO)
    }

    /// Lets the power be cut in the same manner, some time after the acknowledgement. It is for records that take so
    /// long that the power would always be cut in the midst of one.
    pub(super) fn cut_later(
        self,
        machine: Machine,
        request: &Request,
        there: u64,
        later: Duration,
    ) -> Result<u64> {
        let acknowledged = match self {
            Self::Acknowledged(number) => {
                machine.acknowledged_until_later_power_cut(request, there + number, later)?
            }
            Self::Event(_) => machine.acknowledged_until_event(request)?,
        };
        Ok(acknowledged.max(there))
    }
}

/// Has a machine persist, cuts its power at a random moment, and lets the next one check. Repeats this for each round.
fn cut_repeatedly(
    kit: &Kit,
    setup: &Setup,
    log: &mut Log,
    medium: &Medium,
    mut machine: Machine,
    start: impl Fn(&Setup, &Log) -> Result<Machine>,
) -> Result<()> {
    let moment_of = |round| match setup.losses {
        Some(_) => Moment::of(kit, &setup.name, round, LATEST),
        None => Moment::Acknowledged(1 + random(&setup.name) % LATEST),
    };
    let mut moment = Moment::Acknowledged(1 + random(&setup.name) % LATEST);
    for round in 1..=CUTS {
        let records = Records {
            path: format!("{DIRECTORY}/records"),
            seed: round.into(),
            count: RECORDS,
            allow_pages: medium.allow_pages,
        };
        let acknowledged = moment
            .cut(machine, &Request::PersistForever(records.clone()), 0)
            .with_context(|| format!("before power cut {round}, {moment:?}"))?;
        writeln!(log, "power cut {round}, {moment:?}, after {acknowledged} records")?;

        moment = moment_of(round + 1);
        machine = start(&moment.prepare(setup, round + 1), log)?;
        let acknowledged = Records { count: acknowledged, ..records };
        found_again_on(&mut machine, medium.device, medium.options, &acknowledged)
            .with_context(|| format!("after power cut {round}"))?;
        machine.remove(&acknowledged.path)?;
    }
    machine.power_off()
}
