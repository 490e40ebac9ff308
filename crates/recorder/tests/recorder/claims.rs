//! Properties of a recording after any change of its bytes. The property tests and the fuzzers in `fuzz/` check the
//! same ones.

pub(crate) use super::plain::{BASE, SIZE};
use super::plain::{Recorded, Shown, merged, options, options_of, shown};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint_recorder::{ErrorKind, FormatError, Found, Options, Reader, Skipped, SkippedKind};
use core::ops::Range;

/// The offsets of the roots, and the length of a root.
const ROOTS: [usize; 4] = [0, 4096, 8192, 12288];
const ROOT: usize = 120;
/// The length of a sub-buffer's header in bytes.
pub(crate) const HEADER: usize = 64;

/// Returns the payload of an event by its number. None of its bytes is zero.
pub(crate) fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|place| (number * 31 + place) as u8 | 1).collect()
}

/// The recorded events: the shard and the length of the payload of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lived {
    events: Vec<(u32, usize)>,
}

/// The content of a medium before the creation.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Held {
    Zeros,
    /// Words derived from this seed.
    Junk(u64),
    /// Another recording, which was erased as the documentation says.
    Recording(Vec<Deed>),
}

impl Held {
    fn put<M: Medium>(&self, medium: &M) {
        match self {
            Self::Zeros => {}
            Self::Junk(seed) => {
                for at in (0..medium.len()).step_by(8) {
                    let word = (seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    medium.write(at, &word.rotate_left(29).to_le_bytes());
                }
            }
            Self::Recording(deeds) => {
                drop(lived(medium, *b"another identity", deeds));
                for at in ROOTS {
                    medium.write(at as u64, &[0; 8]);
                }
            }
        }
    }
}

/// One operation on a recording.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Deed {
    /// Records an event with a payload of this length in a shard.
    Record {
        shard: u8,
        #[cfg_attr(fuzzing, arbitrary(with = length))]
        len: u16,
    },
    /// Opens the recording again.
    Reopen,
}

/// Mostly lengths of less than 192 bytes, and some around the longest payload.
#[cfg(fuzzing)]
fn length(unstructured: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<u16> {
    let len = u16::from(unstructured.arbitrary::<u8>()?);
    Ok(if len < 192 { len } else { len + (SIZE - HEADER - 24) as u16 - 240 })
}

/// The names and fields of some events.
const EVENTS: &[(u16, &str)] =
    &[(0, "first: number=u32 half=u16 text=str"), (2, "third: a=i64 b=f64 c=i8")];

fn text(error: impl core::fmt::Display) -> String {
    error.to_string()
}

/// Creates a recording with two shards on a medium with this content, and does all operations.
pub(crate) fn live<M: Medium>(medium: &M, held: &Held, deeds: &[Deed]) -> Lived {
    held.put(medium);
    lived(medium, *b"sixteen letters!", deeds)
}

fn lived<M: Medium>(medium: &M, identity: [u8; 16], deeds: &[Deed]) -> Lived {
    let mut lived = Lived::default();
    let options_of_file = options_of(identity).events(EVENTS).shards(2);
    let mut recorder = options_of_file.create_new(medium).map_err(text).unwrap().0;
    for deed in deeds {
        match *deed {
            Deed::Record { shard, len } => {
                let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
                let number = lived.events.len();
                let bytes = payload(number, len.into());
                let writer = &writers[usize::from(shard % 2)];
                let outcome = writer.record_at(number as u64, number as u16, &bytes);
                match outcome.map_err(ErrorKind::from) {
                    Ok(()) => lived.events.push((writer.shard(), len.into())),
                    Err(ErrorKind::TooLong { .. }) => {}
                    Err(kind) => panic!("{kind}"),
                }
            }
            Deed::Reopen => {
                drop(recorder);
                recorder = options().open(medium).map_err(text).unwrap().0;
            }
        }
    }
    lived
}

impl Lived {
    /// Returns true if an event was recorded. The undamaged file need not contain it: if the end of a shard is lost,
    /// events that it had overwritten may be found.
    pub(crate) fn was_recorded(&self, event: &Recorded) -> bool {
        let number = usize::from(event.id);
        let is_whole = |(_, len): &(u32, usize)| event.payload == payload(number, *len);
        event.timestamp == number as u64 && self.events.get(number).is_some_and(is_whole)
    }

    /// Checks that the last events of each shard are returned: only the oldest were overwritten.
    pub(crate) fn is_shown(&self, image: &[u8]) {
        for (shard, shown) in (0..).zip(all(image)) {
            let of_shard = self.events.iter().enumerate().filter(|(_, (of, _))| *of == shard);
            let recorded: Vec<_> = of_shard.map(|(number, _)| number as u16).collect();
            let ids: Vec<_> = shown.events.iter().map(|event| event.id).collect();
            assert!(recorded.ends_with(&ids), "{recorded:?} and {shown:?}");
            assert_eq!(recorded.is_empty(), ids.is_empty(), "{recorded:?} and {shown:?}");
            assert!(shown.events.iter().all(|event| self.was_recorded(event)), "{shown:?}");
            assert_eq!(shown.skipped, []);
        }
    }
}

/// Returns the range of the header of an event's sub-buffer.
fn header(event: &Recorded) -> Range<usize> {
    let at = event.at as usize / SIZE * SIZE;
    at..at + HEADER
}

/// Returns true if an event must be found after these bytes have changed, because its bytes and its header have not.
fn is_findable(event: &Recorded, is_hit: impl Fn(Range<usize>) -> bool) -> bool {
    let at = event.at as usize;
    let end = at + 24 + event.payload.len().next_multiple_of(8);
    !is_hit(at..end) && !is_hit(header(event))
}

/// Returns everything found in both shards.
pub(crate) fn all(bytes: &[u8]) -> [Shown; 2] {
    let reader = Reader::open(Bytes(bytes)).unwrap();
    [0, 1].map(|shard| shown(&reader, shard))
}

/// Checks that only recorded events are returned, that every undamaged event is, and that a gap is reported where an
/// event was destroyed, if a later event of its opening and shard is returned. The recording opens if one of its roots
/// is undamaged.
pub(crate) fn damage_costs_what_it_touches(before: &[u8], after: &[u8], lived: &Lived) {
    let is_hit = |range: Range<usize>| before[range.clone()] != after[range];
    // The first opening writes two roots.
    let is_whole = |at: &usize| before[*at] != 0 && !is_hit(*at..*at + ROOT);
    if !ROOTS.iter().any(is_whole) {
        return;
    }
    for (written, found) in all(before).iter().zip(&all(after)) {
        assert!(found.events.iter().all(|event| lived.was_recorded(event)), "{found:?}");
        for event in written.events.iter().filter(|event| is_findable(event, is_hit)) {
            assert!(found.events.contains(event), "{event:?} of {found:?}");
        }
        written.events.iter().for_each(|event| is_reported(event, found));
    }
}

/// Checks that an event is returned, or a gap in its place, if a later one of its opening is returned.
fn is_reported(event: &Recorded, found: &Shown) {
    let is_later = |later: &Recorded| {
        later.generation == event.generation
            && (later.sequence, later.at) > (event.sequence, event.at)
    };
    if found.events.contains(event) || !found.events.iter().any(is_later) {
        return;
    }
    let is_gap = |skipped: &Skipped| {
        skipped.kind != SkippedKind::Overwritten
            && (skipped.at..skipped.at + skipped.len).contains(&event.at)
    };
    assert!(found.skipped.iter().any(is_gap), "{event:?} of {found:?}");
}

/// Checks that arbitrary bytes are read to an end, by shard and merged, and that all items lie within the medium.
/// Returns the events.
pub(crate) fn anything_is_read_to_an_end<S: Readable>(source: S) -> Vec<Vec<Recorded>> {
    let len = source.len();
    let Ok(reader) = Reader::open(source) else { return Vec::new() };
    let shards = reader.description().shards;
    let all: Vec<_> = (0..shards).map(|shard| shown(&reader, shard)).collect();
    for shown in &all {
        // An event has at least 24 bytes.
        assert!(((shown.events.len() + shown.skipped.len()) as u64) < len);
        assert!(shown.skipped.iter().all(|skipped| skipped.at + skipped.len <= len));
        assert!(shown.events.iter().all(|event| event.at + event.payload.len() as u64 <= len));
    }
    let table = reader.event_table().unwrap();
    let merged = merged(&reader, |found| {
        if let Found::Event(event) = found
            && let Some((name, mut fields)) = table.describe(event)
        {
            let names: Vec<_> =
                [name].into_iter().chain(fields.by_ref().map(|(name, _)| name)).collect();
            // Each field except a text takes at least one byte of the payload, and a text is the last field.
            assert!(names.len() <= 1 + event.payload.len() + 1, "{names:?}");
            let unread = fields.unread().unwrap_or_default();
            assert!(names.concat().len() + unread.len() <= 512, "{names:?} {unread}");
            let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(names.iter().all(|name| !name.is_empty() && is_plain(name)), "{names:?}");
            assert!(is_plain(unread), "{unread}");
            assert!(event.payload.ends_with(fields.rest()));
        }
    });
    assert_eq!(merged, all);
    all.into_iter().map(|shown| shown.events).collect()
}

/// Checks that any recording that can be opened accepts new events, and that they are found.
pub(crate) fn anything_goes_on<M: Medium>(medium: &M, options: Options<'_>) {
    let Ok((recorder, _)) = options.open(medium) else { return };
    let most = u64::from(recorder.description().sub_buffers);
    for _ in 0..recorder.description().shards {
        let writer = recorder.claim().unwrap();
        let record = |number: &u64| {
            let outcome = writer.record_at(u64::MAX, 77, &number.to_le_bytes());
            match outcome.map_err(ErrorKind::from) {
                Ok(()) => true,
                Err(ErrorKind::Format(FormatError::WornOut)) => false,
                Err(kind) => panic!("{kind}"),
            }
        };
        // The new events fill no more than two sub-buffers, so that nothing is overwritten.
        let numbers: Vec<u64> = (0..most.min(12)).filter(record).collect();
        let found = shown(&recorder.reader(), writer.shard()).events;
        for number in numbers {
            let is_it = |event: &Recorded| event.payload == number.to_le_bytes();
            assert!(found.iter().any(is_it), "{found:?}");
        }
    }
}
