use super::{HUGE, map_aligned, moduli, new, unmap};
use crate::aliasing;
use crate::arch::DataCache;
use crate::arch::{arm, other, x86};
use crate::dax::Writeback;
use crate::dax::system::{Access, Plan};
use crate::skip::skip;
use rustix::fs::{MemfdFlags, SealFlags, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

fn of(name: &str) -> DataCache {
    other::ALIASING.iter().find(|row| row.names.contains(&name)).unwrap().data_cache
}

fn plan(offset: u64, len: usize, access: Access) -> Plan {
    Plan { offset, len, access, writeback: Writeback::Pages, populate: false, finishes: false }
}

/// Congruence costs nothing where no CPU aliases, and never undoes what huge pages need.
#[test]
fn a_mapping_is_aligned_where_caches_or_huge_pages_need_it() {
    let small = 64 << 10;
    let large = 8 << 20;
    let rows = [
        (x86::ARCHITECTURE.data_cache, small, [4096, 4096]),
        (x86::ARCHITECTURE.data_cache, large, [HUGE, 4096]),
        (arm::ARCHITECTURE.data_cache, small, [4 * 4096, 4 * 4096]),
        (arm::ARCHITECTURE.data_cache, large, [HUGE, 4 * 4096]),
        (of("mips"), small, [256 << 10, 256 << 10]),
        (of("sparc"), small, [4 << 20, 4 << 20]),
        (of("sparc"), large, [4 << 20, 4 << 20]),
        (of("m68k"), small, [4096, 4096]),
        (of("arc"), small, [4096, 4096]),
        // The kernel refuses any other place than its own.
        (of("parisc"), small, [4096, 4096]),
        (of("parisc"), large, [4096, 4096]),
    ];
    for (cache, len, expected) in rows {
        assert_eq!(moduli(&cache, len, 4096, 4096), expected, "{cache:?} {len}");
    }
    let x86 = x86::ARCHITECTURE.data_cache;
    assert_eq!(moduli(&x86, large, 4096, 1 << 30), [1 << 30, 1 << 30], "units of the kernel");
}

/// A file system that refuses a mapping of the file does so after the kernel has unmapped what was in its place.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn pages_that_the_file_system_refuses_to_map_again_stay_mapped() {
    let file = |name| File::from(memfd_create(name, MemfdFlags::ALLOW_SEALING).unwrap());
    let (mapped, refused) = (file("mapped"), file("refused"));
    let page = rustix::param::page_size();
    for file in [&mapped, &refused] {
        file.set_len(4 * page as u64).unwrap();
    }
    mapped.write_all_at(b"the file", page as u64).unwrap();
    // From now on it can be mapped for reading only.
    rustix::fs::fcntl_add_seals(&refused, SealFlags::FUTURE_WRITE).unwrap();
    let plan = plan(0, 4 * page, Access::ReadAndWrite);
    let mapping = new(mapped.as_fd(), &plan, page as u64, None).unwrap();
    let place = mapping.base().as_ptr().wrapping_add(page).cast();
    let put = |flags| {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | flags;
        // SAFETY: the pages are those of the mapping, which nothing has a reference to, or none.
        unsafe { rustix::mm::mmap_anonymous(place, 2 * page, protection, flags) }
    };
    put(MapFlags::FIXED).unwrap();
    let zeros = page..3 * page;
    assert!(mapping.map_again(zeros, &refused).is_err());
    assert_eq!(put(MapFlags::FIXED_NOREPLACE), Err(Errno::EXIST), "no address is free");
    let mut word = [1; 8];
    mapping.read(page as u64, &mut word);
    assert_eq!(word, [0; 8]);
    // Not forgotten: nothing further was replaced, and the zeros are still there.
    assert!(mapping.map_again(0..0, &refused).is_err());
    mapping.map_again(0..0, &mapped).unwrap();
    mapping.read(page as u64, &mut word);
    assert_eq!(word, *b"the file");
    mapping.map_again(0..0, &refused).unwrap();
}

/// Two mappings of two parts of a file, placed for a machine that aliases in 4 MiB.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn aligned_mappings_agree_and_show_the_file() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let file: &File = path.as_file();
    let page = rustix::param::page_size();
    let len = 2 * page;
    file.set_len(8 * page as u64).unwrap();
    let placed = [3_u8, 4].map(|which| {
        let offset = u64::from(which) * page as u64;
        let plan = plan(offset, len, Access::Read);
        let base = map_aligned(file.as_fd(), &plan, [4 << 20; 2]).unwrap();
        file.write_all_at(&[which], offset).unwrap();
        // SAFETY: the byte was mapped just now, and nothing changes it.
        assert_eq!(unsafe { base.as_ptr().read_volatile() }, which);
        (base, offset)
    });
    let [a, b] = placed.map(|(base, offset)| (base.addr().get(), offset));
    assert!(aliasing::mappings_agree(a, b, 4 << 20));
    for (base, _) in placed {
        unmap(base.as_ptr().cast(), len).unwrap();
    }
}

/// Huge pages are a wish: a file is not refused for want of a place for them.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_file_is_mapped_without_a_place_for_the_wanted_modulus() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let file: &File = path.as_file();
    let page = rustix::param::page_size();
    file.set_len(page as u64).unwrap();
    let plan = plan(0, page, Access::Read);
    // Of such addresses a process has only that of the null pointer.
    let base = map_aligned(file.as_fd(), &plan, [1 << 63, page as u64]).unwrap();
    unmap(base.as_ptr().cast(), page).unwrap();
}

/// Returns true if a line of `/proc/self/maps` is a range of `len` bytes without access.
fn is_reserved(line: &str, len: u64) -> bool {
    let mut words = line.split(' ');
    let range = words.next().and_then(|range| range.split_once('-')).unwrap();
    let [start, end] = [range.0, range.1].map(|at| u64::from_str_radix(at, 16).unwrap());
    end - start == len && words.next() == Some("---p")
}

/// The kernel refuses to map a file for writing that was opened for reading before it unmaps anything.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_refused_mapping_leaves_no_addresses_reserved() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let file = File::open(&path).unwrap();
    // Of a length that no other mapping has.
    let len = 1237 * rustix::param::page_size();
    let plan = plan(0, len, Access::ReadAndWrite);
    assert_eq!(map_aligned(file.as_fd(), &plan, [4 << 20; 2]), Err(Errno::ACCESS));
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        let test = "a_refused_mapping_leaves_no_addresses_reserved";
        return skip(test, "/proc/self/maps cannot be read");
    };
    assert!(!maps.lines().any(|line| is_reserved(line, len as u64)));
}
