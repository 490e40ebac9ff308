//! The places of the bytes of real files. The handling of extents and of the machine's attributes is tested in its own
//! module.

use super::options;
use cachemaint::dax::{DaxView, Error, ErrorKind};
use cachemaint_inspect::{Extent, FileReport, Placement, placement};
use cachemaint_test_support::skip::skip;
use core::ops::Range;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// Not a multiple of any block.
const LEN: u64 = (1 << 20) + 100;
/// A size that can be a page and a block on any machine.
const UNIT: u64 = 64 << 10;

/// Returns the placement, or `None` with a line that gives the reason why it is not known here.
fn told(test: &str, file: &DaxView) -> Option<Placement> {
    match placement(file) {
        Ok(placement) => Some(placement),
        Err(error) => {
            require_unknown(&error);
            skip(test, format_args!("the place of the bytes is unknown: {error}"));
            None
        }
    }
}

#[track_caller]
fn require_unknown(error: &Error) {
    assert!(matches!(error.kind(), ErrorKind::Unknown), "{error}");
}

fn on_device(extent: &Extent) -> Range<u64> {
    extent.on_device..extent.on_device + extent.len
}

/// A new file is filled, so it has no holes; and no byte of the device belongs to two files, or twice to one.
#[test]
fn each_byte_of_a_file_has_one_place_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let files = ["one", "other"].map(|name| options().create_new(directory.path().join(name), LEN));
    let mut taken: Vec<Range<u64>> = Vec::new();
    for file in files {
        let file = file.unwrap();
        let Some(placement) = told("each_byte_of_a_file_has_one_place_of_its_own", file.view())
        else {
            return;
        };
        assert_eq!(placement.device, FileReport::of(file.view()).unwrap().device);
        let mut behind = 0;
        for extent in &placement.extents {
            assert_eq!(extent.offset, behind, "{placement:?}");
            behind += extent.len;
            assert!(extent.len > 0 && extent.on_device.is_multiple_of(512), "{placement:?}");
            let expected = placement.base.as_ref().ok().map(|base| base + extent.on_device);
            assert_eq!(extent.physical, expected);
            taken.push(on_device(extent));
        }
        assert_eq!(behind, LEN, "{placement:?}");
    }
    taken.sort_by_key(|range| range.start);
    assert!(taken.windows(2).all(|pair| pair[0].end <= pair[1].start), "{taken:?}");
}

/// A part of a file has its bytes where the whole file has them, whatever part is mapped.
#[test]
fn a_part_of_a_file_is_where_the_whole_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    let Some(whole) = told("a_part_of_a_file_is_where_the_whole_has_it", file.view()) else {
        return;
    };
    drop(file);
    let range = 3 * UNIT..3 * UNIT + 100_000;
    let part = options().offset(range.start).len(range.end - range.start).open(&path).unwrap();
    let part = placement(part.view()).unwrap();
    let place_of = |placement: &Placement, at: u64| {
        let holds = |extent: &&Extent| (extent.offset..extent.offset + extent.len).contains(&at);
        let extent = placement.extents.iter().find(holds).unwrap();
        extent.on_device + (at - extent.offset)
    };
    for at in [0, 1, 4096, 65_535, 65_536, 99_999] {
        assert_eq!(place_of(&part, at), place_of(&whole, range.start + at), "byte {at}");
    }
    assert_eq!(part.extents.iter().map(|extent| extent.len).sum::<u64>(), 100_000);
    if cfg!(target_pointer_width = "64") {
        assert_eq!(placement(&options().view(&path).unwrap()).unwrap(), whole);
    }
}

#[test]
fn a_hole_is_in_no_extent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let sparse = std::fs::File::create_new(&path).unwrap();
    sparse.set_len(8 * UNIT).unwrap();
    sparse.write_all_at(&vec![7; 64 << 10], 2 * UNIT).unwrap();
    sparse.sync_all().unwrap();
    let Ok(file) = options().open(&path) else {
        skip("a_hole_is_in_no_extent", "a file with holes is refused here: it is on DAX");
        return;
    };
    let Some(placement) = told("a_hole_is_in_no_extent", file.view()) else { return };
    let covered = |at: u64| {
        let holds = |extent: &Extent| (extent.offset..extent.offset + extent.len).contains(&at);
        placement.extents.iter().any(holds)
    };
    assert!(covered(2 * UNIT) && covered(3 * UNIT - 1), "{placement:?}");
    assert!(!covered(0) && !covered(7 * UNIT), "{placement:?}");
}

/// The device itself, past all caches, has there what was persisted in the file.
#[test]
fn the_device_has_the_bytes_there() {
    const TEST: &str = "the_device_has_the_bytes_there";
    let directory = tempfile::tempdir().unwrap();
    let file = options().create_new(directory.path().join("file"), 1 << 20).unwrap();
    let mut written = [0_u8; 4096];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut written).unwrap();
    file.write(5 * UNIT, &written);
    file.persist(5 * UNIT..5 * UNIT + 4096).unwrap();
    std::fs::File::open(file.path()).unwrap().sync_all().unwrap();
    let Some(placement) = told(TEST, file.view()) else { return };
    let device = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(std::path::Path::new("/dev").join(placement.device.replace('!', "/")));
    let device = match device {
        Ok(device) => device,
        Err(error) => {
            skip(TEST, format_args!("the device cannot be read: {}: {error}", placement.device));
            return;
        }
    };
    let holds =
        |extent: &&Extent| (extent.offset..extent.offset + extent.len).contains(&(5 * UNIT));
    let extent = placement.extents.iter().find(holds).unwrap();
    // Direct reads need a place that is aligned to the device's sectors.
    let mut room = vec![0_u8; 8192];
    let gap = room.as_ptr().align_offset(4096);
    let read = &mut room[gap..gap + 4096];
    device.read_exact_at(read, extent.on_device + (5 * UNIT - extent.offset)).unwrap();
    assert!(read == written, "other bytes are there: {placement:?}");
}
