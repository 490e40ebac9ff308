//! The slots themselves, on any medium: the last payments with their numbers, each kept completely or not at all.

use cachemaint::medium::Medium;
use std::sync::atomic::Ordering::Relaxed;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A payment, as stored in a slot.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Payment {
    /// The name of the payee.
    pub to: [u8; 24],
    /// The amount.
    pub cents: u64,
}

const SLOTS: u64 = 8;
/// The offset of the payments. Before them, each slot has a word: the number of its payment, or 0.
const PAYMENTS: u64 = SLOTS * 8;
/// The length of a medium for the slots. Zeros mean that all slots are empty.
pub const LEN: u64 = PAYMENTS + SLOTS * size_of::<Payment>() as u64;

const fn place(slot: u64) -> u64 {
    PAYMENTS + slot * size_of::<Payment>() as u64
}

/// Returns the kept payments with their numbers, the oldest first. Stores that a killed process left in the caches are made
/// durable before they are used.
pub fn open<M: Medium>(medium: &M) -> Result<Vec<(u64, Payment)>, M::Error> {
    medium.persist(0..LEN)?;
    let mut kept = Vec::new();
    for slot in 0..SLOTS {
        let number = medium.load(slot * 8, Relaxed);
        if number > 0 {
            let mut payment = Payment::new_zeroed();
            medium.read(place(slot), payment.as_mut_bytes())?;
            kept.push((number, payment));
        }
    }
    kept.sort_unstable_by_key(|(number, _)| *number);
    Ok(kept)
}

/// Keeps a payment in place of the one eight numbers earlier. Numbers begin at 1. The older payment is removed first,
/// then the new one is stored, then its number; a word never tears.
pub fn put<M: Medium>(medium: &M, number: u64, payment: &Payment) -> Result<(), M::Error> {
    let slot = number % SLOTS;
    if medium.load(slot * 8, Relaxed) > 0 {
        set_number(medium, slot, 0)?;
    }
    medium.persist_copy(&[(place(slot), payment.as_bytes())])?;
    set_number(medium, slot, number)
}

fn set_number<M: Medium>(medium: &M, slot: u64, number: u64) -> Result<(), M::Error> {
    medium.store(slot * 8, number, Relaxed);
    medium.persist(slot * 8..slot * 8 + 8)
}
