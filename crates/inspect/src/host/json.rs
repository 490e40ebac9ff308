//! The report of a machine as data (feature `serde`).

use super::HostReport;
use crate::Unknown;
use crate::survival::{Event, Stage, Survival, survives};
use alloc::vec::Vec;
use cachemaint::family::SCHEMA;
use cachemaint::medium::Backing;
use cachemaint::report::Statement;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct, Serializer};

/// A value under its name, or the reason why it is unknown.
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

/// The list, with the meaning of an empty one.
struct Regions<'a>(&'a HostReport);

impl Serialize for Regions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ok(regions) = &self.0.regions else {
            return Known("list", &self.0.regions).serialize(serializer);
        };
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("list", regions)?;
        if let Some(why) = self.0.no_region() {
            object.serialize_entry("reason", &why.reason)?;
            object.serialize_entry("advice", why.advice)?;
        }
        object.end()
    }
}

/// A cell of the survival table.
#[derive(Serialize)]
struct Cell {
    backing: Backing,
    event: Event,
    stage: Stage,
    #[serde(flatten)]
    statement: Statement<Survival>,
}

/// Returns the whole survival table.
fn table() -> Vec<Cell> {
    let mut cells = Vec::new();
    for &backing in Backing::ALL {
        for &event in Event::ALL {
            let cell =
                |&stage| Cell { backing, event, stage, statement: survives(backing, stage, event) };
            cells.extend(Stage::ALL.iter().map(cell));
        }
    }
    cells
}

impl Serialize for HostReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("HostReport", 11)?;
        object.serialize_field("schema", &SCHEMA)?;
        object.serialize_field("cpu", &self.cpu)?;
        match &self.kernel {
            Ok(kernel) => object.serialize_field("kernel", kernel)?,
            Err(why) => object.serialize_field("kernel", why)?,
        }
        object.serialize_field("page_size", &Known("bytes", &self.page_size))?;
        object.serialize_field("aliasing", &self.aliasing)?;
        object.serialize_field("shmlba", &Known("bytes", &self.shmlba))?;
        object.serialize_field("hypervisor", &self.hypervisor())?;
        object.serialize_field("effects", &self.effects)?;
        object.serialize_field("regions", &Regions(self))?;
        object.serialize_field("backings", &self.backings())?;
        object.serialize_field("survival", &table())?;
        object.end()
    }
}
