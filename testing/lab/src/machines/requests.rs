//! The requests of lanes to the library in a machine.

use anyhow::{Result, bail, ensure};
use cachemaint_lab_protocol::{Found, Part, Persisted, Records, Request};
use serde::de::DeserializeOwned;

use super::Machine;

/// The library in a machine.
pub(super) trait Library {
    /// Has records persisted in a new file.
    fn persist(&mut self, records: &Records) -> Result<Persisted>;

    /// Has records persisted on a part of a device.
    fn persist_on_device(&mut self, records: &Records, part: Part) -> Result<Persisted>;

    /// Checks that all of these records are there.
    fn verify(&mut self, records: &Records) -> Result<()>;

    /// Checks that all of these records are there on a part of a device.
    fn verify_on_device(&mut self, records: &Records, part: Part) -> Result<()>;
}

impl Library for Machine {
    fn persist(&mut self, records: &Records) -> Result<Persisted> {
        answer(self, &Request::Persist(records.clone()))
    }

    fn persist_on_device(&mut self, records: &Records, part: Part) -> Result<Persisted> {
        answer(self, &Request::PersistOnDevice(records.clone(), part))
    }

    fn verify(&mut self, records: &Records) -> Result<()> {
        is_all(records, &answer(self, &Request::Verify(records.clone()))?)
    }

    fn verify_on_device(&mut self, records: &Records, part: Part) -> Result<()> {
        is_all(records, &answer(self, &Request::VerifyOnDevice(records.clone(), part))?)
    }
}

fn answer<T: DeserializeOwned>(machine: &mut Machine, request: &Request) -> Result<T> {
    Ok(serde_json::from_value(machine.json(request)?)?)
}

fn is_all(records: &Records, found: &Found) -> Result<()> {
    let Found { intact, damaged } = found;
    if !damaged.is_empty() {
        bail!(
            "{} of {} records in {} are lost or damaged, among them {damaged:?}",
            records.count - intact,
            records.count,
            records.path,
        );
    }
    ensure!(*intact == records.count, "{intact} of {} records", records.count);
    Ok(())
}
