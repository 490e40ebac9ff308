//! Reading: from the oldest record on, as long as records are valid.
//!
//! A reader reads the payload of a record into its one buffer before it verifies the tag. A record ends in its segment,
//! so no header can make the buffer larger than a segment.

use super::boundary::{beside_trims, walk_from};
use super::error::{Error, OpenError};
use super::evidence::Ending;
use super::geometry::{Geometry, Position};
use super::records::Records;
use super::recovered::Recovered;
use super::salvage::Salvage;
use super::state::State;
use super::walk::{Step, Walk};
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::identity::Identity;

/// A journal that is open for reading only, even while another process appends. The appending process reads with
/// [`Journal::records`](super::Journal::records).
///
/// A reader is bound to the epoch that it finds. Once the journal is opened for writing again, or replaced by a new
/// one, calls fail with [`ErrorKind::Replaced`](super::ErrorKind::Replaced); an iteration may notice only at its end.
/// Open a new reader and continue with [`records_from`](Self::records_from) at the end of the last record.
///
/// To make a backup, append the records of a reader to a new journal. A copy of the bytes can look damaged if a process
/// appends meanwhile.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::{Backing, Memory}};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint_journal::{Journal, Reader};
///
/// # let (journal, _) = Journal::open_or_create(medium)?;
/// # journal.append(b"paid 3 to Ada")?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// let reader = Reader::open(medium)?; // `medium` may be one that another process writes
/// for record in reader.records()? {
///     println!("{}", String::from_utf8_lossy(&record?.payload));
/// }
/// assert_eq!(reader.verify()?.records, 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Reader<M> {
    medium: M,
    state: State,
}

impl<M> Reader<M> {
    pub(super) const fn geometry(&self) -> Geometry {
        self.state.geometry
    }
}

impl<M: Readable> Reader<M> {
    /// Opens a journal for reading. Does not write to the medium.
    ///
    /// # Errors
    /// If the medium has no journal, or only part of one; if its version is unknown; if all roots are damaged; if the
    /// medium fails.
    pub fn open(medium: M) -> Result<Self, OpenError<M>> {
        match State::load(&medium, Rereadings::BESIDE_WRITERS) {
            Ok((state, _)) => Ok(Self { medium, state }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Returns the identity of the journal.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.state.identity
    }

    /// Returns the position up to which the journal was trimmed when the reader was opened.
    #[must_use]
    pub const fn head(&self) -> Position {
        Position(self.state.head)
    }

    /// Returns the size of the log in bytes, including headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.state.geometry.capacity
    }

    /// Returns the records from the oldest one on, including those appended meanwhile. The last ones may not be
    /// acknowledged yet: a power cut can still lose them. [`Journal::records`](super::Journal::records) returns only
    /// acknowledged records.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`](super::ErrorKind::Replaced); if the medium fails.
    pub fn records(&self) -> Result<Records<'_, M>, Error<M::Error>> {
        Ok(Records::new(Walk::new(&self.medium, self.now()?)))
    }

    /// Returns the records from a position on, as [`records`](Self::records) does. The position must be one where a
    /// record begins or ends, or the [head](Self::head).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`](super::ErrorKind::NotABoundary) if no record begins or ends at the position, or it
    /// was trimmed; [`ErrorKind::Damaged`](super::ErrorKind::Damaged) if a record that the call reads is damaged;
    /// [`ErrorKind::Replaced`](super::ErrorKind::Replaced); or if the medium fails.
    ///
    /// # Cost
    /// That of [`Journal::records_from`](super::Journal::records_from).
    pub fn records_from(&self, position: Position) -> Result<Records<'_, M>, Error<M::Error>> {
        Ok(Records::new(walk_from(&self.medium, position, || self.now())?))
    }

    /// Reads everything and returns a summary of the records. Does not write to the medium. Damage is part of the
    /// summary, not an error.
    ///
    /// # Errors
    /// If the medium fails; [`ErrorKind::NotABoundary`](super::ErrorKind::NotABoundary) if trims overtake every
    /// attempt: verify again; [`ErrorKind::Replaced`](super::ErrorKind::Replaced).
    pub fn verify(&self) -> Result<Recovered, Error<M::Error>> {
        let read = |state| survey(&self.medium, state).map_err(Error::medium);
        let damage = |found: &Result<Recovered, _>| found.as_ref().ok()?.damage;
        let recovered = beside_trims(|| self.now(), read, damage)?;
        let (_, loaded) = State::load(&self.medium, Rereadings::BESIDE_WRITERS)?;
        Ok(Recovered { root_lost: loaded.is_one_lost(), ..recovered })
    }

    /// Returns all valid records, including those after damage. If both copies of the newest root are lost, records
    /// appended in the space that this root had freed are missing.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`](super::ErrorKind::Replaced); or if the medium fails.
    pub fn salvage(&self) -> Result<Salvage<'_, M>, Error<M::Error>> {
        Ok(Salvage::new(Walk::new(&self.medium, self.now()?)))
    }

    fn now(&self) -> Result<State, Error<M::Error>> {
        self.state.now(&self.medium)
    }
}

/// Walks over all records and returns a summary.
pub(super) fn survey<M: Readable>(medium: &M, state: State) -> Result<Recovered, M::Error> {
    let mut walk = Walk::new(medium, state);
    let mut found = Recovered { head: Position(state.head), ..Recovered::default() };
    loop {
        match walk.step()? {
            Step::Record { len, .. } => {
                found.records += 1;
                found.bytes += len as u64;
            }
            Step::Passed => {}
            Step::End(fault) => match walk.ending(fault)? {
                Ending::More => {}
                Ending::End { is_torn, after_gap } => {
                    (found.torn, found.after_gap) = (is_torn, after_gap);
                    break;
                }
                Ending::Damage(damage) => {
                    found.damage = Some(damage);
                    break;
                }
            },
        }
    }
    found.end = Position(walk.last);
    Ok(found)
}
