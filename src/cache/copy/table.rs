//! The choice of the stores for a copy: by the CPU's stores, the vendor's promises, the write-back instruction, the size,
//! and the caller's knowledge of the destination.
//!
//! Every method is durable wherever the lines are: [`Method`] and the vendor's promise decide that, never a
//! measurement. Measurements only decide which durable method is used.
//!
//! # The rule of the tables
//! For each size the table has the method with the smallest *worst ratio*. A method's ratio is its time divided by that
//! of the best durable method; the worst one is that of the placement where it is greatest. The placements are no
//! cache, L1, L2 and L3, with clean lines; [`Destination::Cached`] leaves L1 and L2, [`Destination::Cold`] no cache. If
//! a table names several CPUs, the worst ratio is taken over all of them. A gain of less than 5 % changes no method.
//!
//! `cargo bench -p cachemaint-benches --bench copy -- --recommend` prints the table that this rule gives on a machine.

use super::Destination;
use crate::arch::{BlockStore, Effect, StoreKind};
use crate::cpu::block_stores::BlockStores;
use core::num::NonZeroU64;

/// The method by which a copy's whole blocks reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Ordinary stores, written back chunk by chunk while the lines are still near.
    Ordinary,
    /// Streaming stores, whose vendor promises that they leave no line behind; the fence completes them.
    Streaming,
    /// Streaming stores, a fence, and a write-back of all lines, since some may have been written in the cache. No
    /// manual orders a write-back after an older streaming store of its line without the fence.
    StreamingThenWriteback,
}

impl Method {
    /// Returns true if a later store can be seen before the bytes, unless a fence comes between (Intel SDM vol. 1,
    /// "Caching of Temporal vs. Non-Temporal Data").
    pub(super) const fn is_unordered(self) -> bool {
        matches!(self, Self::Streaming)
    }
}

/// The thresholds, in bytes of whole blocks, and the method that is taken from each on.
type Tiers = &'static [(usize, Method)];

/// The tiers for each hint. A copy uses the last tier that it reaches, and ordinary stores below the first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    unknown: Tiers,
    cached: Tiers,
    cold: Tiers,
}

impl Table {
    #[inline]
    pub(super) fn method(&self, blocks: usize, destination: Destination) -> Method {
        let tiers = match destination {
            Destination::Unknown => self.unknown,
            Destination::Cached => self.cached,
            Destination::Cold => self.cold,
        };
        let reached = tiers.iter().rev().find(|(least, _)| blocks >= *least);
        reached.map_or(Method::Ordinary, |(_, method)| *method)
    }
}

/// Streaming stores leave no line behind.
///
/// Measured on an Intel Xeon with L2 of 2 MiB and AVX-512 (family 6, reported as model 167 with AMX and
/// MOVDIR64B; KVM guest, Linux 6.18, DRAM; 151 interleaved blocks). The times are in ns, for ordinary stores with CLWB
/// against streaming stores of 64 bytes, destination in no cache / L1 / L2:
///
/// | bytes | ordinary | streaming |
/// |---|---|---|
/// | 64 | 376 / 364 / 371 | 406 / 401 / 411 |
/// | 128 | 419 / 367 / 367 | 426 / 404 / 403 |
/// | 192 | 486 / 382 / 382 | 428 / 419 / 415 |
/// | 256 | 504 / 399 / 394 | 446 / 448 / 431 |
/// | 512 | 571 / 408 / 407 | 437 / 428 / 427 |
/// | 1 KiB | 722 / 478 / 480 | 460 / 486 / 473 |
/// | 2 KiB | 1800 / 643 / 651 | 555 / 644 / 634 |
/// | 4 KiB | 3141 / 974 / 1031 | 738 / 944 / 962 |
/// | 64 KiB | 22054 / – / 9983 | 4503 / – / 8353 |
///
/// If the lines in L1 or L2 are dirty, ordinary stores cost the same as for clean lines, but streaming stores from 256
/// bytes on cost 1.6 to 2.8 times as much. Without knowledge, ordinary stores are therefore used for 256 bytes too,
/// where both are otherwise equal.
///
/// Emerald Rapids (family 6, model 207; KVM guest, Linux 6.18, DRAM) differs in cold lines, of which the tier begins at 64
/// bytes for both: 64 bytes take 303 ns against 206, 256 bytes 327 against 223. Streaming stores take 246 ns for 1 KiB,
/// 408 for 4 KiB, 1003 for 16 KiB, 3602 for 64 KiB and 57148 for 1 MiB.
///
/// It is also used on CPUs without CLWB, where it was not measured: only ordinary stores are written back here, and an
/// instruction that evicts makes them no faster.
static EVICTING: Table = Table {
    unknown: &[(512, Method::Streaming)],
    cached: &[(1024, Method::Streaming)],
    cold: &[(64, Method::Streaming)],
};

/// Streaming stores may leave lines behind, and the write-back keeps the line (CLWB).
///
/// Measured on an AMD EPYC (family 25, model 17; AVX-512; KVM guest, Linux 6.18, DRAM; 101 interleaved blocks) and on AMD
/// Zen 5 (family 26, KVM guest, DRAM; medians of 401). The times are in ns, for ordinary stores with CLWB against streaming
/// stores and then a pass of CLWB, destination in no cache / L1 / L2 / L3:
///
/// | bytes | family 25: ordinary | streaming, then CLWB | family 26: ordinary | streaming, then CLWB |
/// |---|---|---|---|---|
/// | 64 | 163 / 157 / 157 / 157 | 188 / 223 / 220 / 221 | 320 / 201 / 210 / 210 | 211 / 201 / 260 / 270 |
/// | 256 | 198 / 175 / 175 / 177 | 276 / 318 / 319 / 283 | 331 / 211 / 220 / 221 | 250 / 211 / 270 / 280 |
/// | 1 KiB | 289 / 213 / 216 / 223 | 327 / 401 / 403 / 343 | 451 / 240 / 250 / 351 | 260 / 241 / 401 / 360 |
/// | 2 KiB | 469 / 262 / 269 / 292 | 390 / 476 / 477 / 408 | | |
/// | 4 KiB | 864 / 376 / 381 / 366 | 516 / 529 / 529 / 484 | 601 / 311 / 331 / 460 | 311 / 331 / 400 / 371 |
/// | 16 KiB | 1906 / – / 854 / 944 | 1174 / – / 1124 / 1164 | 1322 / 671 / 741 / 881 | 671 / 682 / 781 / 701 |
/// | 64 KiB | 5972 / – / 2837 / 3207 | 3548 / – / 3643 / 3503 | 3525 / – / 1953 / 2844 | 2483 / – / 2584 / 2263 |
/// | 1 MiB | 77913 / – / – / 47373 | 50943 / – / – / 49857 | 49200 / – / – / 44000 | 35300 / – / – / 35100 |
///
/// The figures of family 26 lack the fence between streaming and the pass. On the CPU of [`EVICTING`] it adds 9 % up to
/// 256 bytes and 30 % from 4 to 16 KiB; the rule was applied with that added.
static WRITEBACK_KEEPS: Table = Table {
    unknown: &[(4096, Method::StreamingThenWriteback)],
    cached: &[(1 << 20, Method::StreamingThenWriteback)],
    cold: &[(1024, Method::StreamingThenWriteback)],
};

/// Streaming stores may leave lines behind, and the write-back evicts the line (CLFLUSHOPT, CLFLUSH).
///
/// Measured on an AMD EPYC without CLWB (family 23, model 1; KVM guest, Linux 6.18, DRAM; interleaved blocks). The times
/// are in ns, for ordinary stores with CLFLUSHOPT against streaming stores and then a pass of CLFLUSHOPT, destination in no
/// cache / in the nearest one that holds it:
///
/// | bytes | ordinary | streaming, then CLFLUSHOPT |
/// |---|---|---|
/// | 256 | 178 / 169 | 186 / 244 |
/// | 1 KiB | 317 / 232 | 220 / 304 |
/// | 4 KiB | 810 / 524 | 371 / 490 |
/// | 16 KiB | 2020 / 1356 | 1188 / 1340 |
///
/// At 1 KiB ordinary stores take up to 1.44 times the best, and streaming ones 1.31. Interpolated between the sizes,
/// the crossover for cold lines is below 512 bytes.
static WRITEBACK_EVICTS: Table = Table {
    unknown: &[(1024, Method::StreamingThenWriteback)],
    cached: &[(4096, Method::StreamingThenWriteback)],
    cold: &[(512, Method::StreamingThenWriteback)],
};

/// The stores for copies on one CPU, in one word: for each kind the place of the preferred one in the
/// architecture's list, 4 bits each, and the vendor's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preferred(NonZeroU64);

/// Set in each word, so that none is 0.
const MADE: NonZeroU64 = NonZeroU64::new(1 << 31).unwrap();
/// Streaming stores leave no line behind.
const EVICTS: u64 = 1 << 16;
/// No place in the list.
const NONE: u64 = 0xf;

const ORDINARY_STORE: u32 = 0;
const STREAMING_STORE: u32 = 4;

impl Preferred {
    /// Returns the preferred store of each kind.
    pub(super) fn of(list: &[BlockStore], stores: BlockStores) -> Self {
        let place = |kind| {
            let found = list.iter().position(|store| store.kind == kind && stores.has(*store));
            found.and_then(|place| u64::try_from(place).ok()).unwrap_or(NONE)
        };
        Self(
            MADE | if stores.evicts { EVICTS } else { 0 }
                | place(StoreKind::Ordinary) << ORDINARY_STORE
                | place(StoreKind::Streaming) << STREAMING_STORE,
        )
    }

    /// Returns the stores for a [`word`](Self::word).
    #[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
    #[inline(always)]
    pub(super) const fn from_word(word: NonZeroU64) -> Self {
        Self(word)
    }

    /// Returns the stores as a word.
    #[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
    pub(super) const fn word(self) -> NonZeroU64 {
        self.0
    }

    const fn has(self, kind: u32) -> bool {
        self.0.get() >> kind & NONE != NONE
    }

    /// Returns the table; `None` if this CPU has no stores past the caches.
    #[inline]
    pub(super) const fn table(self, writeback: Effect) -> Option<&'static Table> {
        match (self.0.get() & EVICTS != 0, self.has(STREAMING_STORE), writeback) {
            (_, false, _) => None,
            (true, true, _) => Some(&EVICTING),
            (false, true, Effect::Writeback) => Some(&WRITEBACK_KEEPS),
            (false, true, Effect::WritebackInvalidate) => Some(&WRITEBACK_EVICTS),
        }
    }

    /// Returns ordinary stores and their place in the list.
    #[inline]
    pub(super) const fn ordinary(self) -> (Method, usize) {
        (Method::Ordinary, (self.0.get() >> ORDINARY_STORE & NONE) as usize)
    }

    /// Returns the method of a copy with `blocks` bytes of whole blocks, and the place of the store that fills them.
    /// `writeback` is the effect of the instruction that writes back.
    #[inline(always)]
    pub(super) fn method(
        self,
        blocks: usize,
        destination: Destination,
        writeback: Effect,
    ) -> (Method, usize) {
        let table = self.table(writeback).filter(|_| !is_always_ordinary(blocks, destination));
        let Some(table) = table else { return self.ordinary() };
        let method = table.method(blocks, destination);
        let kind = match method {
            Method::Ordinary => ORDINARY_STORE,
            Method::Streaming | Method::StreamingThenWriteback => STREAMING_STORE,
        };
        (method, (self.0.get() >> kind & NONE) as usize)
    }
}

/// The number of bytes of whole blocks up to which every table has ordinary stores, unless the destination is cold.
const ALWAYS_ORDINARY: usize = 256;

/// Returns true if every table has ordinary stores there, so that no lookup is needed.
#[inline(always)]
pub(super) fn is_always_ordinary(blocks: usize, destination: Destination) -> bool {
    blocks <= ALWAYS_ORDINARY && destination != Destination::Cold
}
