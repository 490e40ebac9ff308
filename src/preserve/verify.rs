//! Reading everything, to find what is damaged.
//!
//! # Work
//! Each byte of a blob is read once; blobs that overlap are not read. Each page of the table is read three times, and
//! its copy once. An entry takes less than 400 bytes of memory meanwhile, and has 56 bytes in the file at least.

use super::blob::Chunks;
use super::error::{Damage, Error, ErrorKind, Part};
use super::format::{CHUNK, tags};
use super::headers;
use super::info::{Content, Info};
use super::snapshot::{CommitIn, Snapshot};
use super::walk::{Step, Walk};
use crate::format::progress::Progress;
use crate::format::reread::Rereadings;
use crate::medium::Readable;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error as Failure;
use core::ops::Range;

/// The result of verifying a store.
///
/// With feature `serde` it is an object with the names of its fields, where `damaged` is a list of objects: `name`, and
/// the names of [`Damage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verification {
    /// Blobs that are whole.
    pub whole: u64,
    /// Regions, damaged or not. Their bytes cannot be verified, only their places are.
    pub regions: u64,
    /// Bytes of all blobs, whole or not.
    pub bytes: u64,
    /// Damaged and unreadable blobs by name, with the first damaged part of each, and regions of which a part is missing or
    /// shared.
    #[cfg_attr(feature = "serde", serde(serialize_with = "named"))]
    pub damaged: Vec<(Box<str>, Damage)>,
    /// Pages of the table that are damaged or unreadable in both copies: the blobs that they named cannot be found.
    pub pages: Vec<Damage>,
    /// Damaged copies of headers and of pages of the table, whose other copy is whole, the history if it is damaged, and
    /// the [newer header](Part::NewerHeader) if it may be lost. While another thread commits, the copies of a header can
    /// differ for a moment, which is listed too: verify again.
    pub copies: Vec<Damage>,
}

impl Verification {
    /// Returns true if nothing is damaged, including copies. After a crash one copy of a header may be older, which
    /// counts as damage until the store is opened for writing. No blob of this commit is lost if
    /// [`damaged`](Self::damaged) and [`pages`](Self::pages) are empty. A later commit may be, if
    /// [`copies`](Self::copies) has a [`NewerHeader`](Part::NewerHeader).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.pages.is_empty() && self.copies.is_empty()
    }
}

/// Damaged blobs as data.
#[cfg(feature = "serde")]
fn named<S: serde::Serializer>(damaged: &[(Box<str>, Damage)], to: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Named<'d> {
        name: &'d str,
        part: Part,
        offset: u64,
        len: u64,
    }
    to.collect_seq(damaged.iter().map(|(name, damage)| {
        let Damage { part, offset, len } = *damage;
        Named { name, part, offset, len }
    }))
}

/// Reads and verifies all blobs of a commit.
pub(super) fn verify<E: Failure>(
    within: CommitIn<'_, E>,
    rereadings: Rereadings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, Error<E>> {
    let mut verification =
        Verification { copies: copies(within, rereadings), ..Verification::default() };
    let (infos, pages) = infos(within, &mut verification)?;
    // Invalid blobs, which overlap, may have more bytes in all than can be counted.
    let blobs = infos.iter().filter(|info| info.content == Content::Blob);
    let most = blobs.map(|info| info.len).fold(0, u64::saturating_add);
    let overlapping = overlapping(&infos, &pages);
    for (info, overlaps) in infos.iter().zip(overlapping) {
        let done = verification.bytes;
        match info.content {
            Content::Blob => verification.bytes = done.saturating_add(info.len),
            Content::Region => verification.regions += 1,
        }
        let mut read = 0;
        let mut told = |bytes| {
            read = bytes;
            progress(Progress { done: done.saturating_add(bytes), most });
        };
        let shared = overlaps.then_some(from(info, 0));
        let damage = missing(info, within.medium.len()).or(shared);
        let found = match damage {
            Some(damage) => Err(Error(ErrorKind::Damaged(damage))),
            None if info.content == Content::Region => continue,
            None => {
                Chunks::new(within, info).and_then(|chunks| chunks.verify(within.medium, &mut told))
            }
        };
        match found {
            Ok(()) => verification.whole += 1,
            Err(Error(ErrorKind::Damaged(damage))) => {
                verification.damaged.push((info.name.as_str().into(), damage));
            }
            // The bytes cannot be read.
            Err(Error(ErrorKind::Medium(_))) if within.is_current()? => {
                let damage = from(info, read);
                verification.damaged.push((info.name.as_str().into(), damage));
            }
            Err(Error(ErrorKind::Medium(_))) => return Err(Error(ErrorKind::Replaced)),
            Err(error) => return Err(error),
        }
    }
    within.medium.check().map_err(Error::medium)?;
    Ok(verification)
}

/// The entries of a table, and the places of its pages.
type Found = (Vec<Info>, Vec<Range<u64>>);

/// Returns all entries that can be found and the places of all pages, and notes which pages and copies are damaged.
fn infos<E: Failure>(
    within: CommitIn<'_, E>,
    verification: &mut Verification,
) -> Result<Found, Error<E>> {
    let mut infos = Vec::new();
    let header = &within.commit.header;
    let mut pages: Vec<Range<u64>> = header.roots.map(|at| at..at + header.len).into();
    let mut walk = Walk::new(within);
    while let Some(step) = walk.next(within).transpose() {
        match step {
            Ok(Step::Entry(info)) => infos.push(info),
            Ok(Step::Page(page)) => {
                let (part, len) = (Part::TableCopy, page.child.len);
                for offset in page.child.places {
                    pages.push(offset..offset + len);
                    let is_page = || within.is_page(page.level, &page.child, offset);
                    if offset != page.at && !is_page().unwrap_or(false) {
                        verification.copies.push(Damage { part, offset, len });
                    }
                }
            }
            Err(Error(ErrorKind::Replaced)) => return Err(Error(ErrorKind::Replaced)),
            Err(error) => verification.pages.push(walk.lost().ok_or(error)?),
        }
    }
    Ok((infos, pages))
}

/// Returns for each blob and region if it shares bytes with another one or with a page. No writer leaves that, and the
/// same bytes could be read as often as there are names.
fn overlapping(infos: &[Info], pages: &[Range<u64>]) -> Vec<bool> {
    let blobs = infos.iter().enumerate().filter(|(_, info)| info.len > 0);
    let blobs = blobs.map(|(number, info)| (info.range_with_tags(), Some(number)));
    let mut order: Vec<_> = pages.iter().map(|page| (page.clone(), None)).chain(blobs).collect();
    order.sort_unstable_by_key(|(range, _)| range.start);
    let mut overlapping = alloc::vec![false; infos.len()];
    // The range that ends last of those before.
    let mut last: Option<&(Range<u64>, Option<usize>)> = None;
    for this in &order {
        if let Some(before) = last.filter(|before| before.0.end > this.0.start) {
            for number in [before.1, this.1].into_iter().flatten() {
                overlapping[number] = true;
            }
        }
        last = last.filter(|before| before.0.end > this.0.end).or(Some(this));
    }
    overlapping
}

/// Returns the part of a blob or region that a medium of `size` bytes lacks, from the first incomplete chunk on.
fn missing(info: &Info, size: u64) -> Option<Damage> {
    let there = size.saturating_sub(info.offset);
    let tags = if info.content == Content::Blob { tags(info.len) } else { 0..0 };
    if there < info.len {
        return Some(from(info, there - there % CHUNK));
    }
    let damage =
        Damage { part: Part::Tags, offset: info.offset + tags.start, len: tags.end - tags.start };
    (there < tags.end).then_some(damage)
}

/// Returns the damage of a blob or region from one of its bytes on.
const fn from(info: &Info, at: u64) -> Damage {
    let part = match info.content {
        Content::Blob => Part::Bytes { at },
        Content::Region => Part::Region { at },
    };
    Damage { part, offset: info.offset + at, len: info.len - at }
}

/// Returns the damaged copies of the header and of the root, and the history if it is damaged.
fn copies<E: Failure>(within: CommitIn<'_, E>, rereadings: Rereadings) -> Vec<Damage> {
    let header = &within.commit.header;
    let mut copies: Vec<Damage> = headers::damaged(within.medium, header, rereadings).collect();
    let roots = header.roots.into_iter().filter(|root| !within.is_whole(*root));
    copies.extend(roots.map(|offset| Damage { part: Part::TableCopy, offset, len: header.len }));
    if within.history().is_err() {
        copies.push(within.commit.lost_history());
    }
    copies
}

impl<R: Readable> Snapshot<'_, R> {
    /// Reads everything, and returns the damaged parts. Calls `progress` from time to time.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if there was another commit; if the medium cannot read both copies of a header. Other bytes
    /// that it cannot read are damaged, and so is a blob or a page that ends after the end of the medium.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verification, Error<R::Error>> {
        verify(self.erased(), Rereadings::BESIDE_WRITERS, progress)
    }
}
