//! Readings whose results are in allocated memory.

use super::{Reader, until_it_lasts};
use crate::medium::Readable;
use crate::preserve::error::{Error, ErrorKind};
use crate::preserve::info::Info;
use crate::preserve::walk::Walk;
use alloc::vec::Vec;
use core::error::Error as Failure;

impl<R: Readable> Reader<R> {
    /// Returns all blobs and regions, in the order of their names.
    ///
    /// # Errors
    /// As [`Snapshot::of`](crate::preserve::Snapshot::of); [`ErrorKind::Damaged`], if a page of the table is damaged in both
    /// copies or was forged; [`ErrorKind::Truncated`], if the medium ends before a page; [`ErrorKind::Replaced`] after 100
    /// attempts. [`Snapshot::entries`](crate::preserve::Snapshot::entries) continues after a damaged page.
    pub fn list(&self) -> Result<Vec<Info>, Error<R::Error>> {
        list(&self.medium)
    }

    /// Returns the entry of a blob or a region, or `None` if it does not exist.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        stat(&self.medium, name)
    }

    /// Returns a verified copy of a blob.
    ///
    /// The [version](Info::version) of the blob is not compared with anything. A program that can find blobs of another one
    /// [compares it](crate::preserve#upgrade-and-rollback) in the result of [`blob`](Self::blob), which is of one commit. A
    /// [`stat`](Self::stat) before this call can be of an earlier commit.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotABlob`], [`ErrorKind::Damaged`], [`ErrorKind::Truncated`];
    /// [`ErrorKind::TooLong`], on a 32-bit CPU; [`ErrorKind::Replaced`] after 100 attempts; if the medium fails.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<R::Error>> {
        load(&self.medium, name)
    }
}

fn list<E: Failure>(medium: &dyn Readable<Error = E>) -> Result<Vec<Info>, Error<E>> {
    until_it_lasts(medium, |commit| {
        let mut walk = Walk::new(commit);
        core::iter::from_fn(|| walk.next_entry(commit).transpose()).collect()
    })
}

fn stat<E: Failure>(
    medium: &dyn Readable<Error = E>,
    name: &str,
) -> Result<Option<Info>, Error<E>> {
    until_it_lasts(medium, |commit| commit.find(name))
}

fn load<E: Failure>(medium: &dyn Readable<Error = E>, name: &str) -> Result<Vec<u8>, Error<E>> {
    until_it_lasts(medium, |commit| {
        let chunks = commit.blob(name)?;
        let mut bytes = alloc::vec![0; len_in_memory(chunks.info.len)?];
        chunks.read_at(medium, 0, &mut bytes)?;
        Ok(bytes)
    })
}

/// Returns the length of a blob in memory, where nothing can have more than `isize::MAX` bytes.
fn len_in_memory<E>(len: u64) -> Result<usize, Error<E>> {
    let possible = usize::try_from(len).ok().filter(|len| isize::try_from(*len).is_ok());
    possible.ok_or(Error(ErrorKind::TooLong { len }))
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, len_in_memory};
    use core::convert::Infallible;

    /// A 32-bit CPU addresses 2^32 bytes, of which an object can have half.
    #[test]
    fn a_blob_that_memory_cannot_have_is_refused() {
        let loaded = |len| len_in_memory::<Infallible>(len);
        assert_eq!(loaded(0x7fff_ffff), Ok(0x7fff_ffff));
        let is_small = cfg!(target_pointer_width = "32");
        let least: u64 = if is_small { 1 << 31 } else { 1 << 63 };
        for len in [least, least.saturating_mul(2).saturating_add(5), u64::MAX] {
            assert_eq!(loaded(len), Err(Error(ErrorKind::TooLong { len })));
        }
    }
}
