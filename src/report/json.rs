//! The reports as data (feature `serde`): the shape that the module's documentation fixes.
//!
//! `arch` names nothing but `core`, so what belongs to it is serialised here.

use super::cpu::{Availability, Choice, CpuReport, Note, Status};
use super::virtualization::Effects;
use crate::aliasing::Aliasing;
use crate::arch::{Effect, Missing, Point, Unsupported, WholeCacheOperation};
use crate::cpu::{
    Confidential, Hypervisor, HypervisorKind, Identity, Isolation, Line, Midr, Signatures, Text,
};
use crate::survival::Statement;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Grows when a name goes or changes its meaning.
const SCHEMA: u32 = 2;

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Coherency => "coherency",
            Self::Persistence => "persistence",
            Self::DeepPersistence => "deep_persistence",
        })
    }
}

impl Serialize for Effect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Writeback => "writeback",
            Self::WritebackInvalidate => "writeback_invalidate",
        })
    }
}

/// A word, whatever it carries.
impl Serialize for Missing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Operation => "operation",
            Self::Instruction => "instruction",
            Self::Erratum => "erratum",
            Self::Point => "point",
            Self::LineSize(_) => "line_size",
            Self::Permission => "permission",
            Self::Choice => "choice",
        })
    }
}

impl Serialize for Unsupported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Unsupported", 3)?;
        refusal(&mut object, *self)?;
        object.end()
    }
}

fn refusal<S: SerializeStruct>(object: &mut S, refusal: Unsupported) -> Result<(), S::Error> {
    object.serialize_field("missing", &refusal.missing)?;
    object.serialize_field("reason", refusal.reason)?;
    if let Missing::LineSize(bytes) = refusal.missing {
        object.serialize_field("found_bytes", &bytes)?;
    }
    object.serialize_field("advice", refusal.advice)
}

/// An answer that says first whether there is one.
struct Answer<T>(Result<T, Unsupported>);

trait Fields {
    fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error>;
}

impl<T: Fields> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Answer", 6)?;
        object.serialize_field("available", &self.0.is_ok())?;
        match &self.0 {
            Ok(answer) => answer.fields(&mut object)?,
            Err(why) => refusal(&mut object, *why)?,
        }
        object.end()
    }
}

impl Fields for Choice {
    fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field("instruction", self.instruction.name)?;
        object.serialize_field("effect", &self.instruction.effect)?;
        object.serialize_field("before", &self.before)?;
        object.serialize_field("after", self.after)?;
        object.serialize_field("source", self.instruction.source)
    }
}

impl Fields for Line {
    fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field("bytes", &self.size.bytes())?;
        object.serialize_field("granule_bytes", &self.granule)?;
        object.serialize_field("source", self.source)
    }
}

impl Fields for WholeCacheOperation {
    fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field("instruction", self.writeback_invalidate)?;
        object.serialize_field("source", self.source)
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Answer(Ok(*self)).serialize(serializer)
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Answer(Ok(*self)).serialize(serializer)
    }
}

impl Serialize for Availability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Availability", 9)?;
        object.serialize_field("name", self.instruction.name)?;
        object.serialize_field("effect", &self.instruction.effect)?;
        object.serialize_field("point", &self.instruction.point)?;
        object.serialize_field("requires", self.instruction.requires)?;
        object.serialize_field("source", self.instruction.source)?;
        let (status, why) = match self.status {
            Status::Present => ("present", None),
            Status::Absent(why) => ("absent", Some(why)),
            Status::Refused(why) => ("refused", Some(why)),
        };
        object.serialize_field("status", status)?;
        if let Some(why) = why {
            refusal(&mut object, why)?;
        }
        object.end()
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Identity", 8)?;
        match self {
            Self::X86 { vendor, family, model, stepping, brand } => {
                object.serialize_field("kind", "x86")?;
                object.serialize_field("vendor", vendor)?;
                object.serialize_field("family", family)?;
                object.serialize_field("model", model)?;
                object.serialize_field("stepping", stepping)?;
                object.serialize_field("brand", brand)?;
            }
            Self::Aarch64 { midr } => {
                object.serialize_field("kind", "aarch64")?;
                object.serialize_field("midr", &midr.map(|Midr(value)| value))?;
                if let Some(midr) = midr {
                    object.serialize_field("implementer", &midr.implementer())?;
                    object.serialize_field("implementer_name", &midr.implementer_name())?;
                    object.serialize_field("part", &midr.part())?;
                    object.serialize_field("part_name", &midr.part_name())?;
                    object.serialize_field("variant", &midr.variant())?;
                    object.serialize_field("revision", &midr.revision())?;
                }
            }
            Self::RiscV { vendor, architecture, implementation } => {
                object.serialize_field("kind", "riscv")?;
                object.serialize_field("vendor", vendor)?;
                object.serialize_field("architecture", architecture)?;
                object.serialize_field("implementation", implementation)?;
            }
            Self::Platform { name } => {
                object.serialize_field("kind", "platform")?;
                object.serialize_field("name", name)?;
            }
            Self::Unknown => object.serialize_field("kind", "unknown")?,
        }
        object.end()
    }
}

impl Serialize for HypervisorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Signatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for Hypervisor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Hypervisor", 5)?;
        match self {
            Self::Present { signatures, is_root } => {
                object.serialize_field("present", &Some(true))?;
                object.serialize_field("name", &self.name())?;
                object.serialize_field("signature", signatures.first().map_or("", Text::as_str))?;
                object.serialize_field("signatures", signatures)?;
                object.serialize_field("is_root", is_root)?;
            }
            Self::Absent => object.serialize_field("present", &Some(false))?,
            Self::Unknown => {
                object.serialize_field("present", &None::<bool>)?;
                object.serialize_field("reason", "the architecture does not tell user mode")?;
                object.serialize_field("advice", "see surroundings of a host's report")?;
            }
        }
        object.end()
    }
}

impl Serialize for Isolation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Vbs => "vbs",
            Self::SevSnp => "sev_snp",
            Self::Tdx => "tdx",
            Self::Other(_) => "other",
        })
    }
}

impl Serialize for Confidential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Confidential", 4)?;
        match self {
            Self::Tdx => object.serialize_field("kind", "tdx")?,
            Self::HyperV { isolation, paravisor } => {
                object.serialize_field("kind", "hyper_v")?;
                object.serialize_field("isolation", isolation)?;
                object.serialize_field("paravisor", paravisor)?;
            }
            Self::SevOffered { es, snp, coherent } => {
                object.serialize_field("kind", "sev_offered")?;
                object.serialize_field("es", es)?;
                object.serialize_field("snp", snp)?;
                object.serialize_field("coherent", coherent)?;
            }
            Self::Unknown => object.serialize_field("kind", "unknown")?,
        }
        object.end()
    }
}

impl<T: Serialize> Serialize for Statement<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Statement", 4)?;
        object.serialize_field("is", &self.is)?;
        object.serialize_field("text", self.text)?;
        object.serialize_field("source", self.source)?;
        object.serialize_field("certainty", &self.certainty)?;
        object.end()
    }
}

impl Serialize for Effects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Effects", 3)?;
        object.serialize_field("whole_cache", &self.whole_cache)?;
        object.serialize_field("lines", &self.lines)?;
        object.serialize_field("migration", &self.migration)?;
        object.end()
    }
}

impl Serialize for Aliasing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Aliasing", 3)?;
        match self {
            Self::No { source } => {
                object.serialize_field("aliases", &Some(false))?;
                object.serialize_field("source", source)?;
            }
            Self::Yes { source } => {
                object.serialize_field("aliases", &Some(true))?;
                object.serialize_field("source", source)?;
            }
            Self::Unknown { reason, advice } => {
                object.serialize_field("aliases", &None::<bool>)?;
                object.serialize_field("reason", reason)?;
                object.serialize_field("advice", advice)?;
            }
        }
        object.end()
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Note", 2)?;
        object.serialize_field("text", self.text)?;
        object.serialize_field("source", self.source)?;
        object.end()
    }
}

/// A list whose length is not known before.
struct List<F>(F);

impl<I: Iterator<Item: Serialize>, F: Fn() -> I> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

struct Writebacks<'a>(&'a CpuReport);

impl Serialize for Writebacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Writebacks", 3)?;
        let answer = |point| Answer(self.0.writeback(point));
        object.serialize_field("coherency", &answer(Point::Coherency))?;
        object.serialize_field("persistence", &answer(Point::Persistence))?;
        object.serialize_field("deep_persistence", &answer(Point::DeepPersistence))?;
        object.end()
    }
}

impl CpuReport {
    fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field("architecture", self.architecture())?;
        object.serialize_field("identity", &self.identity())?;
        object.serialize_field("line", &Answer(self.line()))?;
        object.serialize_field("instructions", &List(|| self.instructions()))?;
        object.serialize_field("writeback", &Writebacks(self))?;
        object.serialize_field("invalidate", &Answer(self.invalidate()))?;
        let accepts = self.accepts_coherency_as_persistence();
        object.serialize_field("accepts_coherency_as_persistence", &accepts)?;
        object.serialize_field("aliasing", &self.aliasing())?;
        object.serialize_field("hypervisor", &self.hypervisor())?;
        object.serialize_field("confidential", &self.confidential())?;
        object.serialize_field("effects", &self.virtualization().effects())?;
        let whole_cache = Answer(self.can_invalidate_memory().map_err(|refused| refused.why));
        object.serialize_field("whole_cache", &whole_cache)?;
        object.serialize_field("notes", &List(|| self.notes()))
    }
}

impl Serialize for CpuReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("CpuReport", 14)?;
        object.serialize_field("schema", &SCHEMA)?;
        self.fields(&mut object)?;
        object.end()
    }
}

#[cfg(feature = "std")]
mod host {
    use super::{CpuReport, SCHEMA};
    use crate::report::{
        Backing, Event, HostReport, Progress, Statement, Surroundings, Survival, survival,
        survival_statement,
    };
    use crate::system::nvdimm::Region;
    use crate::system::tree::Unknown;
    use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

    impl Serialize for Region {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_struct("Region", 13)?;
            object.serialize_field("name", &self.name)?;
            object.serialize_field("provider", &self.provider)?;
            object.serialize_field("size", &self.size)?;
            object.serialize_field("available_size", &self.available_size)?;
            object.serialize_field("domain", &self.domain)?;
            object.serialize_field("meaning", self.domain.meaning())?;
            object.serialize_field("is_claim", &true)?;
            object.serialize_field("read_only", &self.read_only)?;
            object.serialize_field("deep_flush", &self.deep_flush)?;
            object.serialize_field("numa_node", &self.numa_node)?;
            object.serialize_field("bad_bytes", &self.bad_bytes)?;
            object.serialize_field("devices", &self.devices)?;
            object.serialize_field("evidence", &self.evidence)?;
            object.end()
        }
    }

    /// The CPU's part of a host's report: without a schema of its own.
    struct Cpu<'a>(&'a CpuReport);

    impl Serialize for Cpu<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_struct("CpuReport", 12)?;
            self.0.fields(&mut object)?;
            object.end()
        }
    }

    /// A value under its name, or why it is not known.
    struct Known<'a, T>(&'static str, &'a Result<T, Unknown>);

    impl<T: Serialize> Serialize for Known<'_, T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.1 {
                Ok(value) => {
                    let mut object = serializer.serialize_struct("Known", 1)?;
                    object.serialize_field(self.0, value)?;
                    object.end()
                }
                Err(why) => why.serialize(serializer),
            }
        }
    }

    /// The list; if it is empty, with what that means.
    struct Regions<'a>(&'a HostReport);

    impl Serialize for Regions<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Ok(regions) = &self.0.regions else {
                return Known("list", &self.0.regions).serialize(serializer);
            };
            let mut object = serializer.serialize_struct("Regions", 3)?;
            object.serialize_field("list", regions)?;
            if let Some(why) = self.0.no_region() {
                object.serialize_field("reason", &why.reason)?;
                object.serialize_field("advice", why.advice)?;
            }
            object.end()
        }
    }

    /// The whole table.
    struct Table;

    impl Serialize for Table {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_map(Some(Backing::ALL.len()))?;
            for backing in Backing::ALL {
                object.serialize_entry(&backing, &TableRow(backing))?;
            }
            object.end()
        }
    }

    struct TableRow(Backing);

    impl Serialize for TableRow {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_map(Some(Event::ALL.len()))?;
            for event in Event::ALL {
                object.serialize_entry(&event, &Cell(self.0, event))?;
            }
            object.end()
        }
    }

    struct Cell(Backing, Event);

    impl Serialize for Cell {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let answer = |progress| survival(self.0, progress, self.1);
            let mut object = serializer.serialize_struct("Cell", 4)?;
            object.serialize_field("stored", &answer(Progress::Stored))?;
            object.serialize_field("persisted", &answer(Progress::Persisted))?;
            object.serialize_field("deep_persisted", &answer(Progress::DeepPersisted))?;
            object.serialize_field("reasons", &Reasons(self.0, self.1))?;
            object.end()
        }
    }

    struct Reasons(Backing, Event);

    impl Serialize for Reasons {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let reason = |progress| Reason(survival_statement(self.0, progress, self.1));
            let mut object = serializer.serialize_struct("Reasons", 3)?;
            object.serialize_field("stored", &reason(Progress::Stored))?;
            object.serialize_field("persisted", &reason(Progress::Persisted))?;
            object.serialize_field("deep_persisted", &reason(Progress::DeepPersisted))?;
            object.end()
        }
    }

    /// A statement whose answer stands elsewhere.
    struct Reason(Statement<Survival>);

    impl Serialize for Reason {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_struct("Reason", 3)?;
            object.serialize_field("text", self.0.text)?;
            object.serialize_field("source", self.0.source)?;
            object.serialize_field("certainty", &self.0.certainty)?;
            object.end()
        }
    }

    impl Serialize for Surroundings {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_struct("Surroundings", 5)?;
            object.serialize_field("hypervisor", &self.hypervisor)?;
            object.serialize_field("is_dom0", &self.is_dom0)?;
            object.serialize_field("is_metal", &self.is_metal)?;
            object.serialize_field("confidential", &self.confidential)?;
            object.serialize_field("container", &self.container)?;
            object.end()
        }
    }

    impl Serialize for HostReport {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut object = serializer.serialize_struct("HostReport", 13)?;
            object.serialize_field("schema", &SCHEMA)?;
            object.serialize_field("cpu", &Cpu(&self.cpu))?;
            match &self.kernel {
                Ok(kernel) => object.serialize_field("kernel", kernel)?,
                Err(why) => object.serialize_field("kernel", why)?,
            }
            object.serialize_field("page_size", &Known("bytes", &self.page_size))?;
            object.serialize_field("aliasing", &self.aliasing)?;
            object.serialize_field("shmlba", &Known("bytes", &self.shmlba()))?;
            object.serialize_field("caches", &Known("levels", &self.caches))?;
            object.serialize_field("surroundings", &self.surroundings)?;
            object.serialize_field("effects", &self.effects())?;
            object.serialize_field("guest_hints", &self.guest_hints)?;
            object.serialize_field("regions", &Regions(self))?;
            object.serialize_field("backings", &self.backings())?;
            object.serialize_field("survival", &Table)?;
            object.end()
        }
    }
}
