//! The choice of the stores for a copy: by the CPU's stores, the vendor's promises, the size, and the caller's
//! knowledge of the destination.
//!
//! Every path is durable wherever the lines are: [`Path`] and the promise decide that, never a measurement.
//! Measurements decide which durable path is taken: see the tables below, each with the CPU that it comes from.

use super::Destination;
use crate::arch::{BlockStore, StoreKind};
use crate::cpu::block_stores::BlockStores;

/// The path of a copy's whole blocks to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Ordinary stores, written back chunk by chunk while the lines are still near.
    Ordinary,
    /// Ordinary stores that carry the hint that the bytes will not be used again, written back in the same way.
    Hinted,
    /// Streaming stores, whose vendor promises that they leave no line behind; the fence completes them.
    Streaming,
    /// Streaming stores, a fence, and a write-back of all lines, as some may have been written in the
    /// cache. No manual orders a write-back after an older streaming store of its line without the fence.
    StreamingThenWriteback,
    /// Stores past the caches by definition; the fence completes them.
    Direct,
}

impl Path {
    /// Returns true if a later store can be seen before the bytes, unless a fence comes between (Intel SDM vol. 1,
    /// "Caching of Temporal vs. Non-Temporal Data"; vol. 2A, MOVDIR64B).
    pub(super) const fn is_unordered(self) -> bool {
        match self {
            Self::Streaming | Self::Direct => true,
            Self::Ordinary | Self::Hinted | Self::StreamingThenWriteback => false,
        }
    }
}

/// The thresholds, in bytes of whole blocks, and the path that is taken from each on.
type Tiers = &'static [(usize, Path)];

/// The path for each hint: the last tier that is reached, and ordinary stores below the first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    unknown: Tiers,
    cached: Tiers,
    cold: Tiers,
}

impl Policy {
    fn path(&self, blocks: usize, destination: Destination) -> Path {
        let tiers = match destination {
            Destination::Unknown => self.unknown,
            Destination::Cached => self.cached,
            Destination::Cold => self.cold,
        };
        let reached = tiers.iter().rev().find(|(least, _)| blocks >= *least);
        reached.map_or(Path::Ordinary, |(_, path)| *path)
    }
}

/// Ordinary stores, as this CPU has no stores past the caches. The CPU decides whether it follows a hint.
static ORDINARY: Policy = Policy { unknown: &[], cached: &[], cold: &[(0, Path::Hinted)] };

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
/// Where the lines in L1 or L2 are dirty, ordinary stores cost the same as where they are clean, and streaming stores
/// from 256 bytes on 1.6 to 2.8 times as much. So without knowledge ordinary stores are taken for 256 bytes too, where
/// both are equal otherwise.
///
/// Emerald Rapids agrees: at 64 and 128 bytes ordinary stores win, from 4 KiB on streaming by a factor of 3.
static EVICTING: Policy = Policy {
    unknown: &[(512, Path::Streaming)],
    cached: &[(1024, Path::Streaming)],
    cold: &[(192, Path::Streaming)],
};

/// Direct stores, whose definition says more than that of streaming stores, are taken where they are as fast. On the
/// CPU of [`EVICTING`] they are, within 2 %, up to 1 MiB; 16 MiB take 3108 µs by them and 2354 µs by streaming
/// stores.
static DIRECT: Policy = Policy {
    unknown: &[(512, Path::Direct), (TOO_LARGE_FOR_DIRECT, Path::Streaming)],
    cached: &[(1024, Path::Direct), (TOO_LARGE_FOR_DIRECT, Path::Streaming)],
    cold: &[(192, Path::Direct), (TOO_LARGE_FOR_DIRECT, Path::Streaming)],
};

const TOO_LARGE_FOR_DIRECT: usize = (1 << 20) + 1;

/// Streaming stores may leave lines behind.
///
/// Measured on AMD Zen 5 (family 26, KVM guest, DRAM; medians of 401). The times are in ns, for ordinary stores with
/// CLWB against streaming stores and then a pass of CLWB, destination in no cache / L1 / L2 / L3:
///
/// | bytes | ordinary | streaming, then CLWB |
/// |---|---|---|
/// | 64 | 320 / 201 / 210 / 210 | 211 / 201 / 260 / 270 |
/// | 256 | 331 / 211 / 220 / 221 | 250 / 211 / 270 / 280 |
/// | 1 KiB | 451 / 240 / 250 / 351 | 260 / 241 / 401 / 360 |
/// | 4 KiB | 601 / 311 / 331 / 460 | 311 / 331 / 400 / 371 |
/// | 16 KiB | 1322 / 671 / 741 / 881 | 671 / 682 / 781 / 701 |
/// | 64 KiB | 3525 / – / 1953 / 2844 | 2483 / – / 2584 / 2263 |
/// | 1 MiB | 49200 / – / – / 44000 | 35300 / – / – / 35100 |
///
/// That measurement did not have the fence between streaming and the pass, so the sizes are an estimate. On the CPU of
/// [`EVICTING`] the fence adds 9 % up to 256 bytes, 30 % from 4 to 16 KiB, 5 % at 64 KiB and nothing at 1 MiB.
static LEAVING: Policy = Policy {
    unknown: &[(8192, Path::StreamingThenWriteback)],
    cached: &[(1 << 20, Path::StreamingThenWriteback)],
    cold: &[(64, Path::StreamingThenWriteback)],
};

/// The choice for copies on one CPU, in one word: for each kind of store the place of the preferred one in the
/// architecture's list, 4 bits each, and the number of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice(u32);

/// Set in each choice, so that none is 0.
const MADE: u32 = 1 << 31;
/// Streaming and direct stores leave no line behind.
const EVICTS: u32 = 1 << 16;
/// No place in the list.
const NONE: u32 = 0xf;

const ORDINARY_STORE: u32 = 0;
const HINTED_STORE: u32 = 4;
const STREAMING_STORE: u32 = 8;
const DIRECT_STORE: u32 = 12;

impl Choice {
    /// Returns the preferred store of each kind. A vendor must promise that stores past the caches leave no line
    /// behind, or the caller accept it of streaming stores; direct stores of others are not used, since their manuals were
    /// not found.
    pub(super) fn of(list: &[BlockStore], stores: BlockStores) -> Self {
        let place = |kind| {
            let found = list.iter().position(|store| store.kind == kind && stores.has(*store));
            found.and_then(|place| u32::try_from(place).ok()).unwrap_or(NONE)
        };
        Self(
            MADE | if stores.evicts { EVICTS } else { 0 }
                | place(StoreKind::Ordinary) << ORDINARY_STORE
                | place(StoreKind::Hinted) << HINTED_STORE
                | place(StoreKind::Streaming) << STREAMING_STORE
                | if stores.evicts { place(StoreKind::Direct) } else { NONE } << DIRECT_STORE,
        )
    }

    /// Returns the same choice, where the caller accepts streaming stores as evicting.
    pub(super) const fn accepting(self, accepts_eviction: bool) -> Self {
        if accepts_eviction { Self(self.0 | EVICTS) } else { self }
    }

    /// Returns the choice whose [`word`](Self::word) was kept; `None` if none was.
    #[inline(always)]
    pub(super) const fn from_word(word: u32) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }

    /// Returns the choice as a word, which is not 0.
    pub(super) const fn word(self) -> u32 {
        self.0
    }

    const fn has(self, kind: u32) -> bool {
        self.0 >> kind & NONE != NONE
    }

    const fn policy(self) -> &'static Policy {
        match (self.0 & EVICTS != 0, self.has(STREAMING_STORE)) {
            (_, false) => &ORDINARY,
            (true, true) if self.has(DIRECT_STORE) => &DIRECT,
            (true, true) => &EVICTING,
            (false, true) => &LEAVING,
        }
    }

    /// Returns ordinary stores, for caches that are in the persistence domain.
    pub(super) const fn ordinary(self) -> (Path, usize) {
        (Path::Ordinary, (self.0 >> ORDINARY_STORE & NONE) as usize)
    }

    /// Returns the path of a copy with `blocks` bytes of whole blocks, and the place of the store that fills them.
    #[inline]
    pub(super) fn path(self, blocks: usize, destination: Destination) -> (Path, usize) {
        let path = self.policy().path(blocks, destination);
        let kind = match path {
            Path::Hinted if self.has(HINTED_STORE) => HINTED_STORE,
            Path::Ordinary | Path::Hinted => ORDINARY_STORE,
            Path::Streaming | Path::StreamingThenWriteback => STREAMING_STORE,
            Path::Direct => DIRECT_STORE,
        };
        (path, (self.0 >> kind & NONE) as usize)
    }
}
