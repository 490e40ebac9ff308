//! The reports as data (feature `serde`): the format in the module's documentation.
//!
//! `arch` depends only on `core`, so its types are serialised here.
//!
//! An object whose number of fields varies is a map of unknown length: many formats write the announced length of a
//! struct before its fields (CBOR, `MessagePack`).

use super::cpu::{Availability, CpuReport, Status};
use crate::arch::{Effect, Missing, Point, Unsupported, WholeCacheOperation};
use crate::cache::Choice;
use crate::cpu::{Line, Midr, Signatures, Text};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// Incremented when a name is removed or changes its meaning.
pub const SCHEMA: u32 = 1;

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
        let mut object = serializer.serialize_map(None)?;
        refusal(&mut object, *self)?;
        object.end()
    }
}

fn refusal<S: SerializeMap>(object: &mut S, refusal: Unsupported) -> Result<(), S::Error> {
    object.serialize_entry("missing", &refusal.missing)?;
    object.serialize_entry("reason", refusal.reason)?;
    if let Missing::LineSize(bytes) = refusal.missing {
        object.serialize_entry("found_bytes", &bytes)?;
    }
    object.serialize_entry("advice", refusal.advice)
}

/// An answer that begins with its availability.
struct Answer<T>(Result<T, Unsupported>);

trait Fields {
    fn fields<S: SerializeMap>(&self, object: &mut S) -> Result<(), S::Error>;
}

impl<T: Fields> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("available", &self.0.is_ok())?;
        match &self.0 {
            Ok(answer) => answer.fields(&mut object)?,
            Err(why) => refusal(&mut object, *why)?,
        }
        object.end()
    }
}

impl Fields for Choice {
    fn fields<S: SerializeMap>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_entry("instruction", self.instruction.name)?;
        object.serialize_entry("effect", &self.instruction.effect)?;
        object.serialize_entry("before", &self.before)?;
        object.serialize_entry("after", self.after)?;
        object.serialize_entry("source", self.instruction.source)
    }
}

impl Fields for Line {
    fn fields<S: SerializeMap>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_entry("bytes", &self.size)?;
        object.serialize_entry("granule_bytes", &self.granule)?;
        object.serialize_entry("source", self.source)
    }
}

impl Fields for WholeCacheOperation {
    fn fields<S: SerializeMap>(&self, object: &mut S) -> Result<(), S::Error> {
        object.serialize_entry("instruction", self.writeback_invalidate)?;
        object.serialize_entry("source", self.source)
    }
}

impl Serialize for Availability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("name", self.instruction.name)?;
        object.serialize_entry("effect", &self.instruction.effect)?;
        object.serialize_entry("point", &self.instruction.point)?;
        object.serialize_entry("requires", self.instruction.requires)?;
        object.serialize_entry("source", self.instruction.source)?;
        let (status, why) = match self.status {
            Status::Present => ("present", None),
            Status::Absent(why) => ("absent", Some(why)),
            Status::Refused(why) => ("refused", Some(why)),
        };
        object.serialize_entry("status", status)?;
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

/// Serializes the register and its fields.
#[expect(clippy::ref_option, reason = "serde passes a reference")]
pub(crate) fn midr<S: Serializer>(midr: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("midr", midr)?;
    if let Some(midr) = midr.map(Midr) {
        object.serialize_entry("implementer", &midr.implementer())?;
        object.serialize_entry("implementer_name", &midr.implementer_name())?;
        object.serialize_entry("part", &midr.part())?;
        object.serialize_entry("part_name", &midr.part_name())?;
        object.serialize_entry("variant", &midr.variant())?;
        object.serialize_entry("revision", &midr.revision())?;
    }
    object.end()
}

impl Serialize for Signatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A list of unknown length.
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

impl Serialize for CpuReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("CpuReport", 13)?;
        object.serialize_field("schema", &SCHEMA)?;
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
        let whole_cache = Answer(self.can_invalidate_memory().map_err(|refused| refused.why));
        object.serialize_field("whole_cache", &whole_cache)?;
        object.serialize_field("notes", &List(|| self.notes()))?;
        object.end()
    }
}
