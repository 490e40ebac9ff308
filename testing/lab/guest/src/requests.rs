//! The requests to the library.

use crate::{journals, recordings, records, stores};
use anyhow::Result;
use cachemaint_inspect::HostReport;
use cachemaint_lab_protocol::Request;
use lose_lines_agent::{Reply, console};
use serde::Serialize;
use serde_json::Value;

/// Serves a request.
pub(crate) fn answer(request: Value) -> Result<Reply> {
    let acknowledge = |number| console::say(&Reply::Acknowledged(number));
    match serde_json::from_value(request)? {
        Request::Report => document(&HostReport::host()),
        Request::Probe { path } => document(&cachemaint_inspect::FileReport::at(path)?),
        Request::Persist(records) => document(&records::persist(&records)?),
        Request::Verify(records) => document(&records::verify(&records)?),
        Request::PersistOnDevice(records, part) => {
            document(&records::persist_on_device(&records, part)?)
        }
        Request::VerifyOnDevice(records, part) => {
            document(&records::verify_on_device(&records, part)?)
        }
        Request::DeepPersist { path } => records::deep_persist(&path),
        Request::PersistForever(records) => records::persist_forever(&records, acknowledge),
        Request::AppendForever(records) => journals::append(&records, acknowledge),
        Request::RecordForever { path, when } => {
            recordings::record_forever(path.as_ref(), when, acknowledge)
        }
        Request::ReplaceForever { path } => stores::replace_forever(path.as_ref(), |number| {
            acknowledge(number)?;
            console::drain()
        }),
        Request::PersistEveryWay { path } => persist_every_way(&path),
    }
}

fn document(document: &impl Serialize) -> Result<Reply> {
    Ok(Reply::Json(serde_json::to_string(document)?))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn persist_every_way(path: &str) -> Result<Reply> {
    crate::paths::run(path).map(Reply::Names)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn persist_every_way(_path: &str) -> Result<Reply> {
    anyhow::bail!("the emulator's plugin knows no marks of this architecture")
}
