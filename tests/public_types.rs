//! Each public type: threads can share it, or the reason why they cannot. The four error types have one shape.
//!
//! The list of the interface (`tests/interface.txt`) names the types, so that a new one is added here too.

#![cfg(all(target_os = "linux", not(cachemaint_loom)))]

use cachemaint::medium::Memory;
use core::convert::Infallible;
use core::error::Error;
use core::fmt::{Debug, Display};
use std::io;

fn is_send<T: Send>() {}
fn is_send_and_sync<T: Send + Sync>() {}

/// Checks that each type is `Send` and `Sync`.
macro_rules! shared {
    ($($type:ty,)*) => { $(is_send_and_sync::<$type>();)* };
}

/// Checks that a type does not implement a trait: otherwise two impls fit, and this does not compile.
macro_rules! is_not {
    ($trait:path: $($type:ty,)*) => {$({
        trait Here<Case> {
            fn is_here() {}
        }
        struct Implemented;
        impl<T: ?Sized> Here<()> for T {}
        impl<T: ?Sized + $trait> Here<Implemented> for T {}
        <$type as Here<_>>::is_here();
    })*};
}

#[test]
fn types_without_files_are_shared_by_threads() {
    shared! {
        cachemaint::Cache, cachemaint::Point, cachemaint::Unsupported,
        cachemaint::aliasing::Aliasing,
        cachemaint::cache::Builder, cachemaint::cache::Destination,
        cachemaint::cache::Choice, cachemaint::cache::Missing,
        cachemaint::coherence::Coherent,
        cachemaint::coherence::GranuleTooLarge,
        cachemaint::coherence::Padded<u64, 64>,
        cachemaint::instruction::Discard, cachemaint::instruction::Effect, cachemaint::instruction::Facts,
        cachemaint::instruction::Instruction,
        cachemaint::medium::Bytes<'_>, cachemaint::medium::Granularity, Memory<'_>,
        cachemaint::medium::OpenError<Memory<'_>, Infallible>,
        cachemaint::medium::WriterLock, cachemaint::medium::WriterLockGuard,
        cachemaint::survival::Backing, cachemaint::survival::Certainty, cachemaint::survival::Domain,
        cachemaint::survival::Event, cachemaint::survival::Stage, cachemaint::survival::Statement<bool>,
        cachemaint::survival::Survival,
    }
    // A fence completes the write-backs of its own thread alone.
    is_not! { Send: cachemaint::cache::Batch<'_>, }
    is_not! { Sync: cachemaint::cache::Batch<'_>, }
}

#[test]
fn reports_are_shared_by_threads() {
    shared! {
        cachemaint::report::Availability, cachemaint::report::CacheKind, cachemaint::report::CacheLevel,
        cachemaint::report::Confidential,
        cachemaint::report::CpuIdentity, cachemaint::report::CpuReport, cachemaint::report::Effects,
        cachemaint::report::Evidence, cachemaint::report::Handling, cachemaint::report::HostReport,
        cachemaint::report::Hypervisor, cachemaint::report::HypervisorKind, cachemaint::report::Isolation,
        cachemaint::report::Kernel, cachemaint::report::Line, cachemaint::report::MemoryDevice,
        cachemaint::report::Migration, cachemaint::report::Note,
        cachemaint::report::PmemRegion, cachemaint::report::Refused, cachemaint::report::RefusedBy,
        cachemaint::report::Signatures, cachemaint::report::Status, cachemaint::report::Surroundings,
        cachemaint::report::Text<8>, cachemaint::report::Unknown,
        cachemaint::report::WholeCacheOperation,
    }
}

#[test]
fn files_are_shared_by_threads() {
    shared! {
        cachemaint::DaxFile, cachemaint::dax::DaxView, cachemaint::dax::BadBlocks,
        cachemaint::dax::Error, cachemaint::dax::ErrorKind, cachemaint::dax::Extent,
        cachemaint::dax::FaultHandler, cachemaint::dax::Guarantee, cachemaint::dax::Lock,
        cachemaint::dax::Options, cachemaint::dax::Persister, cachemaint::dax::Placement,
        cachemaint::dax::PreadFile,
    }
    // A fence completes the write-backs of its own thread alone.
    is_not! { Send: cachemaint::dax::Batch<'_>, }
    is_not! { Sync: cachemaint::dax::Batch<'_>, }
}

#[test]
fn journals_are_shared_by_threads() {
    use cachemaint::journal::{
        Damage, Error, ErrorKind, Fault, FormatError, Group, Identity, Opened, Options, Position,
        Progress, Reader, Record, Records, Recovered, Salvage, Salvaged,
    };
    shared! {
        cachemaint::Journal<Memory<'_>>, Damage, Error<Infallible>, ErrorKind<Infallible>, Fault, FormatError<Infallible>, Group, Identity,
        Opened, Position, Progress, Reader<Memory<'_>>, Record, Records<'_, Memory<'_>>, Recovered,
        Salvage<'_, Memory<'_>>, Salvaged,
    }
    // Options can have a closure that is called with the progress of the opening, on the thread that opens.
    is_not! { Send: Options<'_>, }
    is_not! { Sync: Options<'_>, }
}

#[test]
fn recordings_are_shared_by_threads() {
    use cachemaint::recorder::{
        Clock, Cursor, Description, Durability, Error, ErrorKind, Event, EventTable, Events,
        Fields, Found, Identity, Merged, Mode, Options, Reader, Skipped, SkippedKind, TimeSource,
        Value, Within, Writer,
    };
    shared! {
        cachemaint::Recorder<Memory<'_>>, Clock, Cursor, Description, Durability, Error<Infallible>,
        ErrorKind<Infallible>, Event<'_>, EventTable, Events<'_, Memory<'_>>, Fields<'_>, Found<'_>, Identity,
        Merged<Vec<Events<'_, Memory<'_>>>>, Mode, Options, Reader<Memory<'_>>, Skipped, SkippedKind,
        TimeSource, Value<'_>, Within<Infallible>,
    }
    // A shard has one writer, which one thread at a time uses.
    is_send::<Writer<'_, Memory<'_>>>();
    is_not! { Sync: Writer<'_, Memory<'_>>, }
}

#[test]
fn stores_are_shared_by_threads() {
    use cachemaint::preserve::{
        Attributes, Blob, BlobWriter, Boot, Capacity, Content, Damage, Entries, Error, ErrorKind,
        Identity, Info, Name, Opened, Options, Origin, Part, Progress, Reader, Region, Snapshot,
        Stamp, Transaction, Verdict, Verification, Verify,
    };
    shared! {
        cachemaint::Store<Memory<'_>>, Attributes<'_>, Blob<Memory<'_>>, Boot, Capacity, Content,
        Damage, Entries<Infallible>, Error<Infallible>, ErrorKind<Infallible>, Identity, Info,
        Name, Opened, Origin, Part, Progress, Reader<Memory<'_>>, Region<Memory<'_>>,
        Snapshot<'_, Memory<'_>>, Stamp, Verdict, Verification, Verify,
    }
    // A fence completes the write-backs of its own thread alone. Options can have a closure that is called with the
    // progress of the opening, on the thread that opens.
    is_not! { Send: Transaction<'_, Memory<'_>>, BlobWriter<'_, Memory<'_>>, Options<'_>, }
    is_not! { Sync: Transaction<'_, Memory<'_>>, BlobWriter<'_, Memory<'_>>, Options<'_>, }
}

#[test]
fn types_of_the_simulator_are_shared_by_threads() {
    use cachemaint::sim::mutation::{Mutant, Mutation, Setting, Survivors, Weakening};
    use cachemaint::sim::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex};
    use cachemaint::sim::waste::{Kind, Waste};
    use cachemaint::sim::{
        Cause, Effort, Exploration, Failure, Histories, Killed, Life, Machine, Model, Mortal,
        NoReplay, Notes, Replay, Searched, SimMedium, Simulation, Violation, ViolationKind,
    };
    shared! {
        Mutant, Mutation, Setting, Survivors, Weakening, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex<u8>, Kind, Waste,
        Cause, Effort, Exploration, Failure, Histories, Killed, Machine, Model, Mortal<'_>,
        NoReplay, Notes<'_, u8>, Replay, Searched<u8>, SimMedium, Simulation, Violation, ViolationKind,
    }
    // Operations of a life come from a list that one thread at a time takes them from.
    is_not! { Sync: Life<'_, Empty>, }
}

/// A structure without operations.
struct Empty;

impl cachemaint::sim::Structure for Empty {
    type Operation = u8;
    type Model = ();

    fn operations(&self, (): &()) -> Vec<u8> {
        Vec::new()
    }

    fn live(
        &self,
        _life: &cachemaint::sim::Life<'_, Self>,
    ) -> Result<(), cachemaint::sim::Violation> {
        Ok(())
    }
}

#[test]
fn types_of_privileged_code_are_shared_by_cpus() {
    use cachemaint::whole_cache::{NotOnAllCpus, OwnCaches, Participant, WholeCache};
    shared! { NotOnAllCpus, OwnCaches, Participant, WholeCache, }
}

/// The shape of an error: its kind has a text, and it passes through [`io::Error`].
fn is_error<E, K>(_kind: fn(&E) -> &K)
where
    E: Error + Clone + PartialEq + Into<K> + Into<io::Error>,
    K: Display + Debug + Clone + PartialEq,
{
}

/// An error is made from its kind, and from that of an opening.
fn is_made_from<K, E: From<K> + From<cachemaint::medium::OpenError<(), E>>>() {}

#[test]
fn errors_of_all_modules_have_one_shape() {
    use cachemaint::{dax, journal, preserve, recorder};
    is_error(dax::Error::kind);
    is_error(journal::Error::<dax::Error>::kind);
    is_error(preserve::Error::<dax::Error>::kind);
    is_error(recorder::Error::<dax::Error>::kind);

    is_made_from::<journal::ErrorKind<Infallible>, journal::Error<Infallible>>();
    is_made_from::<preserve::ErrorKind<Infallible>, preserve::Error<Infallible>>();
    is_made_from::<recorder::ErrorKind<Infallible>, recorder::Error<Infallible>>();

    let error = journal::Error::from(journal::ErrorKind::<Infallible>::Replaced);
    assert_eq!(error.to_string(), error.kind().to_string());
}

/// The list is not part of the package. A type with several names is in this file by one of them.
#[test]
fn each_type_of_the_interface_is_in_this_file() {
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interface.txt");
    let Ok(list) = std::fs::read_to_string(list) else { return };
    let this = include_str!("public_types.rs");
    let words: Vec<&str> = this.split(|c: char| !c.is_alphanumeric()).collect();
    let mut types = 0;
    for line in list.lines() {
        let kinds = ["pub struct ", "pub enum "];
        let Some((_, path)) = kinds.iter().find_map(|kind| line.split_once(kind)) else { continue };
        let path = path.split(['<', '(']).next().unwrap_or(path);
        let name = path.rsplit("::").next().unwrap_or(path).trim();
        types += 1;
        assert!(words.contains(&name), "{line}: not in tests/public_types.rs");
    }
    assert!(types > 150, "{types}");
}
