//! `cachemaint store list`.

use super::payload::Payload;
use super::{
    row, text, verdict, visible, with_last_commit, write_capacity, write_place, yes_or_no,
};
use crate::read_only::ReadOnly;
use cachemaint::dax;
use cachemaint_boots::{STAMP, Stamp, Verdict};
use cachemaint_store::{Capacity, Content, Error, Info, Reader};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// List the blobs and regions by name
///
/// If a program keeps a stamp of its last start in a blob, the list also shows what happened since. The blobs themselves
/// are not read: use `store verify` to check them. Control characters are shown as escapes. The file is only read, so
/// another process may write it meanwhile.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// The facts of a store's table, and its blobs.
type Listing = (Facts, Vec<Listed>);

/// A blob or a region, with its metadata.
struct Listed {
    info: Info,
    metadata: Box<[u8]>,
    /// The event since then if the blob is a stamp.
    since: Option<Verdict>,
}

#[derive(Serialize)]
struct Facts {
    identity: String,
    size: u64,
    commit: u64,
    is_sealed: bool,
    capacity: Option<Capacity>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let (facts, blobs) = with_last_commit(path, &file, look)?;
    let report = file.report()?;
    let mut document = json!(facts);
    document["guarantee"] = json!(report);
    document["blobs"] = blobs.iter().map(in_json).collect();
    text::print(arguments.json, &text::Document::of(path, document), |out| {
        write_place(out, path, &file, &report)?;
        print(out, &facts, &blobs)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn look(reader: &Reader<&ReadOnly>) -> Result<Listing, Error<dax::Error>> {
    let facts = Facts {
        identity: reader.identity().to_string(),
        size: reader.size(),
        commit: reader.commit_number(),
        is_sealed: reader.is_sealed(),
        capacity: reader.capacity().ok(),
    };
    let listed = |(info, metadata): (Info, &[u8])| Listed {
        since: since(reader, &info),
        info,
        metadata: metadata.into(),
    };
    Ok((facts, reader.entries().map(|entry| entry.map(listed)).collect::<Result<_, _>>()?))
}

/// Returns the event since a blob was put if it is a stamp, in a file that is mapped.
fn since(reader: &Reader<&ReadOnly>, info: &Info) -> Option<Verdict> {
    if info.len != STAMP as u64 {
        return None;
    }
    let stamp = Stamp::read(&reader.load(&info.name).ok()?)?;
    Some(stamp.verdict(&Stamp::of(reader.medium().view()?)))
}

fn in_json(Listed { info, metadata, since }: &Listed) -> Value {
    let mut blob = json!({
        "name": info.name, "content": info.content, "is_dirty": info.is_dirty, "bytes": info.len,
        "version": info.version, "metadata": Payload::of(metadata), "commit": info.commit,
        "time": text::time(info.seconds), "offset": info.offset
    });
    if let Some(since) = since {
        blob["since"] = json!(since);
    }
    blob
}

fn print(out: &mut impl Write, facts: &Facts, blobs: &[Listed]) -> io::Result<()> {
    row(out, "store", &facts.identity)?;
    row(out, "size", text::bytes(facts.size))?;
    row(out, "commit", facts.commit)?;
    row(out, "sealed", yes_or_no(facts.is_sealed))?;
    write_capacity(out, facts.capacity.as_ref())?;
    for Listed { info, since, .. } in blobs {
        if let Some(since) = since {
            verdict::write(out, &info.name, since)?;
        }
    }
    let is_region = |blob: &&Listed| blob.info.content == Content::Region;
    let regions = blobs.iter().filter(is_region).count() as u64;
    row(out, "blobs", text::thousands(blobs.len() as u64 - regions))?;
    if regions > 0 {
        row(out, "regions", text::thousands(regions))?;
    }
    if blobs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = ["bytes", "version", "commit", "offset", "when", "name"];
    let [bytes, version, commit, offset, when, name] = columns;
    let heading = format!("{bytes:>15} {version:>7} {commit:>10} {offset:>13}  {when:20}  {name}");
    text::heading(out, &heading)?;
    for Listed { info, metadata, .. } in blobs {
        let Info { version, commit, offset, seconds, .. } = info;
        let bytes = text::thousands(info.len);
        let when = text::time(*seconds).unwrap_or_else(|| "unknown".to_owned());
        let name = visible(info.name.as_bytes());
        let content = match (info.content, info.is_dirty) {
            (Content::Region, true) => " (region, dirty)",
            (Content::Region, false) => " (region)",
            _ => "",
        };
        writeln!(
            out,
            "{bytes:>15} {version:>7} {commit:>10} {offset:>13}  {when:20}  {name}{content}"
        )?;
        if !metadata.is_empty() {
            writeln!(out, "{:70}  metadata: {}", "", visible(metadata))?;
        }
    }
    Ok(())
}
