//! The paths of the journal and of the recorder, each on its own file.

use super::{Names, range};
use anyhow::Result;
use cachemaint::dax::{DaxFile, Options};
use cachemaint_journal::{self, Group, Journal};
use cachemaint_recorder::{self, Durability, Writer};
use core::sync::atomic::Ordering;
use lose_lines_mark as mark;

/// The size of each file in bytes.
const LEN: u64 = 1 << 20;

type OnJournal = (&'static str, fn(&Journal<&DaxFile>) -> Result<()>);

const ON_JOURNAL: [OnJournal; 6] = [
    ("append of 16 bytes", |journal| {
        journal.append(&[1; 16])?;
        Ok(())
    }),
    ("append of 200 bytes", |journal| {
        journal.append(&[2; 200])?;
        Ok(())
    }),
    ("append of 4 KiB", |journal| {
        journal.append(&[3; 4096])?;
        Ok(())
    }),
    // The first append does not fit after the existing records and fills the next segment, so both begin a segment.
    ("appends that enter segments", |journal| {
        journal.append(&vec![4; usize::try_from(journal.largest())?])?;
        journal.append(&[4; 16])?;
        Ok(())
    }),
    ("group", |journal| {
        let mut group = Group::new();
        for len in [16, 100, 1000] {
            group.push(&vec![5; len]);
        }
        journal.append_group(&mut group)?;
        Ok(())
    }),
    ("trim", |journal| Ok(journal.trim(journal.end())?)),
];

/// Runs every path of the journal.
pub(super) fn on_journal(path: &str, names: &mut Names) -> Result<()> {
    let file = Options::new().create_new(path, LEN)?;
    mark::watch(range(&file, 0..LEN));
    let options = cachemaint_journal::Options::new().segment(16 << 10);
    let (journal, _) = options.create_new(&file).map_err(|failed| failed.error)?;
    names.on_file("journal: create");
    for (name, work) in ON_JOURNAL {
        mark::watch(range(&file, 0..LEN));
        work(&journal)?;
        names.on_file(&format!("journal: {name}"));
    }
    journal.append(&[7; 500])?;
    drop(journal);
    mark::watch(range(&file, 0..LEN));
    Journal::open(&file).map_err(|failed| failed.error)?;
    names.on_file("journal: open");
    Ok(())
}

/// The offset of the sub-buffers of a recording with one shard, and their length (the format's tables in
/// `cachemaint::recorder`).
const SUB_BUFFERS: u64 = 20_480;
const SUB_BUFFER: u32 = 4096;
/// Events that need more than one sub-buffer, with payloads of 40 and of 200 bytes.
const EVENTS: usize = 40;

/// Runs every path of the recorder.
pub(super) fn on_recorder(path: &str, names: &mut Names) -> Result<()> {
    let file = Options::new().create_new(path, LEN)?;
    let all = || mark::watch(range(&file, 0..LEN));
    all();
    let recorder = create(&file, Durability::EachAppend)?;
    names.on_file("recorder: create");
    let writer = recorder.claim()?;
    all();
    events(&writer)?;
    names.on_file("recorder: each event");
    drop(writer);
    drop(recorder);

    // A full sub-buffer is persistent when the next one has its first event.
    let recorder = create(&file, Durability::SubBuffer)?;
    let writer = recorder.claim()?;
    mark::watch(range(&file, SUB_BUFFERS..SUB_BUFFERS + u64::from(SUB_BUFFER)));
    events(&writer)?;
    names.on_file("recorder: full sub-buffer");
    drop(writer);
    drop(recorder);

    let recorder = create(&file, Durability::OnRequest)?;
    let writer = recorder.claim()?;
    all();
    events(&writer)?;
    recorder.write_back_all()?;
    names.on_file("recorder: write_back_all");
    Ok(())
}

/// Creates a recording over the previous one, whose magics are erased.
fn create(
    file: &DaxFile,
    durability: Durability,
) -> Result<cachemaint_recorder::Recorder<'static, &DaxFile>> {
    for magic in [0, 4096, 8192, 12_288] {
        file.store(magic, 0, Ordering::Relaxed);
        file.persist(magic..magic + 8)?;
    }
    let options =
        cachemaint_recorder::Options::new().durability(durability).sub_buffer_size(SUB_BUFFER);
    let (recorder, _) = options.create_new(file).map_err(|failed| failed.error)?;
    Ok(recorder)
}

fn events(writer: &Writer<'_, &DaxFile>) -> Result<()> {
    for _ in 0..EVENTS {
        writer.record(1, &[8; 40])?;
        writer.record(2, &[9; 200])?;
    }
    Ok(())
}
