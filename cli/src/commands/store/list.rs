//! `cachemaint store list`.

use super::payload::Payload;
use super::{
    row, text, verdict, visible, with_last_commit, write_capacity, write_place, yes_or_no,
};
use crate::read_only::ReadOnly;
use cachemaint::dax;
use cachemaint_store::{Capacity, Content, Error, Info, Reader, Verdict};
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// List the blobs and regions in the order of their names, and what happened since the last commit
///
/// The blobs themselves are not read: `store verify` shows if they are whole. Control characters are shown as escapes. The file
/// is only read, also while another process writes it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// The contents of a store's table.
struct Listing {
    identity: String,
    size: u64,
    commit: u64,
    is_sealed: bool,
    capacity: Option<Capacity>,
    /// What happened since the last commit; `None` for a file that is not mapped.
    since: Option<Verdict>,
    /// With their metadata.
    blobs: Vec<(Info, Box<[u8]>)>,
}

#[derive(Serialize)]
struct Blob<'a> {
    name: &'a str,
    content: Content,
    is_dirty: bool,
    bytes: u64,
    version: u64,
    metadata: Payload<'a>,
    commit: u64,
    time: Option<String>,
    offset: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let listing = with_last_commit(path, &file, look)?;
    let Listing { identity, size, commit, is_sealed, capacity, since, blobs } = &listing;
    let shown: Vec<_> = blobs.iter().map(|(info, metadata)| Blob::of(info, metadata)).collect();
    let facts = json!({
        "identity": identity, "size": size, "commit": commit, "is_sealed": is_sealed, "capacity": capacity,
        "since": since, "blobs": shown, "guarantee": file.guarantee()
    });
    text::print(arguments.json, &text::Document::of(path, facts), |out| {
        write_place(out, path, &file)?;
        print(out, &listing)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn look(reader: &Reader<&ReadOnly>) -> Result<Listing, Error<dax::Error>> {
    Ok(Listing {
        identity: reader.identity().to_string(),
        size: reader.size(),
        commit: reader.commit_number(),
        is_sealed: reader.is_sealed(),
        capacity: reader.capacity().ok(),
        since: reader.medium().view().map(|view| reader.stamp().verdict(view)),
        blobs: reader
            .entries()
            .map(|entry| entry.map(|(info, metadata)| (info, metadata.into())))
            .collect::<Result<_, _>>()?,
    })
}

impl<'a> Blob<'a> {
    fn of(info: &'a Info, metadata: &'a [u8]) -> Self {
        let Info { ref name, content, is_dirty, version, len, commit, seconds, offset, .. } = *info;
        Self {
            name,
            content,
            is_dirty,
            bytes: len,
            version,
            metadata: Payload::of(metadata),
            commit,
            time: text::time(seconds),
            offset,
        }
    }
}

fn print(out: &mut impl Write, listing: &Listing) -> io::Result<()> {
    row(out, "store", &listing.identity)?;
    row(out, "size", text::bytes(listing.size))?;
    row(out, "commit", listing.commit)?;
    row(out, "sealed", yes_or_no(listing.is_sealed))?;
    write_capacity(out, listing.capacity.as_ref())?;
    if let Some(since) = &listing.since {
        verdict::write(out, since)?;
    }
    let is_region = |(info, _): &&(Info, _)| info.content == Content::Region;
    let regions = listing.blobs.iter().filter(is_region).count() as u64;
    row(out, "blobs", text::thousands(listing.blobs.len() as u64 - regions))?;
    if regions > 0 {
        row(out, "regions", text::thousands(regions))?;
    }
    if listing.blobs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = ["bytes", "version", "commit", "offset", "when", "name"];
    let [bytes, version, commit, offset, when, name] = columns;
    let heading = format!("{bytes:>15} {version:>7} {commit:>10} {offset:>13}  {when:20}  {name}");
    text::heading(out, &heading)?;
    for (info, metadata) in &listing.blobs {
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
