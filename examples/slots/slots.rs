//! The slots themselves, on any medium: payments that are kept wholly or not at all, and their number.

use cachemaint::medium::Medium;
use std::sync::atomic::Ordering::Relaxed;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Payment {
    pub(crate) to: [u8; 24],
    pub(crate) cents: u64,
}

/// Payments, each with its slot.
type Kept = Vec<(u64, Payment)>;

const SLOTS: u64 = 8;
/// The number of payments ever made; a word never tears.
const COUNT: u64 = 0;
/// The offset of a word for each slot, 1 if the slot is full; then the payments.
const FULL: u64 = 64;
const PAYMENTS: u64 = FULL + SLOTS * 8;
/// The length of a medium for the slots. Zeros mean that no slot is full.
pub(crate) const LEN: u64 = PAYMENTS + SLOTS * size_of::<Payment>() as u64;

const fn place(slot: u64) -> u64 {
    PAYMENTS + slot * size_of::<Payment>() as u64
}

/// Returns the number of payments ever made, and the kept payments. Stores that a killed process left in the caches are
/// made durable before they are used.
pub(crate) fn open<M: Medium>(medium: &M) -> Result<(u64, Kept), M::Error> {
    medium.persist(0..LEN)?;
    let mut kept = Vec::new();
    for slot in (0..SLOTS).filter(|slot| medium.load(FULL + slot * 8, Relaxed) == 1) {
        let mut payment = Payment::new_zeroed();
        medium.read(place(slot), payment.as_mut_bytes())?;
        kept.push((slot, payment));
    }
    Ok((medium.load(COUNT, Relaxed), kept))
}

/// Keeps a payment in an empty slot: it stores first the payment, then the word that marks the slot as full, then the
/// number.
pub(crate) fn put<M: Medium>(medium: &M, slot: u64, payment: &Payment) -> Result<(), M::Error> {
    medium.persist_copy(&[(place(slot), payment.as_bytes())])?;
    medium.store(FULL + slot * 8, 1, Relaxed);
    medium.persist(FULL + slot * 8..FULL + slot * 8 + 8)?;
    medium.store(COUNT, medium.load(COUNT, Relaxed) + 1, Relaxed);
    medium.persist(COUNT..COUNT + 8)
}

/// Empties a slot.
pub(crate) fn remove<M: Medium>(medium: &M, slot: u64) -> Result<(), M::Error> {
    medium.store(FULL + slot * 8, 0, Relaxed);
    medium.persist(FULL + slot * 8..FULL + slot * 8 + 8)
}
