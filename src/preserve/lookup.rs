//! The blobs of a snapshot: all of them, or the one of a name.
//!
//! # Work
//! To find a blob takes two looks at a page of each level, or three where one copy is damaged: a page has 32 KiB at most, and
//! a table 16 levels.

use super::error::{Error, ErrorKind};
use super::info::Info;
use super::snapshot::Snapshot;
use super::walk::{Step, Walk};
use crate::medium::Readable;

impl<R: Readable> Snapshot<'_, R> {
    /// Returns the blobs, in the order of their names.
    ///
    /// A page of the table that is damaged in both copies is an error in the place of the blobs that it named. Those of
    /// other pages follow. After any other error there is none: [`ErrorKind::Replaced`], if there was another commit.
    pub fn entries(&self) -> impl Iterator<Item = Result<Info, Error<R::Error>>> + '_ {
        Walk::new(self).filter_map(|step| match step {
            Ok(Step::Page(_)) => None,
            Ok(Step::Entry(info)) => Some(Ok(info)),
            Err(error) => Some(Err(error)),
        })
    }

    /// Returns the blob of a name, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if there was another commit; [`ErrorKind::Damaged`], if both copies of the page that would name
    /// it are damaged, or the table was forged; if the medium fails.
    ///
    /// # Cost
    /// A page of each level of the table is read.
    pub fn find(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        match Walk::find(self, name) {
            Err(Error(ErrorKind::Medium(error))) => Err(Error(ErrorKind::Medium(error))),
            found if self.is_current()? => found,
            _ => Err(Error(ErrorKind::Replaced)),
        }
    }
}
