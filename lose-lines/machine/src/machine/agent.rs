//! The requests to the agent itself: files and mounts.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lose_lines_agent::{Extent, File, Reply, Request};
use serde_json::Value;

use super::Machine;

/// The result of mounting a file system that may be damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mounted {
    Done,
    /// The kernel refuses it, for this reason.
    Refused(String),
    /// The kernel failed at it, and was started again.
    Failed,
}

impl Machine {
    /// Sends a request that must succeed.
    pub fn doing(&mut self, request: impl Into<Request>) -> Result<()> {
        let request = request.into();
        match self.ask(&request)? {
            Reply::Done => Ok(()),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Sends a request that must be refused. Returns the refusal.
    pub fn refusal(&mut self, request: impl Into<Request>) -> Result<String> {
        let request = request.into();
        match self.ask(&request)? {
            Reply::Refused(why) => Ok(why),
            other => bail!("{request:?} was not refused: {other:?}"),
        }
    }

    /// Sends a request that returns a document.
    pub fn json(&mut self, request: impl Into<Request>) -> Result<Value> {
        let request = request.into();
        match self.ask(&request)? {
            Reply::Json(text) => Ok(serde_json::from_str(&text)?),
            other => bail!("{request:?}: {other:?}"),
        }
    }

    /// Returns the text of a file in the machine, or `None` if it cannot be read.
    pub fn read(&mut self, path: &str) -> Result<Option<String>> {
        match self.ask(&Request::Read { path: path.to_owned() })? {
            Reply::Text(text) => Ok(Some(text)),
            Reply::Refused(_) => Ok(None),
            other => bail!("reading {path}: {other:?}"),
        }
    }

    /// Writes a file in the machine.
    pub fn write(&mut self, path: &str, text: &str) -> Result<()> {
        self.doing(Request::Write { path: path.to_owned(), text: text.to_owned() })
    }

    /// Returns the names in a directory of the machine.
    pub fn list(&mut self, path: &str) -> Result<Vec<String>> {
        match self.ask(&Request::List { path: path.to_owned() })? {
            Reply::Names(names) => Ok(names),
            other => bail!("listing {path}: {other:?}"),
        }
    }

    /// Returns the blocks of all files below a directory of the machine.
    pub fn extents(&mut self, directory: &str) -> Result<Vec<Extent>> {
        match self.ask(&Request::Extents { directory: directory.to_owned() })? {
            Reply::Extents(extents) => Ok(extents),
            other => bail!("the extents below {directory}: {other:?}"),
        }
    }

    /// Returns the files below a directory of the machine.
    pub fn files(&mut self, directory: &str) -> Result<Vec<File>> {
        match self.ask(&Request::Files { directory: directory.to_owned() })? {
            Reply::Files(files) => Ok(files),
            other => bail!("the files below {directory}: {other:?}"),
        }
    }

    /// Waits until a file exists: the kernel creates devices asynchronously.
    pub fn wait_for(&mut self, path: &str) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').context("no absolute path")?;
        let patience = Instant::now() + Duration::from_secs(120);
        while Instant::now() < patience {
            if self.list(folder)?.iter().any(|found| found == name) {
                return Ok(());
            }
        }
        bail!("there is no {path} in the machine; {folder} has {:?}", self.list(folder)?)
    }

    pub fn mount(&mut self, device: &str, directory: &str, options: &str) -> Result<()> {
        self.mount_as("ext4", device, directory, options)
    }

    pub fn mount_as(
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
        })
    }

    /// Mounts a file system that may be damaged.
    pub fn try_mount(
        &mut self,
        kind: &str,
        device: &str,
        directory: &str,
        options: &str,
    ) -> Result<Mounted> {
        let [kind, device, directory, options] =
            [kind, device, directory, options].map(str::to_owned);
        self.send(&Request::Mount { device, directory, kind, options })?;
        match self.reply().context("mounting")? {
            Reply::Done => Ok(Mounted::Done),
            Reply::Refused(why) => Ok(Mounted::Refused(why)),
            Reply::Hello { .. } => Ok(Mounted::Failed),
            other => bail!("the agent said {other:?} instead of a mount"),
        }
    }

    pub fn unmount(&mut self, directory: &str) -> Result<()> {
        self.doing(&Request::Unmount { directory: directory.to_owned() })
    }
}
