//! The format byte by byte, compared with a file that the test builds from the documentation.

use super::plain::{BASE, clock, is_missing, options, shown};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint_recorder::SkippedKind::Torn;
use cachemaint_recorder::{Clock, ErrorKind, FormatError, Found, Identity, Options, Reader};
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// XXH3 with a seed, by an implementation that the library does not use.
fn h(seed: u64, parts: &[&[u8]]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&parts.concat(), seed)
}

/// Returns the key of a kind.
fn k(kind: u64, epoch: u64, place: u64) -> u64 {
    h(kind, &[&IDENTITY, &epoch.to_le_bytes(), &place.to_le_bytes()])
}

const IDENTITY: [u8; 16] = *b"sixteen letters!";

/// One shard of two sub-buffers of 256 bytes.
const LEN: usize = BASE + 2 * 256;

struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts both copies of a root.
    fn root(&mut self, version: u32, generation: u64) {
        for at in slots(generation) {
            self.put(at, b"CMtRace\x1a");
            self.put(at + 8, &version.to_le_bytes());
            self.put(at + 12, &[120, 0, 0, 0]);
            self.put(at + 24, &IDENTITY);
            self.put(at + 40, &generation.to_le_bytes());
            self.put(at + 48, &[1, 0, 0, 0]);
            self.put(at + 52, &[2, 0, 0, 0]);
            self.put(at + 56, &[0, 1, 0, 0]);
            // Source 0, no texts, 1 000 000 000 = 0x3b9aca00 ticks, anchor 0, wall 0, no boot id.
            self.put(at + 80, &[0x00, 0xca, 0x9a, 0x3b]);
            self.seal(at);
        }
    }

    fn seal(&mut self, at: usize) {
        let generation = u64::from_le_bytes(self.0[at + 40..at + 48].try_into().unwrap());
        let seed = h(k(1, generation, at as u64), &[&self.0[at..at + 16]]);
        let tag = h(seed, &[&self.0[at + 24..at + 120]]);
        self.put(at + 16, &tag.to_le_bytes());
    }

    /// Puts sub-buffer 4 of the shard, which is in slot 0. The records of sub-buffer 3 ended at 248.
    fn sub_buffer(&mut self) {
        self.put(BASE, b"CMsb\0\0\0\0");
        self.put(BASE + 8, &[4, 0, 0, 0, 0, 0, 0, 0]);
        self.put(BASE + 16, &[100, 0, 0, 0, 0, 0, 0, 0]);
        // The sub-buffer began at 2001-09-09T01:46:40Z, 10^18 ns = 0x0de0b6b3a7640000.
        self.put(BASE + 24, &[0x00, 0x00, 0x64, 0xa7, 0xb3, 0xb6, 0xe0, 0x0d]);
        // 2000 ticks a second.
        self.put(BASE + 32, &[0xd0, 0x07, 0, 0, 0, 0, 0, 0]);
        self.put(BASE + 40, &[248, 0, 0, 0, 0, 0, 0, 0]);
        self.put(BASE + 48, &[7, 0, 0, 0, 0, 0, 0, 0]);
        self.seal_sub_buffer(7, 4);
    }

    fn seal_sub_buffer(&mut self, generation: u64, sequence: u64) {
        let tag = h(k(33, generation, sequence), &[&self.0[BASE..BASE + 56]]);
        self.put(BASE + 56, &tag.to_le_bytes());
    }

    /// Puts the event 0x1234 at tick 102 with the payload "valve", at offset 64 of a sub-buffer.
    fn record(&mut self, generation: u64, sequence: u64) {
        let rest = [
            0x34, 0x12, 5, 0, 64, 0, 0, 0, 102, 0, 0, 0, 0, 0, 0, 0, b'v', b'a', b'l', b'v', b'e',
            0, 0, 0,
        ];
        self.put(BASE + 64, &h(k(32, generation, sequence), &[&rest]).to_le_bytes());
        self.put(BASE + 72, &rest);
    }
}

/// Returns the slots of a generation.
fn slots(generation: u64) -> [usize; 2] {
    if generation.is_multiple_of(2) { [0, 8192] } else { [4096, 12288] }
}

fn golden() -> Image {
    let mut image = Image(vec![0; LEN]);
    image.root(4, 6);
    image.root(4, 7);
    image.sub_buffer();
    image.record(7, 4);
    image
}

#[test]
fn a_file_written_by_the_documentation_is_read() {
    let image = golden();
    let reader = Reader::open(Bytes(&image.0[..])).unwrap();
    let description = reader.description();
    assert_eq!((description.generation, description.identity), (7, Identity(IDENTITY)));
    assert_eq!((description.shards, description.sub_buffers), (1, 2));
    assert_eq!((description.sub_buffer_size, reader.largest_payload()), (256, 168));
    assert!(!reader.is_root_damaged());

    let mut buffer = [0; 168];
    let mut events = reader.shard(0);
    // Sub-buffer 3, which the next one was about to replace, is zeros.
    let Some(Found::Skipped(missing)) = events.read_next(&mut buffer).unwrap() else {
        panic!("no gap")
    };
    assert_eq!((missing.at, missing.len, missing.kind), (BASE as u64 + 256, 256, Torn));
    let Some(Found::Event(event)) = events.read_next(&mut buffer).unwrap() else {
        panic!("no event")
    };
    assert_eq!((event.id, event.timestamp, event.payload), (0x1234, 102, &b"valve"[..]));
    // Two ticks of 500 µs after the beginning.
    assert_eq!(event.wall, Some(1_000_000_000_001_000_000));
    assert_eq!((event.shard, event.sequence, event.at), (0, 4, BASE as u64 + 64));
    assert_eq!(events.read_next(&mut buffer).unwrap(), None);
}

#[test]
fn a_recording_matches_the_documented_format() {
    let medium = Plain::zeros(LEN);
    let (recorder, _) = options().events(&[(1, "a"), (7, "b: c=u8")]).create_new(&medium).unwrap();
    recorder.claim().unwrap().record_at(102, 0x1234, b"valve").unwrap();

    let mut expected = Image(vec![0; LEN]);
    expected.root(4, 1);
    let texts = b"\x01\0\x01\0a\x07\0\x07\0b: c=u8";
    expected.put(16384, texts);
    for slot in slots(1) {
        expected.put(slot + 64, &[texts.len() as u8]);
        expected.put(slot + 72, &h(k(34, 0, 0), &[texts]).to_le_bytes());
        expected.seal(slot);
    }
    expected.put(BASE, b"CMsb");
    expected.put(BASE + 16, &[102]);
    expected.put(BASE + 32, &[0x00, 0xca, 0x9a, 0x3b]);
    expected.put(BASE + 48, &[1]);
    expected.seal_sub_buffer(1, 0);
    expected.record(1, 0);
    assert_eq!(medium.bytes(), expected.0);
}

fn refusal(image: &Image) -> ErrorKind<Infallible> {
    ErrorKind::from(Reader::open(Bytes(&image.0[..])).map(drop).unwrap_err().error)
}

fn format_refusal(image: &Image) -> FormatError<Infallible> {
    match refusal(image) {
        ErrorKind::Format(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn an_invalid_recording_is_refused_with_the_found_bytes() {
    for (cut, whole) in [(4200, 16384), (LEN - 1, LEN)] {
        let refused = format_refusal(&Image(golden().0[..cut].to_vec()));
        let FormatError::Truncated { size, needed, .. } = refused else { panic!("{refused:?}") };
        assert_eq!((size, needed), (cut as u64, whole as u64));
    }
    let mut other = Image(vec![0; LEN]);
    other.put(0, b"\x7fELF\x02\x01\x01\0");
    assert_eq!(
        refusal(&other).to_string(),
        "this is not a recording: it begins with \\x7fELF\\x02\\x01\\x01\\x00 instead of CMtRace\\x1a; open another medium"
    );
    for (image, expected) in
        [(b"a text".to_vec(), *b"a text\0\0"), (b"a longer".repeat(515), *b"a longer")]
    {
        let refused = format_refusal(&Image(image));
        assert!(matches!(refused, FormatError::Foreign { found, .. } if found == expected));
    }
    assert!(is_missing(&refusal(&Image(vec![0; LEN]))));

    let mut newer = golden();
    newer.root(5, 8);
    assert!(matches!(format_refusal(&newer), FormatError::Version { found: 5, .. }));

    let mut damaged = golden();
    (0..4).for_each(|slot| damaged.0[slot * 4096 + 20] ^= 1);
    assert_eq!(format_refusal(&damaged), FormatError::Roots);

    let changed = |at: usize, bytes: &[u8]| {
        let mut image = golden();
        for slot in slots(7) {
            image.put(slot + at, bytes);
            image.seal(slot);
        }
        format_refusal(&image)
    };
    for (at, bytes) in [
        (48, [0, 0, 0, 0]),
        (48, [1, 16, 0, 0]),
        (52, [1, 0, 0, 0]),
        (56, [0, 3, 0, 0]),
        (60, [4, 0, 0, 0]),
        (80, [0, 0, 0, 0]),
    ] {
        assert_eq!(changed(at, &bytes), FormatError::Roots, "{at}");
    }
    // 2^32 - 1 sub-buffers of 2^20 bytes in 4096 shards: larger than any medium.
    let huge = changed(48, &[0, 16, 0, 0, 255, 255, 255, 255, 0, 0, 16, 0]);
    assert!(matches!(huge, FormatError::Truncated { .. }));
}

#[test]
fn a_damaged_copy_of_the_root_is_replaced_and_a_lost_root_gives_way_to_the_one_before() {
    for slot in slots(7) {
        let mut image = golden();
        image.0[slot + 90] ^= 1;
        let reader = Reader::open(Bytes(&image.0[..])).unwrap();
        assert_eq!((reader.description().generation, reader.is_root_damaged()), (7, true));
        let medium = Plain::zeros(LEN);
        medium.write(0, &image.0);
        let (recorder, opened) = options().open(&medium).unwrap();
        assert!(opened.is_root_mended && !opened.is_new);
        assert_eq!(recorder.description().generation, 8);
        assert_eq!(medium.bytes()[slot..][..120], golden().0[slot..][..120]);
    }
    let mut image = golden();
    for slot in slots(7) {
        image.0[slot + 90] ^= 1;
    }
    let medium = Plain::zeros(LEN);
    medium.write(0, &image.0);
    assert_eq!(Reader::open(&medium).unwrap().description().generation, 6);
    // Sub-buffers of the lost opening exist. The only root is not overwritten.
    let (recorder, _) = options().open(&medium).unwrap();
    assert_eq!(recorder.description().generation, 9);
    assert_eq!(medium.bytes()[..120], golden().0[..120]);
    recorder.claim().unwrap().record_at(103, 1, b"").unwrap();
    assert_eq!(shown(&Reader::open(&medium).unwrap(), 0).events.len(), 2);
}

/// The length of a root is a multiple of 8 bytes. A reader never reads a part of a word while a writer may store: this
/// medium would panic.
#[test]
fn a_root_with_a_damaged_length_is_damaged() {
    let medium = Plain::zeros(LEN);
    drop(options().create_new(&medium).unwrap());
    let word = medium.load(4096 + 8, Relaxed);
    medium.store(4096 + 8, word + (1 << 32), Relaxed);
    assert!(Reader::open(&medium).unwrap().is_root_damaged());
}

#[test]
fn options_that_make_no_recording_are_refused() {
    let medium = Plain::zeros(LEN);
    let refuse = |options: Options<'_>| {
        ErrorKind::from(options.create_new(&medium).map(drop).unwrap_err().error)
    };
    assert!(matches!(refuse(options().shards(0)), ErrorKind::Geometry(_)));
    assert!(matches!(refuse(options().shards(4097)), ErrorKind::Geometry(_)));
    assert!(matches!(refuse(options().sub_buffer_size(128)), ErrorKind::Geometry(_)));
    assert!(matches!(refuse(options().sub_buffer_size(768)), ErrorKind::Geometry(_)));
    assert!(matches!(refuse(options().sub_buffer_size(2 << 20)), ErrorKind::Geometry(_)));
    assert!(matches!(refuse(options().sub_buffers(1)), ErrorKind::Geometry(_)));
    let ErrorKind::Format(FormatError::TooSmall { size, needed, .. }) =
        refuse(options().sub_buffers(3))
    else {
        panic!()
    };
    assert_eq!((size, needed), (LEN as u64, LEN as u64 + 256));
    let few = refuse(options().cursors(&mut []));
    assert!(matches!(few, ErrorKind::FewCursors { cursors: 0, shards: 1, .. }), "{few}");
    assert!(medium.bytes().iter().all(|byte| *byte == 0), "the medium is as before");
}

/// Two openings with unrelated clocks: each has its own wall time.
#[test]
fn each_opening_has_its_own_clock() {
    let medium = Plain::zeros(LEN);
    let first = Clock::from_function(|| 5000, 1000, || 1_000_000_000_000);
    let second = Clock::from_function(|| 10, 10, || 2_000_000_000_000);
    let new = Options::with_clock(Identity(IDENTITY), first).sub_buffer_size(256);
    new.create_new(&medium).unwrap().0.claim().unwrap().record_at(5001, 1, b"").unwrap();
    let again = Options::with_clock(Identity([0; 16]), second).open(&medium).unwrap().0;
    again.claim().unwrap().record_at(20, 2, b"").unwrap();

    let reader = again.reader();
    let mut buffer = [0; 168];
    let mut events = reader.events();
    let mut walls = Vec::new();
    while let Some(Found::Event(event)) = events.read_next(&mut buffer).unwrap() {
        walls.push((event.id, event.wall));
    }
    // One tick of 1 ms after the first anchor, and ten of 100 ms after the second one.
    assert_eq!(walls, [(1, Some(1_000_001_000_000)), (2, Some(2_001_000_000_000))]);
    assert_eq!(reader.description().identity, Identity(IDENTITY));
    assert_eq!(shown(&reader, 0).skipped, []);
    assert!(medium.len() > 0 && clock().ticks_per_second() > 0);
}

/// A machine without a wall clock sets it while it records. Three events of 64 bytes fit a sub-buffer after its header.
#[test]
fn the_wall_clock_is_read_when_a_sub_buffer_begins() {
    static WALL: AtomicU64 = AtomicU64::new(0);
    const SET: u64 = 1_700_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    let clock = Clock::from_function(|| 0, 10, || WALL.load(Relaxed));
    let options = Options::with_clock(Identity(IDENTITY), clock).sub_buffer_size(256);
    let medium = Plain::zeros(BASE + 4 * 256);
    let recorder = options.create_new(&medium).unwrap().0;
    for seconds in 0..6 {
        let writer = recorder.claim().unwrap();
        writer.record_at(10 * seconds, 1, &[7; 40]).unwrap();
        // The clock is read at tick 0, three seconds before the event that begins the next sub-buffer.
        WALL.store(SET, Relaxed);
    }
    let reader = recorder.reader();
    let (mut events, mut buffer, mut walls) = (reader.events(), [0; 168], Vec::new());
    while let Some(Found::Event(event)) = events.read_next(&mut buffer).unwrap() {
        walls.push(event.wall);
    }
    let set = [3, 4, 5].map(|seconds| Some(SET + seconds * SECOND));
    assert_eq!(walls, [[None; 3], set].concat());
}

/// The first 20,480 bytes precede the sub-buffers.
#[test]
fn sub_buffers_have_64_kib_where_each_shard_has_space_for_eight() {
    let chosen = |shards, bytes: usize, sub_buffers: Option<u32>| {
        let options = Options::with_clock(Identity(IDENTITY), clock()).shards(shards);
        let options = match sub_buffers {
            Some(sub_buffers) => options.sub_buffers(sub_buffers),
            None => options,
        };
        let medium = Plain::zeros(20_480 + bytes);
        let recorder = options.create_new(&medium).unwrap().0;
        let description = recorder.description();
        (description.sub_buffer_size, description.sub_buffers)
    };
    assert_eq!(chosen(1, 8 << 16, None), (65_536, 8));
    assert_eq!(chosen(2, 16 << 16, None), (65_536, 8));
    assert_eq!(chosen(1, (8 << 16) - 4096, None), (32_768, 15));
    assert_eq!(chosen(1, 8 << 13, None), (8192, 8));
    assert_eq!(chosen(1, (8 << 13) - 4096, None), (4096, 15));
    assert_eq!(chosen(1, 2 << 12, None), (4096, 2));
    assert_eq!(chosen(1, 2 << 16, Some(2)), (65_536, 2));
}

/// Returns a time after the current one.
fn later(clock: &Clock) -> u64 {
    let first = clock.now();
    loop {
        let now = clock.now();
        if now > first {
            return now;
        }
    }
}

/// A clock can be copied, and made long before the opening.
#[test]
#[cfg_attr(miri, ignore = "asks for the wall clock")]
fn the_anchor_of_each_opening_is_its_own() {
    for clock in [Clock::monotonic(), Clock::host()] {
        let options = || Options::with_clock(Identity(IDENTITY), clock).sub_buffer_size(256);
        let medium = Plain::zeros(LEN);
        let begin = later(&clock);
        let created = options().create_new(&medium).unwrap().0.description().anchor.0;
        let middle = later(&clock);
        let opened = options().open(&medium).unwrap().0.description().anchor.0;
        let end = clock.now();
        assert!(begin <= created && created <= middle, "{clock:?}: {created}");
        assert!(middle <= opened && opened <= end, "{clock:?}: {opened}");
    }
}

/// Sub-buffer 1, at the end of the medium, has a record from 64 to 248. The header of sub-buffer 2, in slot 0, states
/// that it ends at 256. No record is as short as 8 bytes.
#[test]
fn a_missing_end_shorter_than_a_record_is_not_looked_at() {
    let medium = Plain::zeros(LEN);
    let recorder = options().create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    (0..3).for_each(|number| writer.record_at(number, 1, &[1; 160]).unwrap());
    let mut image = Image(medium.bytes());
    assert_eq!(image.0[BASE + 40..BASE + 48], [248, 0, 0, 0, 0, 0, 0, 0]);
    image.put(BASE + 40, &[0, 1]);
    image.seal_sub_buffer(1, 2);
    let shown = shown(&Reader::open(Bytes(&image.0[..])).unwrap(), 0);
    assert_eq!((shown.events.len(), shown.skipped), (2, vec![]));
}

/// The records of an erased recording must not verify in the next one.
#[test]
fn each_recording_has_an_identity_of_its_own() {
    let [one, other] = [(); 2].map(|()| {
        let medium = Plain::zeros(BASE + 2 * 4096);
        Options::new().create_new(&medium).unwrap().0.reader().description().identity
    });
    assert_ne!(one, other);
}

/// The last sequence number is in use, in the second slot.
#[test]
fn a_recording_that_is_worn_out_is_left_as_it_is() {
    let mut image = golden();
    image.put(BASE + 8, &[0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]);
    image.seal_sub_buffer(7, (1 << 40) - 1);
    image.0.copy_within(BASE..BASE + 64, BASE + 256);
    image.put(BASE, &[0; 256]);
    let medium = Plain::zeros(LEN);
    medium.write(0, &image.0);
    let refused = options().open(&medium).err().unwrap();
    assert!(matches!(refused.error.kind(), ErrorKind::Format(FormatError::WornOut)), "{refused}");
    assert_eq!(medium.bytes(), image.0);

    let mut image = Image(vec![0; LEN]);
    image.root(4, (1 << 63) - 1);
    let medium = Plain::zeros(LEN);
    medium.write(0, &image.0);
    let refused = options().open(&medium).err().unwrap();
    assert!(matches!(refused.error.kind(), ErrorKind::Format(FormatError::WornOut)), "{refused}");
    assert_eq!(medium.bytes(), image.0);
}

/// Records of 24 + 65,535 bytes and one byte of padding. After a header of 64 bytes, 15 of them fit into 1 MiB and end at
/// 983,464 = 0x0f01a8.
#[test]
fn the_largest_sub_buffers_are_read_across_their_ends() {
    let medium = Plain::zeros(BASE + (2 << 20));
    let recorder = options().sub_buffer_size(1 << 20).create_new(&medium).unwrap().0;
    let writer = recorder.claim().unwrap();
    let payload = vec![7; 65_535];
    (0..16).for_each(|time| writer.record_at(time, 1, &payload).unwrap());
    assert_eq!(medium.bytes()[BASE + (1 << 20) + 40..][..8], [0xa8, 0x01, 0x0f, 0, 0, 0, 0, 0]);
    let shown = shown(&recorder.reader(), 0);
    assert_eq!((shown.events.len(), shown.skipped), (16, vec![]));
}

/// 4,096 shards of 2 × 256 bytes.
#[test]
fn the_most_shards_are_claimed_and_read() {
    const SHARDS: u32 = 4096;
    let medium = Plain::zeros(BASE + SHARDS as usize * 512);
    let recorder = options().shards(SHARDS).create_new(&medium).unwrap().0;
    let writers: Vec<_> = (0..SHARDS).map(|_| recorder.claim().unwrap()).collect();
    assert!(recorder.claim().is_err());
    for writer in &writers {
        writer.record_at(1, 1, &writer.shard().to_le_bytes()).unwrap();
    }
    let reader = recorder.reader();
    for shard in [0, 1, SHARDS / 2, SHARDS - 1] {
        let events = shown(&reader, shard).events;
        assert_eq!((events.len(), &events[0].payload[..]), (1, &shard.to_le_bytes()[..]));
    }
}
