//! Copies whose checksum is computed beside them, of 64 KiB each.
//!
//! Copied by itself memory is waited for, and summed up by itself the CPU's nearest cache is all that is used. Here
//! three stretches are copied side by side, some lines at a time, and each of the three has a chain of checksums:
//! those of what was just copied are computed while the next lines are under way.

use super::words::WORD;
use crate::cache::copy::Copier;
use crate::cache::{Cache, Destination};
use crate::checksum::striped::{BYTES, GROUP, STRETCH, Striped};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// A copy of 64 KiB that is to come.
pub(crate) struct Summed(Striped);

impl Summed {
    /// If it has the right length and the CPU has an instruction for checksums.
    #[inline]
    pub(crate) fn of(len: usize) -> Option<Self> {
        if len == BYTES { Striped::of_this_cpu().map(Self) } else { None }
    }

    /// Copies and issues the write-back; returns the checksum.
    ///
    /// # Safety
    /// As [`Copier::copy`], of 64 KiB.
    pub(crate) unsafe fn copy(
        self,
        copier: Copier<impl Fn(*mut u8, *const u8, usize)>,
        to: *mut u8,
        from: &[u8],
    ) -> u32 {
        let Self(mut striped) = self;
        let (words, _) = from.as_chunks::<WORD>();
        let load = |at: usize| u64::from_le_bytes(words[at / WORD]);
        let part = (to, from.as_ptr(), from.len());
        // SAFETY: the caller's duty; the blocks of 64 KiB are enough for the stretches.
        unsafe { copier.copy_beside(part, (STRETCH, GROUP), |group| striped.add(group, load)) };
        striped.finish(load)
    }

    /// Copies words out, past the caches where the destination is cold and the CPU can, and returns their checksum.
    ///
    /// # Panics
    /// If these are not 64 KiB.
    pub(crate) fn copy_out(
        self,
        cache: Cache,
        into: &mut [u8],
        words: &[AtomicU64],
        destination: Destination,
    ) -> u32 {
        assert!(into.len() == BYTES && words.len() * WORD == BYTES, "64 KiB are summed up");
        let Self(mut striped) = self;
        let load = |at: usize| u64::from_le(words[at / WORD].load(Relaxed));
        let part = (into.as_mut_ptr(), words.as_ptr().cast(), into.len());
        let copier = Copier { cache, writes_back: false, destination, edge: copy_edge };
        let add = |group| striped.add(group, load);
        if destination != Destination::Cold {
            // SAFETY: (1) both have 64 KiB, which are enough for the stretches; (2) the words are loaded as
            // vectors, of which each word is what somebody has stored, and nobody else has `into`.
            unsafe { copier.copy_beside(part, (STRETCH, GROUP), add) };
            return striped.finish(load);
        }
        // SAFETY: (1) and (2) as above.
        unsafe { copier.copy_out_beside(part, (STRETCH, GROUP), add) };
        // What was stored past the caches is seen by all who see what this thread does next.
        cache.fence();
        striped.finish(load)
    }
}

/// What nobody else accesses.
fn copy_edge(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: both ranges are those of a copy whose caller vouches for them.
    unsafe { from.copy_to_nonoverlapping(to, len) };
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use crate::cache::{Cache, Destination};
    use crate::checksum;
    use crate::medium::{Medium, Memory};
    use crate::skip::skip;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicU64;

    const BYTES: usize = super::BYTES;

    /// From and to any place in a line, and with something beside it.
    #[test]
    fn what_is_copied_is_what_is_summed_up() {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return skip("what_is_copied_is_what_is_summed_up", why),
        };
        let source: Vec<u8> = (0_u32..)
            .take(BYTES + 64)
            .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8)
            .collect();
        for (before, from) in [(64, 0), (8, 1), (56, 16), (3, 63)] {
            let at = before as u64;
            let words: Vec<AtomicU64> =
                (0..BYTES / 8 + 16).map(|_| AtomicU64::new(u64::MAX)).collect();
            let memory = Memory::new(&words, cache);
            let bytes = &source[from..][..BYTES];
            let Ok(sum) = memory.copy_crc32c(at, bytes);
            memory.fence();
            assert_eq!(sum, checksum::append(0, bytes), "{from} to {at}");
            let mut all = vec![0; BYTES + 128];
            let Ok(()) = memory.read(0, &mut all);
            let (beside, copied) = all.split_at(before);
            assert!(copied[..BYTES] == *bytes, "{from} to {at}");
            let beside = beside.iter().chain(&copied[BYTES..]);
            assert!(beside.copied().all(|byte| byte == 0xff), "{from} to {at}");

            for destination in [Destination::Unknown, Destination::Dirty, Destination::Cold] {
                let mut into = vec![1; BYTES + 128];
                let Ok(sum) = memory.read_crc32c(at, &mut into[from..][..BYTES], destination);
                assert_eq!(sum, checksum::append(0, bytes), "{at} to {from}");
                assert!(into[from..][..BYTES] == *bytes, "{at} to {from}");
                let (before, behind) = (&into[..from], &into[from + BYTES..]);
                assert!(before.iter().chain(behind).all(|byte| *byte == 1), "{at} to {from}");
            }
        }
    }
}
