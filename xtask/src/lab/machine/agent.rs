//! The requests to the agent itself: files, mounts, and persisted records.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint_lab_protocol::{Part, Records, Reply, Request};
use serde_json::Value;

use super::Machine;

/// The granularity of a file of persisted records, with its reason.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Persisted {
    pub(in crate::lab) granularity: String,
    pub(in crate::lab) reason: String,
    /// `sf` among the flags: `MAP_SYNC` (Linux, `fs/proc/task_mmu.c`).
    pub(in crate::lab) is_synchronous: bool,
}

impl Machine {
    /// Sends a request that must be served.
    pub(in crate::lab) fn doing(&mut self, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Reply::Done => Ok(()),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Sends a request that must be refused. Returns the refusal.
    pub(in crate::lab) fn refusal(&mut self, request: &Request) -> Result<String> {
        match self.ask(request)? {
            Reply::Refused(why) => Ok(why),
            other => bail!("{request:?} was not refused: {other:?}"),
        }
    }

    /// Sends a request for a document.
    pub(in crate::lab) fn json(&mut self, request: &Request) -> Result<Value> {
        match self.ask(request)? {
            Reply::Json(text) => Ok(serde_json::from_str(&text)?),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Returns the text of a file in the machine; none if it cannot be read.
    pub(in crate::lab) fn read(&mut self, path: &str) -> Result<Option<String>> {
        match self.ask(&Request::Read { path: path.to_owned() })? {
            Reply::Text(text) => Ok(Some(text)),
            Reply::Refused(_) => Ok(None),
            other => bail!("reading {path}: {other:?}"),
        }
    }

    /// Returns the names in a folder of the machine.
    pub(in crate::lab) fn list(&mut self, path: &str) -> Result<Vec<String>> {
        match self.ask(&Request::List { path: path.to_owned() })? {
            Reply::Names(names) => Ok(names),
            other => bail!("listing {path}: {other:?}"),
        }
    }

    /// Waits until a file exists: the kernel makes devices at a time of its own choice.
    pub(in crate::lab) fn wait_for(&mut self, path: &str) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').context("no absolute path")?;
        let patience = Instant::now() + Duration::from_secs(120);
        while Instant::now() < patience {
            if self.list(folder)?.iter().any(|found| found == name) {
                return Ok(());
            }
        }
        bail!("there is no {path} in the machine; {folder} has {:?}", self.list(folder)?)
    }

    pub(in crate::lab) fn mount(
        &mut self,
        device: &str,
        directory: &str,
        options: &str,
    ) -> Result<()> {
        self.mount_as("ext4", device, directory, options)
    }

    pub(in crate::lab) fn mount_as(
        &mut self,
        kind: &str,
        device: &str,
        directory: &str,
        options: &str,
    ) -> Result<()> {
        self.doing(&Request::Mount {
            device: device.to_owned(),
            directory: directory.to_owned(),
            kind: kind.to_owned(),
            options: options.to_owned(),
            read_only: false,
        })
    }

    pub(in crate::lab) fn unmount(&mut self, directory: &str) -> Result<()> {
        self.doing(&Request::Unmount { directory: directory.to_owned() })
    }

    /// Has records persisted in a new file.
    pub(in crate::lab) fn persist(&mut self, records: &Records) -> Result<Persisted> {
        self.persisting(&Request::Persist(records.clone()))
    }

    /// Has records persisted on a part of a device.
    pub(in crate::lab) fn persist_on_device(
        &mut self,
        records: &Records,
        part: Part,
    ) -> Result<Persisted> {
        self.persisting(&Request::PersistOnDevice(records.clone(), part))
    }

    fn persisting(&mut self, request: &Request) -> Result<Persisted> {
        match self.ask(request)? {
            Reply::Persisted { granularity, reason, flags } => Ok(Persisted {
                granularity,
                reason,
                is_synchronous: flags.split(' ').any(|flag| flag == "sf"),
            }),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Checks that all of these records are there.
    pub(in crate::lab) fn verify(&mut self, records: &Records) -> Result<()> {
        self.verifying(records, &Request::Verify(records.clone()))
    }

    /// Checks that all of these records are there on a part of a device.
    pub(in crate::lab) fn verify_on_device(&mut self, records: &Records, part: Part) -> Result<()> {
        self.verifying(records, &Request::VerifyOnDevice(records.clone(), part))
    }

    fn verifying(&mut self, records: &Records, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Reply::Found { intact, damaged } if damaged.is_empty() => {
                ensure!(intact == records.count, "{intact} of {} records", records.count);
                Ok(())
            }
            Reply::Found { intact, damaged } => bail!(
                "{} of {} records in {} are lost or damaged, among them {damaged:?}",
                records.count - intact,
                records.count,
                records.path,
            ),
            other => bail!("{request:?}: {other:?}"),
        }
    }
}
