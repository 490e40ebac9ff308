//! Lists of media errors, as Linux shows them: the attribute `badblocks` of a disk and of a region.
//!
//! Each line is a first sector and a number of sectors, of 512 bytes even if the device's own are larger
//! (`block/badblocks.c`, `badblocks_show`). A disk's sectors count from the disk's start, which follows any metadata of
//! the namespace (`drivers/nvdimm/pmem.c`, `pmem_attach_disk`). A region's sectors count from the region's start.
//!
//! # Limits
//! The list lacks:
//! - Errors that were not met yet. It contains those that firmware reported, that a scrub found, or that raised a
//!   machine check.
//! - The rest of a full list. The kernel keeps a page of entries: with pages of 4096 bytes, 512 entries of at most 512
//!   sectors each. It omits the others ("this isn't an error as the hardware will still throw an exception",
//!   `drivers/nvdimm/badrange.c`, `set_badblock`). It shows one byte less than a page of text, which can end within a
//!   line. [`Listed::may_be_cut`] is true if either could have happened.

use crate::Unknown;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::family::tree::{Attribute, Tree};
use core::ops::Range;
use std::path::Path;

/// The unit in which block devices count, in bytes, even those with larger sectors.
pub(crate) const SECTOR: u64 = 512;

/// The content of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// In bytes, in the list's order.
    pub(crate) ranges: Vec<Range<u64>>,
    /// True if more blocks may be bad than the kernel had room for.
    pub(crate) may_be_cut: bool,
}

impl Listed {
    /// Returns the sum of the ranges in bytes, if it fits in 64 bits.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let add = |sum: u64, range: &Range<u64>| sum.checked_add(range.end - range.start);
        self.ranges.iter().try_fold(0, add)
    }
}

/// The size of an entry in the kernel's table, in bytes.
const ENTRY: usize = 8;

/// Reads the list at an absolute path; `page` is the size of a page, in bytes.
pub(crate) fn read(tree: &Tree, path: &Path, page: usize) -> Result<Listed, Unknown> {
    let asked = path.to_string_lossy();
    let bytes = tree.read_bytes(path).map_err(|attribute| {
        let advice = match attribute {
            Attribute::Unreadable(_) => "ask as root, or as a user who may read it",
            _ => "ask where the kernel keeps such a list: it is for persistent memory",
        };
        Unknown::new(&asked, &attribute.describe(), advice)
    })?;
    let text = str::from_utf8(&bytes).ok();
    text.and_then(|text| parse_shown(text, page)).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&bytes);
        let some: String = shown.chars().take(80).collect();
        Unknown::new(
            &asked,
            &format!("no list of bad blocks: {some}"),
            "report it, with the kernel's version",
        )
    })
}

/// Returns the list in a text as the kernel shows it.
fn parse_shown(text: &str, page: usize) -> Option<Listed> {
    let is_full = text.len() + 1 >= page;
    // A truncated line may have lost digits.
    let whole = match text.rsplit_once('\n') {
        Some((whole, _)) if is_full => whole,
        _ => text,
    };
    let ranges = parse(whole.trim_ascii_end())?;
    let may_be_cut = is_full || ranges.len() >= page / ENTRY;
    Some(Listed { ranges, may_be_cut })
}

/// Returns the list in a complete text, in bytes; `None` if it is not such a list.
fn parse(text: &str) -> Option<Vec<Range<u64>>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Range<u64>> {
    let (first, count) = line.split_once(' ')?;
    let bytes = |sectors: &str| sectors.trim().parse::<u64>().ok()?.checked_mul(SECTOR);
    let start = bytes(first)?;
    let end = start.checked_add(bytes(count)?)?;
    (start < end).then_some(start..end)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::{parse, parse_shown};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    const PAGE: usize = 4096;

    #[test]
    fn lines_are_sectors_of_512_bytes() {
        assert_eq!(parse(""), Some(Vec::new()));
        assert_eq!(parse("7 1\n1000 8\n"), Some(vec![3584..4096, 512_000..516_096]));
        assert_eq!(parse("0 512"), Some(vec![0..262_144]));
    }

    #[test]
    fn an_invalid_list_is_rejected() {
        let texts = [
            "7",
            "7 0",
            "-7 1",
            "7 1 2",
            "0x7 1",
            "7 1\n\n8 1",
            "seven one",
            "7 18446744073709551615",
            "36028797018963967 2",
            "99999999999999999999 1",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    /// 4095 bytes are the most that the kernel shows of a longer list.
    #[test]
    fn a_list_that_may_be_cut_says_so_and_drops_its_last_line() {
        // 15 bytes a line: 273 lines are 4095.
        let line = |number: usize| alloc::format!("{:010} 123\n", number * 1000);
        let text: String = (0..273).map(line).collect();
        assert_eq!(text.len(), 4095);
        let listed = parse_shown(&text, PAGE).unwrap();
        assert!(listed.may_be_cut);
        assert_eq!(listed.ranges.len(), 273);
        let shorter = parse_shown(&text[..4080], PAGE).unwrap();
        assert_eq!((shorter.ranges.len(), shorter.may_be_cut), (272, false));

        let within_a_line = alloc::format!("1 1\n2 10\n{}", &text[..4086]);
        assert_eq!(within_a_line.len(), 4095);
        let listed = parse_shown(&within_a_line, PAGE).unwrap();
        assert_eq!((listed.ranges.len(), listed.may_be_cut), (2 + 272, true));
    }

    /// A page of entries of 8 bytes is all that the kernel keeps.
    #[test]
    fn a_full_table_may_lack_some() {
        let of = |lines: usize| -> String {
            let line = |number| [alloc::format!("{} 1\n", number * 2)];
            (0..lines).flat_map(line).collect()
        };
        assert!(of(512).len() < 4095);
        assert!(!parse_shown(&of(511), PAGE).unwrap().may_be_cut);
        assert!(parse_shown(&of(512), PAGE).unwrap().may_be_cut);
        assert!(!parse_shown(&of(512), 16 << 10).unwrap().may_be_cut);
    }

    #[cfg(unix)]
    #[test]
    fn absent_unreadable_and_garbage_have_distinct_errors() {
        use super::read;
        use crate::tests::{Fixture, tree_of};
        use std::path::Path;

        let host = Fixture::new()
            .file("sys/none", "")
            .file("sys/garbage", "\u{1b}[2J bad")
            .file("sys/directory/entry", "");
        let path = |name: &str| Path::new("/sys").join(name);
        let refused = |name: &str| read(&tree_of(&host), &path(name), PAGE).unwrap_err().reason;
        assert_eq!(refused("missing"), "/sys/missing: absent");
        assert!(refused("directory").starts_with("/sys/directory: unreadable: "));
        assert_eq!(refused("garbage"), "/sys/garbage: no list of bad blocks: ?[2J bad");
        let listed = read(&tree_of(&host), &path("none"), PAGE).unwrap();
        assert_eq!((listed.ranges.len(), listed.may_be_cut), (0, false));
    }

    proptest::proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "to generate the texts takes minutes, and there is no unsafe code")]
        fn no_text_makes_it_panic(text in "([0-9]{0,20}[ \n]?|\\PC){0,30}", page in 8_usize..64) {
            parse_shown(&text, page);
        }
    }
}
