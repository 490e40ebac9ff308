//! The bounds of a file, and of the part of it that is mapped.

use super::error::{Error, ErrorKind};
use alloc::format;
use std::path::Path;

/// The limits that a file sets on its mappings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The size of the part that can be mapped, in bytes.
    pub(super) size: u64,
    /// The alignment of offsets, in bytes: a page, a huge page, or that of a device.
    pub(super) alignment: u64,
    /// True for a device of device DAX, whose mappings have whole units of the alignment.
    pub(super) is_device: bool,
}

impl Bounds {
    /// Refuses a file with fewer bytes than `needed`.
    pub(super) fn require(&self, path: &Path, needed: u64) -> Result<(), Error> {
        let size = self.size;
        if size < needed {
            Err(Error::new(path, ErrorKind::Shorter { size, needed }))
        } else {
            Ok(())
        }
    }

    /// Returns the length of the mapping from an offset on, up to the end of the file if `len` is `None`.
    pub(super) fn mapped_len(
        &self,
        path: &Path,
        offset: u64,
        len: Option<u64>,
    ) -> Result<usize, Error> {
        let Self { size, alignment, is_device } = *self;
        let shorter = |needed| Error::new(path, ErrorKind::Shorter { size, needed });
        if size == 0 {
            return Err(shorter(len.unwrap_or(1)));
        }
        if len == Some(0) {
            return Err(zero_length(path));
        }
        if !offset.is_multiple_of(alignment) {
            let text = format!("offset {offset} is not a multiple of {alignment}; round it down");
            return Err(Error::invalid(path, text));
        }
        let needed = match len {
            Some(len) => offset.checked_add(len).ok_or_else(|| too_long(path, offset, len))?,
            None => offset.saturating_add(1),
        };
        if needed > size {
            return Err(shorter(needed));
        }
        let len = len.unwrap_or(size - offset);
        if is_device && !len.is_multiple_of(alignment) {
            let text = format!(
                "length {len} is not a multiple of {alignment}, the device's alignment; round it down"
            );
            return Err(Error::invalid(path, text));
        }
        // The largest object in Rust (reference, "Type layout").
        let mapped = isize::try_from(len).ok().and_then(|len| usize::try_from(len).ok());
        mapped.ok_or_else(|| too_long(path, offset, len))
    }
}

/// Refuses a length that no file can have.
pub(super) fn check_new_len(path: &Path, len: u64) -> Result<(), Error> {
    if len == 0 {
        return Err(zero_length(path));
    }
    if i64::try_from(len).is_err() {
        return Err(too_long(path, 0, len));
    }
    Ok(())
}

fn zero_length(path: &Path) -> Error {
    Error::invalid(path, "a length of 0 bytes was asked for; ask for at least 1")
}

pub(super) fn too_long(path: &Path, offset: u64, len: u64) -> Error {
    let text = format!(
        "offset {offset} and length {len} exceed the largest file or mapping; ask for less"
    );
    Error::invalid(path, text)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, ErrorKind, Path};
    use alloc::format;
    use alloc::string::ToString;

    const PATH: &str = "/file";

    const fn bounds(size: u64) -> Bounds {
        Bounds { size, alignment: 4096, is_device: false }
    }

    #[test]
    fn offsets_and_lengths_are_checked_without_overflow() {
        let mapped = |size, offset, len| bounds(size).mapped_len(Path::new(PATH), offset, len);
        assert_eq!(mapped(8192, 4096, None).unwrap(), 4096);
        assert_eq!(mapped(8192, 4096, Some(4096)).unwrap(), 4096);
        assert_eq!(mapped(5000, 4096, Some(904)).unwrap(), 904);
        let top = u64::MAX - 4095;
        for (size, offset, len, words) in [
            (0, 0, None, "has no bytes to map".to_string()),
            (8192, 0, Some(0), "a length of 0 bytes".to_string()),
            (8192, 100, None, "offset 100 is not a multiple of 4096".to_string()),
            (8192, 4096, Some(4097), "has 8192 bytes, but offset and length need 8193".to_string()),
            (8192, 8192, None, "has 8192 bytes, but offset and length need 8193".to_string()),
            (8192, top, Some(4096), format!("offset {top} and length 4096 exceed")),
        ] {
            let text = mapped(size, offset, len).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{PATH}: {words}")), "{text}");
        }
        let error = mapped(8192, top, None).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { size: 8192, .. }), "{error}");
    }

    /// For other lengths of a device the kernel refuses the mapping, or raises SIGBUS at an access.
    #[test]
    fn a_device_is_mapped_in_whole_units() {
        let unit = 2 << 20;
        let device = Bounds { size: 4 * unit, alignment: unit, is_device: true };
        let mapped = |len| device.mapped_len(Path::new(PATH), unit, len);
        assert_eq!(mapped(None).unwrap(), 3 * (2 << 20));
        let text = mapped(Some(4096)).unwrap_err().to_string();
        assert!(text.contains("length 4096 is not a multiple of 2097152"), "{text}");
    }

    /// No object is larger than `isize::MAX` bytes.
    #[test]
    fn a_mapping_fits_the_address_space() {
        let mapped = |len| bounds(u64::MAX).mapped_len(Path::new(PATH), 0, Some(len));
        let most = isize::MAX as u64;
        assert_eq!(mapped(most).unwrap(), isize::MAX as usize);
        let error = mapped(most + 1).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error}");
    }
}
