//! Mappings of files that are long, or that the system refuses.

use super::*;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use tempfile::NamedTempFile;

/// Returns an empty file, which is given a length, and its path.
fn of_length(len: u64) -> (NamedTempFile, CString) {
    let named = NamedTempFile::new().unwrap();
    named.as_file().set_len(len).unwrap();
    let path = CString::new(named.path().as_os_str().as_bytes()).unwrap();
    (named, path)
}

#[test]
fn a_file_of_more_than_2_gib_is_found_and_opened() {
    let len = 2500_usize << 20;
    let (_named, path) = of_length(len as u64);
    assert!(device_at(&path).unwrap().is_none());
    let file = open(&path, 0, 0).unwrap();
    assert_eq!(file_len(&path, &file).unwrap(), len);
    assert_eq!(resize(&path, &file, len + 4096, SPARSE).unwrap(), len + 4096);
}

/// PMDK lists the bytes of the file, not those up to the end of its last page.
#[test]
fn bytes_after_the_end_of_a_file_are_not_persistent() {
    let page = page_size();
    let (_named, path) = of_length(2 * page as u64 - 3);
    let file = open(&path, 0, 0).unwrap();
    let len = file_len(&path, &file).unwrap();
    let (start, _) = map(&path, &file, len, 1).unwrap();
    let memory = Memory::File { is_persistent: true };
    let is_pmem = |offset, len| pmem_is_pmem(start.wrapping_byte_add(offset), len);
    // The first list has the pages of a longer file that was unmapped without the library's knowledge.
    for listed in [2 * page, len] {
        list(start, listed, Some(memory.clone())).unwrap();
    }
    assert_eq!([is_pmem(0, len), is_pmem(0, len + 1), is_pmem(len, 1)], [1, 0, 0]);
    // SAFETY: no part of the range is of a device.
    assert_eq!(unsafe { crate::deep::pmem_deep_drain(start, 2 * page) }, 0);
    // SAFETY: nothing of it is used.
    assert_eq!(unsafe { pmem_unmap(start, page) }, 0);
    assert_eq!([is_pmem(0, 1), is_pmem(page, len - page)], [0, 1]);
    // SAFETY: nothing of it is used.
    assert_eq!(unsafe { pmem_unmap(start.wrapping_byte_add(page), len - page) }, 0);
    assert_eq!([is_pmem(page, 1), is_pmem(len - 1, 1)], [0, 0]);
}

#[cfg(target_pointer_width = "32")]
#[test]
fn a_file_that_is_larger_than_the_address_space_is_refused_as_such() {
    let (named, path) = of_length(5 << 30);
    assert!(file_len(&path, named.as_file()).is_err());
    // SAFETY: the message ends with 0.
    let message = unsafe { CStr::from_ptr(crate::failure::last()) };
    assert!(message.to_str().unwrap().contains("is larger than the address space"));
}
