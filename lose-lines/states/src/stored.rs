//! Logs as files: a line for each record, followed by its bytes.

use std::io::{self, BufRead, Write};

use crate::framed;
use crate::operation::{Entry, Kind, Log, Object, Operation, Record, Synced, Via};

const FIRST_LINE: &str = "lose-lines-log 1\n";

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}; record the program again"))
}

impl Log {
    /// Writes the log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(FIRST_LINE.as_bytes())?;
        writeln!(to, "{} {}", self.begun, self.places.len())?;
        for place in &self.places {
            writeln!(to, "{}", place.escape_default())?;
        }
        for record in &self.records {
            let (kind, numbers, bytes) = parts(&record.operation);
            let place = record.place.map_or(-1, |place| i64::try_from(place).unwrap_or(-1));
            let numbers = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            let Record { name, call, thread, .. } = record;
            let words = format_args!("{kind} {name} {call} {thread} {place} {numbers}");
            framed::write(&mut to, words, &bytes)?;
        }
        to.flush()
    }

    /// Reads a log that [`Log::save`] wrote.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn load(mut from: impl BufRead) -> io::Result<Self> {
        let mut log = Self::empty();
        let mut line = String::new();
        from.read_line(&mut line)?;
        if line != FIRST_LINE {
            return Err(wrong("this is not a recording of file operations"));
        }
        let head = numbers(&next_line(&mut from)?)?;
        let [begun, places] = head[..] else {
            return Err(wrong("the recording's head is damaged"));
        };
        log.begun = usize::try_from(begun).unwrap_or(0);
        for _ in 0..places {
            let line = next_line(&mut from)?;
            if line.is_empty() {
                return Err(wrong("the recording ends early"));
            }
            log.places.push(line.trim_end().to_owned());
        }
        while let Some((words, bytes)) = framed::read(&mut from)? {
            let record = record(&words, bytes)?;
            if let Operation::Make { object, .. } = record.operation {
                log.note(object);
            }
            log.records.push(record);
        }
        if log.begun > log.records.len() || log.records.is_empty() {
            return Err(wrong("the recording ends early"));
        }
        Ok(log)
    }
}

fn next_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line)
}

fn numbers(line: &str) -> io::Result<Vec<u64>> {
    let words = line.split_whitespace().map(str::parse);
    words.collect::<Result<_, _>>().ok().ok_or_else(|| wrong("the recording is damaged"))
}

/// Returns an operation's letter, numbers and bytes.
fn parts(operation: &Operation) -> (char, Vec<u64>, Vec<u8>) {
    match operation {
        Operation::Make { object, kind, mode } => {
            let (letter, target) = match kind {
                Kind::Directory => ('D', Vec::new()),
                Kind::File => ('F', Vec::new()),
                Kind::Link(target) => ('L', target.clone()),
            };
            (letter, vec![object.0, (*mode).into()], target)
        }
        Operation::Entries(entries) => {
            let ids =
                |entry: &Entry| [entry.directory.0, entry.object.map_or(0, |object| object.0)];
            let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
            ('N', entries.iter().flat_map(ids).collect(), names.join(&0))
        }
        Operation::Write { file, at, bytes, via } => {
            let via = match via {
                Via::Cache => 0,
                Via::Direct => 1,
                Via::Mapping => 2,
            };
            ('W', vec![file.0, *at, via], bytes.clone())
        }
        Operation::Resize { file, size } => ('T', vec![file.0, *size], Vec::new()),
        Operation::Zero { file, at, len } => ('Z', vec![file.0, *at, *len], Vec::new()),
        Operation::WriteBack { file, at, len, waits } => {
            ('B', vec![file.0, *at, *len, u64::from(*waits)], Vec::new())
        }
        Operation::Begin { object, part } => {
            ('P', synced(object.map_or(0, |object| object.0), *part), Vec::new())
        }
        Operation::Sync { object, part } => ('S', synced(object.0, *part), Vec::new()),
        Operation::SyncAll => ('Y', Vec::new(), Vec::new()),
        Operation::Close { file } => ('C', vec![file.0], Vec::new()),
        Operation::Line(line) => ('A', Vec::new(), line.clone()),
    }
}

fn synced(object: u64, part: Synced) -> Vec<u64> {
    match part {
        Synced::All => vec![object, 0, 0, 0],
        Synced::Data => vec![object, 1, 0, 0],
        Synced::Range { at, len } => vec![object, 2, at, len],
    }
}

fn record(words: &str, bytes: Vec<u8>) -> io::Result<Record> {
    let damaged = || wrong("the recording has a damaged record");
    let mut words = words.split_whitespace();
    let mut word = || words.next().ok_or_else(damaged);
    let (kind, name) = (word()?, word()?.to_owned());
    let (call, thread, place) = (word()?, word()?, word()?);
    let numbers: Vec<u64> =
        words.map(str::parse).collect::<Result<_, _>>().ok().ok_or_else(damaged)?;
    let place: i64 = place.parse().ok().ok_or_else(damaged)?;
    Ok(Record {
        operation: operation(kind, &numbers, bytes).ok_or_else(damaged)?,
        call: call.parse().ok().ok_or_else(damaged)?,
        thread: thread.parse().ok().ok_or_else(damaged)?,
        name: name.into(),
        place: usize::try_from(place).ok(),
    })
}

fn operation(kind: &str, numbers: &[u64], bytes: Vec<u8>) -> Option<Operation> {
    // The greatest offset in a file.
    const END: u64 = i64::MAX.cast_unsigned();
    let is_range = |at: u64, len: u64| at.checked_add(len).is_some_and(|end| end <= END);
    Some(match (kind, numbers) {
        ("D" | "F" | "L", [object, mode]) => Operation::Make {
            object: Object(*object),
            kind: match kind {
                "D" => Kind::Directory,
                "F" => Kind::File,
                _ => Kind::Link(bytes),
            },
            mode: u32::try_from(*mode).ok()?,
        },
        ("N", ids) => {
            let names = bytes.split(|byte| *byte == 0);
            let entries: Vec<_> = ids
                .chunks_exact(2)
                .zip(names)
                .map(|(ids, name)| Entry {
                    directory: Object(ids[0]),
                    name: name.to_vec(),
                    object: (ids[1] != 0).then_some(Object(ids[1])),
                })
                .collect();
            (!entries.is_empty()).then_some(Operation::Entries(entries))?
        }
        ("W", [file, at, via]) if is_range(*at, bytes.len() as u64) => Operation::Write {
            file: Object(*file),
            at: *at,
            bytes,
            via: match via {
                0 => Via::Cache,
                1 => Via::Direct,
                _ => Via::Mapping,
            },
        },
        ("T", [file, size]) if is_range(*size, 0) => {
            Operation::Resize { file: Object(*file), size: *size }
        }
        ("Z", [file, at, len]) if is_range(*at, *len) => {
            Operation::Zero { file: Object(*file), at: *at, len: *len }
        }
        ("B", [file, at, len, waits]) => {
            Operation::WriteBack { file: Object(*file), at: *at, len: *len, waits: *waits != 0 }
        }
        ("P" | "S", [object, part, at, len]) => {
            let part = match part {
                0 => Synced::All,
                1 => Synced::Data,
                _ => Synced::Range { at: *at, len: *len },
            };
            match kind {
                "P" => Operation::Begin { object: (*object != 0).then_some(Object(*object)), part },
                _ => Operation::Sync { object: Object(*object), part },
            }
        }
        ("Y", []) => Operation::SyncAll,
        ("C", [file]) => Operation::Close { file: Object(*file) },
        ("A", []) => Operation::Line(bytes),
        _ => return None,
    })
}
