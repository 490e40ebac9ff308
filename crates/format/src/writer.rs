//! The only writer of a medium: its process, and the lock that a journal, a recorder or a store takes before it creates
//! or opens anything.

use super::error::FormatError;
use super::magic::{self, Format, Magic};
use super::root;
use super::unreadable::ThroughKernel;
#[cfg(feature = "std")]
use cachemaint::family::Process;
use cachemaint::medium::{Medium, WriterLockGuard};

/// A call that begins to write in a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `create_new`, which refuses a medium that has the format.
    CreateNew,
    /// `open`.
    Open,
    /// `open_or_create`, which creates in a medium whose slots for roots are zeros.
    OpenOrCreate,
}

/// Begins to write in a medium. Returns true if the caller is to create the format there, and the writer lock, if the
/// medium has one.
///
/// Fails if another writer holds the lock, if another format of the family is there, and for [`Call::CreateNew`] if the
/// format itself is there, intact, damaged or in another version.
pub fn begin<M: Medium>(
    medium: &M,
    format: Format,
    call: Call,
) -> Result<(bool, Option<WriterLockGuard>), FormatError<M::Error>> {
    let lock = medium.writer_lock().map(|lock| lock.try_lock().ok_or(FormatError::SecondWriter));
    let (lock, reads) = (lock.transpose()?, ThroughKernel::new(medium));
    let (mut exists, mut is_missing) = (false, true);
    for word in root::words(&reads) {
        match word {
            Ok(found) if found != format.magic && magic::name(found).is_some() => {
                return Err(FormatError::Foreign { found });
            }
            Ok(found) => {
                exists |= found == format.magic;
                is_missing &= found == Magic::default();
            }
            Err(error) if call == Call::CreateNew => return Err(FormatError::Medium(error)),
            Err(_) => is_missing = false,
        }
    }
    medium.check().map_err(FormatError::Medium)?;
    match call {
        Call::CreateNew if exists => Err(FormatError::Exists),
        Call::CreateNew => Ok((true, lock)),
        Call::Open => Ok((false, lock)),
        Call::OpenOrCreate => Ok((is_missing, lock)),
    }
}

/// Defines `create_new`, `open` and `open_or_create` of a type with the medium `$medium`, which call those of the
/// default `Options`.
#[macro_export]
#[doc(hidden)]
macro_rules! with_default_options {
    ($medium:ident, $type:ty) => {
        /// [`Options`] has more settings.
        #[cfg(feature = "std")]
        impl<$medium: Medium> $type {
            /// Creates it in a medium without one, with the default [`Options`].
            ///
            /// # Errors
            /// Same as [`Options::create_new`].
            pub fn create_new(medium: $medium) -> Opening<Self, $medium> {
                Options::new().create_new(medium)
            }

            /// Opens it for writing, with the default [`Options`].
            ///
            /// # Errors
            /// Same as [`Options::open`].
            pub fn open(medium: $medium) -> Opening<Self, $medium> {
                Options::new().open(medium)
            }

            /// Opens it for writing, or creates it in an empty medium, with the default [`Options`].
            ///
            /// # Errors
            /// Same as [`Options::open_or_create`].
            pub fn open_or_create(medium: $medium) -> Opening<Self, $medium> {
                Options::new().open_or_create(medium)
            }
        }
    };
}

pub use crate::with_default_options;

/// The process that opened something for writing, and that closes it on drop.
#[derive(Clone, Copy, Debug)]
pub struct Opener {
    #[cfg(feature = "std")]
    process: Process,
}

impl Opener {
    /// Returns this process.
    #[must_use]
    #[cfg_attr(not(feature = "std"), expect(clippy::missing_const_for_fn, reason = "std"))]
    pub fn this() -> Self {
        Self {
            #[cfg(feature = "std")]
            process: Process::this(),
        }
    }

    /// Returns true if a drop may write. A forked child has no mapping of the medium, and a second panic during a panic
    /// would abort the process.
    #[must_use]
    pub fn may_write(&self) -> bool {
        #[cfg(feature = "std")]
        return self.process.is_this() && !std::thread::panicking();
        #[cfg(not(feature = "std"))]
        true
    }
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::{Call, Format, begin, magic};
    use alloc::vec;
    use cachemaint::medium::Granularity;
    use cachemaint_test_support::bad_blocks::Mapped;

    /// Both copies of a root can be on bad blocks.
    #[test]
    fn a_medium_with_a_bad_slot_is_not_empty() {
        let format = Format { magic: magic::STORE, version: 1, name: "store" };
        for (bad, is_new) in [(&[][..], true), (&[4096], false), (&[4096, 12_288], false)] {
            let medium = Mapped::new(vec![0; 64 << 10], Granularity::Line(64), bad);
            assert_eq!(begin(&medium, format, Call::OpenOrCreate).unwrap().0, is_new, "{bad:?}");
            assert_eq!(begin(&medium, format, Call::CreateNew).is_ok(), is_new, "{bad:?}");
        }
    }
}
