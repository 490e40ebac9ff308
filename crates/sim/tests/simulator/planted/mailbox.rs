//! A mailbox with one message: its place in a buffer, a checksum, and the buffer. While a message is being replaced,
//! there may be none.

use super::{EACH, Source, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::{Broken, Panicked};
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};

/// The start and the end of the message in the buffer, and a checksum: three words.
const HEAD: usize = 24;
const BUFFER: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The checksum covers only the buffer.
    RangeNotCovered,
    /// The range is used before the checksum shows that it is whole.
    RangeTrusted,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("mailbox.rs") };

/// A known fact about the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Replacing,
    Put(&'static str),
}

/// The messages, and where they are put: a message does not overwrite the one before.
const MESSAGES: [(&str, usize); 2] = [("one", 0), ("three", 8)];

struct Mailbox<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Mailbox<'_, M> {
    fn put(&self, message: &str, start: usize) -> Result<(), M::Error> {
        let end = start + message.len();
        let mut buffer = [0; BUFFER];
        self.medium.read(HEAD as u64, &mut buffer)?;
        buffer[start..end].copy_from_slice(message.as_bytes());
        let checksum = self.checksum(start as u64, end as u64, &buffer);
        let words = [start as u64, end as u64, checksum];
        let mut whole: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        whole.extend(buffer);
        self.medium.write(0, &whole);
        self.medium.persist(0..whole.len() as u64)
    }

    fn checksum(&self, start: u64, end: u64, buffer: &[u8]) -> u64 {
        let range = [start.to_le_bytes(), end.to_le_bytes()].concat();
        let covered = if self.bug == Some(Bug::RangeNotCovered) { &[] } else { &range[..] };
        crc32c::crc32c_append(crc32c::crc32c(covered), buffer).into()
    }

    fn message(&self) -> Result<Option<String>, M::Error> {
        let mut whole = [0; HEAD + BUFFER];
        self.medium.read(0, &mut whole)?;
        let word = |at| {
            let mut word = [0; 8];
            word.copy_from_slice(&whole[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let (start, end, checksum) = (word(0), word(8), word(16));
        let buffer = &whole[HEAD..];
        let place = |word| usize::try_from(word).unwrap_or(usize::MAX);
        let range = place(start)..place(end);
        let is_whole = checksum == self.checksum(start, end, buffer);
        let bytes = match self.bug {
            Some(Bug::RangeTrusted) => Some(&buffer[range]),
            _ => buffer.get(range),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(bytes.filter(|_| is_whole).map(text))
    }
}

fn workload(medium: &SimMedium, notes: &Notes<'_, Note>, bug: Option<Bug>) {
    for (message, start) in MESSAGES {
        notes.add(Note::Replacing);
        Mailbox { medium, bug }.put(message, start).unwrap();
        notes.add(Note::Put(message));
    }
}

fn judge(medium: &SimMedium, notes: &[Note], bug: Option<Bug>) -> Result<(), Violation> {
    let message = Mailbox { medium, bug }.message()?;
    let is_right = match (notes.last(), message.as_deref()) {
        (Some(Note::Put(put)), found) => found == Some(put),
        (Some(Note::Replacing), Some(found)) => MESSAGES.iter().any(|(put, _)| *put == found),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    Violation::unless(is_right, || format!("the message is {message:?}"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    Simulation::new(model, 64).zeros().explore(
        |medium, notes| workload(medium, notes, bug),
        |medium, notes| judge(medium, notes, bug),
    )
}

#[test]
fn the_mailbox_is_safe() {
    assert_safe(&EACH, |model| explore(model, None));
}

#[test]
fn a_checksum_that_does_not_cover_the_length_is_found() {
    // The end of "one" with all else of "three", or the like.
    assert_found(&EACH, |model| explore(model, Some(Bug::RangeNotCovered)), Broken, "", &[]);
}

#[test]
fn a_torn_length_that_makes_recovery_panic_is_found() {
    // The start of "three", 8, with the end of "one", 3.
    let explore = |model| explore(model, Some(Bug::RangeTrusted));
    assert_found(&EACH, explore, Panicked, "", &[]);
    let found = explore(Model::X86);
    // The panic's own place is where the range is used.
    let place = SOURCE.at("Some(Bug::RangeTrusted) => Some(&buffer[range]),");
    assert!(
        found.failure.as_deref().is_some_and(|failure| failure.violation.text.contains(&place))
    );
}
