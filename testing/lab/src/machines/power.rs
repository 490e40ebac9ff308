//! Power cuts: the emulator is killed while the guest persists, and a fresh machine on the same
//! medium must find every record that the guest had acknowledged over its serial line.
//!
//! The kill takes the guest's page cache with it, so a record that only reached that is lost. An NVDIMM loses the lines
//! that were not written back and fenced, too, by a seed (the module `losses`). The power is cut at a random moment, and
//! before the n-th write-back, fence or store of the guest.

use core::time::Duration;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use cachemaint_lab_protocol::recording::{
    OF_A_SUB_BUFFER, Recorded, SHARDS, SUB_BUFFERS, When, oldest_of,
};
use cachemaint_lab_protocol::store::{Found, REGISTERS, STATE};
use cachemaint_lab_protocol::{Records, Request};

use super::requests::Library as _;
use super::{
    Contents, DAX, DIRECTORY, Kit, Machine, PMEM0, Setup, Stage, Transcript, at_least, count,
    expect_value, make_ext4, make_namespace, mount_again, nvdimm,
};
use lose_lines_machine::losses::{Cut, FENCE, STORE, WRITEBACK, random};
use lose_lines_machine::machine::setup::drive;
use lose_lines_machine::machine::suspended::Suspended;
use lose_lines_plugin::policy::Policy;

/// Power cuts of a lane: one at each kind of moment.
const CUTS: u32 = 4;

/// Numbered work that a machine does until its power is cut, each number acknowledged.
struct Work {
    /// The request in a round.
    request: fn(u32) -> Request,
    /// Checks what is there after a number was acknowledged in a round. Returns the number from which the work goes on.
    check: fn(&mut Machine, u32, u64) -> Result<u64>,
    /// The greatest number of acknowledgements before the power is cut, and of events.
    latest: u64,
    /// The greatest number of microseconds after the acknowledgement: a number may take so long that the power would
    /// always be cut in the midst of one.
    later: u64,
}

/// Records of a file in each round.
const RECORDS: Work = Work {
    request: |round| Request::PersistForever(records(round, false)),
    check: |machine, round, acknowledged| {
        machine.verify(&Records { count: acknowledged, ..records(round, false) })?;
        Ok(0)
    },
    latest: 1500,
    later: 1,
};

/// Records of a journal, which the next round goes on with.
const JOURNAL: Work = Work {
    request: |_| {
        Request::AppendForever(Records {
            seed: SEED,
            count: 32 << 10,
            path: PATH.to_owned(),
            allow_pages: false,
        })
    },
    check: |machine, _, acknowledged| {
        let document = machine.document(&format!("/init read-journal {PATH} {SEED}"))?;
        let intact = count(&document, "/intact")?;
        expect_value(&document, "/found", intact)?;
        expect_value(&document, "/recovered", intact)?;
        at_least(intact, acknowledged)?;
        Ok(intact)
    },
    latest: 1500,
    later: 1,
};

/// Two blobs of a store that are replaced at once. After a cut it has the last acknowledged transaction or the next one.
const STORE_OF_BLOBS: Work = Work {
    request: |_| Request::ReplaceForever { path: PATH.to_owned() },
    check: |machine, _, acknowledged| {
        let found = machine.document(&format!("/init read-store {PATH}"))?;
        let there = whole(&serde_json::from_value(found)?)?;
        at_least(there, acknowledged)?;
        ensure!(there <= acknowledged + 1, "{there} is there, and {acknowledged} was the last");
        Ok(there)
    },
    latest: 300,
    later: 20_000,
};

/// The journal or the store, and the seed of the journal's records.
const PATH: &str = "/mnt/work";
const SEED: u64 = 11;

/// The events after a power cut, as the library names them. Only a counter of the memory can show that it was one, and the
/// emulator's memory has none.
const AFTER_A_CUT: [&str; 2] = ["reboot of an unknown kind", "power loss or unsafe shutdown"];

pub(super) fn cut_records(stage: &Stage, log: &mut Transcript) -> Result<()> {
    cut_repeatedly(stage, log, &RECORDS)
}

pub(super) fn cut_journal(stage: &Stage, log: &mut Transcript) -> Result<()> {
    cut_repeatedly(stage, log, &JOURNAL)
}

pub(super) fn cut_store(stage: &Stage, log: &mut Transcript) -> Result<()> {
    cut_repeatedly(stage, log, &STORE_OF_BLOBS)
}

/// Returns the records of a round: more than are persisted before the power is cut.
fn records(round: u32, allow_pages: bool) -> Records {
    let path = format!("{DIRECTORY}/records-{round}");
    Records { path, seed: round.into(), count: 64 << 10, allow_pages }
}

/// Has a machine work, cuts its power, and lets the next one check. Repeats this for each round.
fn cut_repeatedly(
    Stage { kit, name, .. }: &Stage,
    log: &mut Transcript,
    work: &Work,
) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let (starts, mut machine) = Starts::new(kit, name, &contents, log)?;
    let mut there = 0;
    for round in 1..=CUTS {
        let moment = Moment::of(name, round, work.latest);
        if let Moment::Event(cut) = moment {
            // An opening for the check writes back too, and would count; so a cut at an event has a machine of its own.
            machine.power_off()?;
            machine = starts.start(round, Some(cut), log)?;
        }
        let (request, later) =
            ((work.request)(round), Duration::from_micros(random(name) % work.later));
        let acknowledged = match moment {
            Moment::Acknowledged(number) => {
                machine.acknowledged_until_power_cut(&request, there + number, later)
            }
            Moment::Event(_) => machine.acknowledged_until_event(&request),
        };
        let acknowledged = acknowledged.with_context(|| format!("before {moment:?}"))?.max(there);
        machine = starts.start(round, None, log)?;
        there = (work.check)(&mut machine, round, acknowledged)
            .with_context(|| format!("after {moment:?}"))?;
        writeln!(log, "{moment:?}: {acknowledged} acknowledged, then {there}")?;
    }
    machine.power_off()
}

/// The machines of a lane on the same NVDIMM, one after each power cut. They go on from a suspended machine, in a tenth of
/// the time of a boot.
struct Starts<'k> {
    kit: &'k Kit,
    setup: Setup,
    suspended: Suspended,
}

impl<'k> Starts<'k> {
    /// Makes a file system on an NVDIMM, and returns the first machine, in which it is mounted.
    fn new(
        kit: &'k Kit,
        name: &str,
        contents: &Contents,
        log: &Transcript,
    ) -> Result<(Self, Machine)> {
        let setup = nvdimm(name, Some("mem-ctrl"), contents).policy(Policy::Any);
        let suspended = Suspended::new(kit, &setup, log, |machine| {
            make_namespace(machine, "region0", "fsdax")?;
            make_ext4(machine, PMEM0, DAX)?;
            machine.unmount(DIRECTORY)
        })?;
        let starts = Self { kit, setup, suspended };
        let machine = starts.start(0, None, log)?;
        Ok((starts, machine))
    }

    /// Returns the next machine, whose power is cut at an event.
    fn start(&self, round: u32, cut: Option<Cut>, log: &Transcript) -> Result<Machine> {
        let setup = self.setup.round(round.into(), cut);
        let mut machine = self.suspended.resume(self.kit, &setup, log)?;
        mount_again(&mut machine)?;
        Ok(machine)
    }
}

/// The moment of a power cut.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so many acknowledgements.
    Acknowledged(u64),
    /// An event of the guest.
    Event(Cut),
}

impl Moment {
    /// Returns the moment of a round of a lane, from 1: an acknowledgement, or an event up to the `latest` one.
    fn of(name: &str, round: u32, latest: u64) -> Self {
        let number = 1 + random(name) % latest;
        match round % 4 {
            2 => Self::Event(Cut { event: WRITEBACK, number }),
            3 => Self::Event(Cut { event: FENCE, number }),
            0 => Self::Event(Cut { event: STORE, number }),
            _ => Self::Acknowledged(number),
        }
    }
}

/// Returns the number of the transaction that a store has, of which nothing is missing.
fn whole(found: &Found) -> Result<u64> {
    ensure!(AFTER_A_CUT.contains(&found.origin.as_str()), "{} had happened", found.origin);
    ensure!(found.damaged == Some(Vec::new()), "damaged: {:?}", found.damaged);
    let [state, registers] = [STATE, REGISTERS].map(|name| found.blobs.get(name).copied());
    ensure!(state == registers, "{STATE} is of {state:?}, {REGISTERS} of {registers:?}");
    state.context("nothing is there")
}

/// The number of events of a shard after which each further event overwrites another.
const LAP: u64 = SUB_BUFFERS as u64 * OF_A_SUB_BUFFER;

/// Cuts the power while events are recorded over the oldest ones, for each durability.
pub(super) fn cut_recordings(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    let contents = Contents::new(kit, name)?;
    let (starts, mut machine) = Starts::new(kit, name, &contents, log)?;
    for (round, when) in (1..).zip(When::ALL) {
        let path = format!("{DIRECTORY}/{when}");
        let request = Request::RecordForever { path: path.clone(), when };
        let enough = LAP + 1 + random(name) % (2 * LAP);
        let promised = machine
            .acknowledged_until_power_cut(&request, enough, Duration::ZERO)
            .with_context(|| format!("{when}: before the power cut"))?;
        machine = starts.start(round, None, log)?;
        let there = machine.document(&format!("/init read-recording {path}"))?;
        let there: Recorded = serde_json::from_value(there)?;
        writeln!(log, "{when}: {promised} events promised, {there:?} there")?;
        ensure!(there.shards.len() == SHARDS as usize, "{path} has other shards: {there:?}");
        for shard in &there.shards {
            at_least(shard.next, promised)?;
            let oldest = oldest_of(promised);
            ensure!(shard.first <= oldest, "{when}: events from {oldest} on are lost: {shard:?}");
        }
    }
    machine.power_off()
}

pub(super) fn cut_on_disk(Stage { kit, name, .. }: &Stage, log: &mut Transcript) -> Result<()> {
    const DISK: &str = "/dev/vda";
    let contents = Contents::new(kit, name)?;
    let setup = Setup::new(name, "q35", "768M")
        .devices(["-drive", &drive(&contents.path, "if=virtio,cache=writeback")]);
    let mut machine = Machine::start(kit, &setup, log)?;
    make_ext4(&mut machine, DISK, "")?;
    for round in 1..=CUTS {
        let written = records(round, true);
        let enough = 1 + random(name) % RECORDS.latest;
        let request = Request::PersistForever(written.clone());
        let acknowledged =
            machine.acknowledged_until_power_cut(&request, enough, Duration::ZERO)?;
        writeln!(log, "power cut {round} after {acknowledged} records")?;
        machine = Machine::start(kit, &setup.round(round.into(), None), log)?;
        machine.wait_for(DISK)?;
        machine.mount(DISK, DIRECTORY, "")?;
        machine.verify(&Records { count: acknowledged, ..written })?;
    }
    machine.power_off()
}
