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

#[cfg(target_pointer_width = "32")]
#[test]
fn a_file_that_is_larger_than_the_address_space_is_refused_as_such() {
    let (named, path) = of_length(5 << 30);
    assert!(file_len(&path, named.as_file()).is_err());
    // SAFETY: the message ends with 0.
    let message = unsafe { CStr::from_ptr(crate::failure::last()) };
    assert!(message.to_str().unwrap().contains("is larger than the address space"));
}
