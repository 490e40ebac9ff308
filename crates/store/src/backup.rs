//! Copying all blobs of one commit into another store, even while a process writes.

use crate::attributes::Attributes;
use crate::error::{Error, ErrorKind};
use crate::format::CHUNK;
use crate::info::{Content, Info};
use crate::name::Name;
use crate::reader::Reader;
use crate::store::Store;
use crate::transaction::Transaction;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable};
use cachemaint_format::bounds::ATTEMPTS;
use core::fmt;

/// A summary of a copy, returned by [`Reader::copy_into`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The number of the commit that was copied, in the store that was read.
    pub commit: u64,
    /// The number of blobs copied.
    pub blobs: u64,
    /// The number of bytes in them.
    pub bytes: u64,
    /// The regions, which are not copied: their users change them at any time.
    pub regions: Vec<Name>,
}

/// A failed copy: in the source store, with medium errors `R`, or in the target store, with medium errors `W`.
#[derive(Clone, PartialEq, Eq)]
pub enum CopyError<R, W> {
    /// The store that is read.
    Source(Error<R>),
    /// The store that is written.
    Target(Error<W>),
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for CopyError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "copying from the source store: {error}"),
            Self::Target(error) => write!(f, "copying into the target store: {error}"),
        }
    }
}

/// Prints the same text as `{}`.
impl<R: fmt::Display, W: fmt::Display> fmt::Debug for CopyError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<R: core::error::Error + 'static, W: core::error::Error + 'static> core::error::Error
    for CopyError<R, W>
{
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error),
            Self::Target(error) => Some(error),
        }
    }
}

impl<R, W> From<Error<W>> for CopyError<R, W> {
    fn from(error: Error<W>) -> Self {
        Self::Target(error)
    }
}

impl<R: Readable> Reader<R> {
    /// Copies all blobs of one commit into another store, in one transaction. Afterwards the target has exactly these
    /// blobs, with their versions and metadata. This makes a backup, or restores one.
    ///
    /// A writer may commit meanwhile. If it replaces blobs before they are copied, they are taken from its later
    /// commit, until all are from the same one. The reader is then at that commit. Regions are not copied, and those of
    /// the target stay.
    ///
    /// # Errors
    /// In the source: [`ErrorKind::Damaged`] if a blob or a record is damaged; [`ErrorKind::Replaced`] if a writer
    /// overtook 64 attempts. In the target: those of [`put_with`](Transaction::put_with) and
    /// [`commit`](Transaction::commit). The target is unchanged.
    ///
    /// # Cost
    /// Reads and writes each blob, and again those that a writer replaces meanwhile.
    pub fn copy_into<W: Medium>(
        &mut self,
        target: &mut Store<W>,
    ) -> Result<Copied, CopyError<R::Error, W::Error>> {
        let blobs = target.list().filter(|info| info.content == Content::Blob);
        // The blobs of the target, with their entries in the source if they are copies.
        let mut there: BTreeMap<Name, Option<Info>> = blobs.map(|info| (info.name, None)).collect();
        let mut transaction = target.begin()?;
        for _ in 0..ATTEMPTS {
            match self.copy_changes(&mut transaction, &mut there) {
                Err(CopyError::Source(Error(ErrorKind::Replaced))) => {
                    self.refresh().map_err(CopyError::Source)?;
                }
                copied => {
                    let copied = copied?;
                    transaction.commit()?;
                    return Ok(copied);
                }
            }
        }
        Err(CopyError::Source(Error(ErrorKind::Replaced)))
    }

    /// Applies the remaining changes, so that the target has the blobs of this commit.
    fn copy_changes<W: Medium>(
        &self,
        transaction: &mut Transaction<'_, W>,
        there: &mut BTreeMap<Name, Option<Info>>,
    ) -> Result<Copied, CopyError<R::Error, W::Error>> {
        let (commit, regions) = (self.commit_number(), Vec::new());
        let mut copied = Copied { commit, blobs: 0, bytes: 0, regions };
        let mut names = BTreeSet::new();
        for entry in self.entries() {
            let (info, metadata) = entry.map_err(CopyError::Source)?;
            if info.content == Content::Region {
                copied.regions.push(info.name);
                continue;
            }
            (copied.blobs, copied.bytes) = (copied.blobs + 1, copied.bytes + info.len);
            names.insert(info.name);
            let is_there = |before: &Info| before.is(&info) && !info.is_value();
            // Nothing distinguishes a value from another one of its commit with the same bytes.
            if there.get(&info.name).is_some_and(|before| before.as_ref().is_some_and(is_there)) {
                continue;
            }
            self.copy_blob(&info, metadata, transaction)?;
            there.insert(info.name, Some(info));
        }
        let is_gone = |name: &&Name| !names.contains(*name);
        let gone: Vec<Name> = there.keys().filter(is_gone).copied().collect();
        for name in gone {
            transaction.delete(&name)?;
            there.remove(&name);
        }
        Ok(copied)
    }

    fn copy_blob<W: Medium>(
        &self,
        info: &Info,
        metadata: &[u8],
        transaction: &mut Transaction<'_, W>,
    ) -> Result<(), CopyError<R::Error, W::Error>> {
        let attributes = Attributes::new(&info.name).version(info.version).metadata(metadata);
        if info.is_value() {
            let bytes = self.load(&info.name).map_err(CopyError::Source)?;
            return Ok(transaction.put(attributes, &bytes)?);
        }
        let blob = self.blob(&info.name).map_err(CopyError::Source)?;
        transaction.put_with(attributes, info.len, |writer| {
            let mut piece = alloc::vec![0; info.len.min(CHUNK) as usize];
            let mut at = 0;
            while at < info.len {
                let piece = &mut piece[..(info.len - at).min(CHUNK) as usize];
                blob.read_at(at, piece).map_err(CopyError::Source)?;
                writer.append(piece)?;
                at += piece.len() as u64;
            }
            Ok(())
        })
    }
}
