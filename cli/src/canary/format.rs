//! The bytes of a canary.
//!
//! Numbers are little-endian; texts are UTF-8, cut at a character and padded with zeros. The file has [`LEN`] bytes.
//! Its parts lie so far apart that no page of one (up to 64 KiB) is a page of another: a write-back of one part by
//! pages leaves the others alone. Everything between them is zero.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CMCANARY` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | a random number, which differs from that of any other canary |
//! | 16 | 4 | the method of persisting: 0 by a fence alone, 1 by cache lines, 2 by pages |
//! | 20 | 4 | zero |
//! | 24 | 8 | the time of planting, in seconds since 1970 (UTC) |
//! | 32 | 64 | the boot, as in `/proc/sys/kernel/random/boot_id` |
//! | 96 | 64 | the kernel's release |
//! | 160 | 64 | the backing of the file, as `inspect --json` names it |
//! | 224 | 64 | the block device |
//! | 288 | 64 | the type of the file system |
//! | 352 | 156 | zero |
//! | 508 | 4 | CRC32C of the 508 bytes before |
//! | 65536 | 16384 | the pattern that was persisted |
//! | 131072 | 16384 | the pattern that was only stored: neither written back nor synced |
//!
//! The pattern is made of words of 8 bytes, each with its own offset in the file in its low half and the random number
//! in its high half. A word that is lost or misplaced is therefore evident.

use core::ops::Range;

pub(super) const LEN: u64 = 196_608;
/// The header, with its checksum.
pub(super) const HEADER: usize = 512;
/// The pattern that is persisted.
pub(super) const PERSISTED: Range<u64> = 65_536..81_920;
/// The pattern that is only stored.
pub(super) const STORED: Range<u64> = 131_072..147_456;

const MAGIC: &[u8; 8] = b"CMCANARY";
const VERSION: u32 = 1;
const CHECKSUM: usize = 508;
const TEXT: usize = 64;
const WORD: usize = 8;

/// The contents of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u32,
    pub(super) how: u32,
    pub(super) seconds: u64,
    pub(super) boot: String,
    pub(super) kernel: String,
    pub(super) backing: String,
    pub(super) device: String,
    pub(super) file_system: String,
}

/// The reason why bytes are not a readable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// The magic is another one.
    Magic,
    /// The checksum of the header is wrong.
    Damaged,
    /// The header is of a later version.
    Version(u32),
}

impl core::fmt::Display for NotOurs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic => f.write_str(
                "is not a canary: its first bytes are not CMCANARY, or planting it was interrupted; \
                 look what it is, and remove it to plant one",
            ),
            Self::Damaged => f.write_str(
                "is a canary whose header is damaged: bytes of it were lost or changed since it was \
                 planted; remove it to plant another",
            ),
            Self::Version(version) => write!(
                f,
                "is a canary of version {version}, and this command knows version {VERSION}; read \
                 it with the command that planted it"
            ),
        }
    }
}

impl core::error::Error for NotOurs {}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &self.number.to_le_bytes());
        put(16, &self.how.to_le_bytes());
        put(24, &self.seconds.to_le_bytes());
        let texts = [&self.boot, &self.kernel, &self.backing, &self.device, &self.file_system];
        for (place, text) in texts.into_iter().enumerate() {
            put(32 + place * TEXT, cut(text).as_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM]);
        bytes[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Decodes a header. The version is believed without the checksum, whose place a later version may change.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, NotOurs> {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if !bytes.starts_with(MAGIC) {
            return Err(NotOurs::Magic);
        }
        let is_intact = crc32c::crc32c(&bytes[..CHECKSUM]) == number(CHECKSUM);
        match (number(8), is_intact) {
            (VERSION, true) => {}
            (VERSION, false) => return Err(NotOurs::Damaged),
            (other, _) => return Err(NotOurs::Version(other)),
        }
        let text = |place: usize| {
            let at = 32 + place * TEXT;
            let text = bytes[at..at + TEXT].split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        };
        Ok(Self {
            number: number(12),
            how: number(16),
            seconds: u64::from(number(28)) << 32 | u64::from(number(24)),
            boot: text(0),
            kernel: text(1),
            backing: text(2),
            device: text(3),
            file_system: text(4),
        })
    }
}

/// Returns as much of a text as fits, to a whole character.
fn cut(text: &str) -> &str {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Returns the pattern from an offset on, which is a multiple of 8.
pub(super) fn pattern(number: u32, range: Range<u64>) -> Vec<u8> {
    let words = range.step_by(WORD).map(|at| u64::from(number) << 32 | at);
    words.flat_map(u64::to_le_bytes).collect()
}

/// The contents found in the place of a part of the pattern.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Instead {
    Zeros,
    OtherBytes,
    /// The part could not be read, for this reason.
    Unreadable(String),
}

/// A part of the pattern that has changed: from `start` up to `end`, offsets in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Damage {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) instead: Instead,
}

/// Adds the differences of bytes read from `at` on from the pattern, in whole words.
pub(super) fn compare(number: u32, at: u64, bytes: &[u8], damaged: &mut Vec<Damage>) {
    let end = at + bytes.len() as u64;
    let expected = pattern(number, at..end);
    let words = bytes.chunks(WORD).zip(expected.chunks(WORD)).zip((at..).step_by(WORD));
    for ((found, expected), at) in words {
        if found != expected {
            let is_zero = found.iter().all(|byte| *byte == 0);
            let instead = if is_zero { Instead::Zeros } else { Instead::OtherBytes };
            add(Damage { start: at, end: at + found.len() as u64, instead }, damaged);
        }
    }
}

/// Adds damage to a list in order, as a part of the last if it continues that.
pub(super) fn add(damage: Damage, damaged: &mut Vec<Damage>) {
    match damaged.last_mut() {
        Some(last) if last.end == damage.start && last.instead == damage.instead => {
            last.end = damage.end;
        }
        _ => damaged.push(damage),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Damage, HEADER, Header, Instead, NotOurs, compare, cut, pattern};

    pub(in crate::canary) fn header() -> Header {
        Header {
            number: 0x0403_0201,
            how: 1,
            seconds: 1_700_000_000,
            boot: String::from("0b7e9a2c-0000-4000-8000-000000000001"),
            kernel: String::from("6.1.0-56-cloud-amd64"),
            backing: String::from("emulated_pmem"),
            device: String::from("pmem0"),
            file_system: String::from("ext4"),
        }
    }

    /// Each field where the module's table has it; 1 700 000 000 is `0x6553_F100`.
    #[test]
    fn a_header_is_laid_out_as_documented() {
        let bytes = header().encode();
        assert_eq!(bytes[..8], *b"CMCANARY");
        assert_eq!(bytes[8..24], [1, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], [0x00, 0xf1, 0x53, 0x65, 0, 0, 0, 0]);
        assert_eq!(bytes[32..68], *b"0b7e9a2c-0000-4000-8000-000000000001");
        assert_eq!(bytes[68..96], [0; 28]);
        assert_eq!(bytes[96..116], *b"6.1.0-56-cloud-amd64");
        assert_eq!(bytes[160..173], *b"emulated_pmem");
        assert_eq!(bytes[224..229], *b"pmem0");
        assert_eq!(bytes[288..292], *b"ext4");
        assert_eq!(bytes[292..508], [0; 216]);
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        let far = Header { seconds: u64::MAX, number: u32::MAX, ..header() };
        assert_eq!(Header::decode(&far.encode()), Ok(far));
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        for place in 0..HEADER * 8 {
            let mut changed = bytes;
            changed[place / 8] ^= 1 << (place % 8);
            let found = Header::decode(&changed).unwrap_err();
            match place / 8 {
                0..8 => assert_eq!(found, NotOurs::Magic),
                8..12 => assert!(matches!(found, NotOurs::Version(_)), "bit {place}: {found}"),
                _ => assert_eq!(found, NotOurs::Damaged, "bit {place}"),
            }
        }
        assert_eq!(Header::decode(&[0; HEADER]), Err(NotOurs::Magic));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        assert_eq!(cut(&"a".repeat(70)), "a".repeat(64));
        // Each has two bytes; the first makes the limit fall within one.
        assert_eq!(cut(&format!("a{}", "\u{e9}".repeat(40))), format!("a{}", "\u{e9}".repeat(31)));
        let long = Header { kernel: "\u{e9}".repeat(40), ..header() };
        assert_eq!(Header::decode(&long.encode()).unwrap().kernel, "\u{e9}".repeat(32));
    }

    /// Offset 65536 is `0x0001_0000`, in the low half; the number is in the high half.
    #[test]
    fn each_word_of_the_pattern_names_its_place() {
        let bytes = pattern(0x0403_0201, 65_536..65_552);
        assert_eq!(bytes, [0, 0, 1, 0, 1, 2, 3, 4, 8, 0, 1, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn damage_is_listed_in_whole_words_with_their_content() {
        let mut bytes = pattern(7, 65_536..65_600);
        bytes[9] ^= 0x80;
        bytes[16..32].fill(0);
        bytes[32..40].copy_from_slice(&pattern(7, 65_536..65_544));
        let mut damaged = Vec::new();
        compare(7, 65_536, &bytes, &mut damaged);
        let damage = |start, end, instead| Damage { start, end, instead };
        assert_eq!(
            damaged,
            [
                damage(65_544, 65_552, Instead::OtherBytes),
                damage(65_552, 65_568, Instead::Zeros),
                damage(65_568, 65_576, Instead::OtherBytes),
            ]
        );
        // Another canary's pattern is damage from the first word to the last.
        let mut all = Vec::new();
        compare(8, 65_536, &pattern(7, 65_536..65_600), &mut all);
        assert_eq!(all, [damage(65_536, 65_600, Instead::OtherBytes)]);
    }
}
