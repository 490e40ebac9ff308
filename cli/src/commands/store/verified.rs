//! The findings of `store verify` and `inspect` in a store.

use super::{named, row, text, visible, write_capacity, yes_or_no};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint_store::{Capacity, Damage, ErrorKind, Part, Reader, Verification};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

#[derive(Serialize)]
pub(in crate::commands) struct Verified {
    identity: String,
    size: u64,
    commit: u64,
    is_sealed: bool,
    capacity: Option<Capacity>,
    blobs: u64,
    #[serde(flatten)]
    found: Verification,
}

impl Verified {
    /// Reads the whole store in a file.
    pub(in crate::commands) fn of(path: &Path, file: &ReadOnly) -> anyhow::Result<Self> {
        let verified = Reader::open(file).map_err(|failed| failed.error).and_then(|reader| {
            let found = reader.verify()?;
            let is_blob = |(_, damage): &&(_, Damage)| !matches!(damage.part, Part::Region { .. });
            Ok(Self {
                identity: reader.identity().to_string(),
                size: reader.size(),
                commit: reader.commit_number(),
                is_sealed: reader.is_sealed(),
                capacity: reader.capacity().ok(),
                blobs: found.whole + found.damaged.iter().filter(is_blob).count() as u64,
                found,
            })
        });
        verified.map_err(|error| match error.kind() {
            ErrorKind::Replaced => anyhow!(
                "{}: the store was written meanwhile, and the commit being verified was replaced; verify it \
                 again",
                path.display()
            ),
            _ => named(path, error),
        })
    }

    pub(in crate::commands) fn is_damaged(&self) -> bool {
        !self.found.is_whole()
    }

    pub(in crate::commands) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        row(out, "store", &self.identity)?;
        row(out, "size", text::bytes(self.size))?;
        row(out, "commit", self.commit)?;
        row(out, "sealed", yes_or_no(self.is_sealed))?;
        write_capacity(out, self.capacity.as_ref())?;
        let (blobs, bytes) = (text::thousands(self.blobs), text::thousands(self.found.bytes));
        let intact = match self.found.whole {
            whole if whole == self.blobs => "all intact".to_owned(),
            whole => format!("{} of them intact", text::thousands(whole)),
        };
        row(out, "blobs", format!("{blobs}, {intact}, {bytes} bytes in total"))?;
        if self.found.regions > 0 {
            let regions = text::thousands(self.found.regions);
            row(out, "regions", format!("{regions}; their bytes cannot be verified"))?;
        }
        for (name, damage) in &self.found.damaged {
            let (name, advice) = (visible(name.as_bytes()), advice(damage.part));
            row(out, "damage", format!("{name}: {damage}; {advice}"))?;
        }
        for damage in self.found.records.iter().chain(&self.found.copies) {
            row(out, "damage", format!("{damage}; {}", advice(damage.part)))?;
        }
        if !self.is_damaged() {
            row(out, "damage", "none")?;
        }
        Ok(())
    }
}

/// Returns the remedy for a damaged part, or the time of its repair.
const fn advice(part: Part) -> &'static str {
    match part {
        Part::Bytes { .. } | Part::Tags => "save it again",
        Part::Region { .. } => "restore the file from a copy",
        Part::Record => "it is unknown which names it changed: restore the file from a copy",
        _ => "it is repaired when something is saved",
    }
}
