//! The name and other attributes for writing a blob or a region.

use crate::error::Error;
use crate::format::{METADATA, NAME, UNIT};
use alloc::string::String;

/// The name of a blob or a region, and its other attributes.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u64,
    pub(crate) metadata: &'a [u8],
    pub(crate) alignment: u64,
}

impl<'a> Attributes<'a> {
    /// Returns attributes with a name of 1 to 255 bytes, version 0, and no metadata.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name, version: 0, metadata: &[], alignment: 1 }
    }

    /// Sets a version number of your own, for example of the blob's layout, which [only your program
    /// compares](crate#upgrade-and-rollback).
    #[must_use]
    pub const fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Sets up to 4096 bytes of metadata, which can be listed without reading the blob.
    #[must_use]
    pub const fn metadata(self, metadata: &'a [u8]) -> Self {
        Self { metadata, ..self }
    }

    /// Sets the alignment of the offset in the medium, in bytes, for example a page for a blob that will be mapped.
    #[must_use]
    pub const fn alignment(self, bytes: u64) -> Self {
        Self { alignment: bytes, ..self }
    }

    pub(crate) fn check<E>(&self) -> Result<(), Error<E>> {
        let Self { name, metadata, alignment, .. } = *self;
        let (rule, found) = if !(1..=NAME).contains(&name.len()) {
            ("a name has 1 to 255 bytes", name.len() as u64)
        } else if metadata.len() > METADATA {
            let rule = "metadata has at most 4096 bytes; put the rest into the blob";
            (rule, metadata.len() as u64)
        } else if !alignment.is_power_of_two() || alignment > *UNIT.end() {
            ("an alignment is a power of two up to 2^30 bytes", alignment)
        } else {
            return Ok(());
        };
        Err(Error::invalid(rule, found))
    }
}

/// A name without other attributes.
impl<'a> From<&'a str> for Attributes<'a> {
    fn from(name: &'a str) -> Self {
        Self::new(name)
    }
}

/// A name without other attributes, as `&format!("page/{number}")` returns it.
impl<'a> From<&'a String> for Attributes<'a> {
    fn from(name: &'a String) -> Self {
        Self::new(name)
    }
}
