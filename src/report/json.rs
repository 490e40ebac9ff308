//! The reports as data (feature `serde`): the shape that the module's documentation fixes.
//!
//! `arch` depends on `core` alone, so its types are serialised here.

use super::cpu::{Availability, CpuReport, Status};
use crate::aliasing::Aliasing;
use crate::arch::{Effect, Missing, Point, Unsupported, WholeCacheOperation};
use crate::cache::Choice;
use crate::cpu::{CpuIdentity, Hypervisor, HypervisorKind, Line, Midr, Signatures, Text};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Grows when a name goes or changes its meaning.
pub(super) const SCHEMA: u32 = 2;

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

/// A word, with any value it carries.
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

/// An answer that begins with its availability.
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
        object.serialize_field("bytes", &self.size)?;
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

impl Serialize for CpuIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("CpuIdentity", 8)?;
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
                object.serialize_field("midr", midr)?;
                if let Some(midr) = midr.map(Midr) {
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
                object
                    .serialize_field("reason", "the architecture does not show it to user mode")?;
                object.serialize_field("advice", "see surroundings of a host's report")?;
            }
        }
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
    pub(super) fn fields<S: SerializeStruct>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field("architecture", self.architecture)?;
        object.serialize_field("identity", &self.identity)?;
        object.serialize_field("line", &Answer(self.line))?;
        object.serialize_field("instructions", &List(|| self.instructions()))?;
        object.serialize_field("writeback", &Writebacks(self))?;
        object.serialize_field("invalidate", &Answer(self.invalidate()))?;
        let accepts = self.accepts_coherency_as_persistence;
        object.serialize_field("accepts_coherency_as_persistence", &accepts)?;
        object.serialize_field("aliasing", &self.aliasing)?;
        object.serialize_field("hypervisor", &self.hypervisor)?;
        object.serialize_field("confidential", &self.confidential)?;
        object.serialize_field("effects", &self.effects)?;
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
