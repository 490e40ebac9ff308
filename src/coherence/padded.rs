//! Memory that shares no write-back granule with anything else.

use super::Maintain;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// The granules that a buffer can be padded to: arrays of 32 to 2048 bytes. Sealed.
#[diagnostic::on_unimplemented(
    message = "a buffer cannot be padded to `{Self}`",
    note = "use 32, 64, 128, 256, 512, 1024 or 2048 bytes"
)]
pub trait Granule: sealed::Sealed {}

mod sealed {
    /// A value with the alignment of the granule.
    pub trait Sealed {
        type Aligned;
    }
}

macro_rules! granules {
    ($($aligned:ident $bytes:literal),*) => {
        $(
            #[repr(align($bytes))]
            #[derive(Debug)]
            pub struct $aligned;

            impl sealed::Sealed for [u8; $bytes] {
                type Aligned = $aligned;
            }
            impl Granule for [u8; $bytes] {}
        )*
    };
}

granules!(
    To32 32, To64 64, To128 128, To256 256, To512 512, To1024 1024, To2048 2048
);

/// A value that begins and ends on multiples of `N` bytes, so that it shares no unit of that size with anything else. A
/// buffer that an observer writes must be such a value.
///
/// `N` is known to the compiler and the granule only to the machine, so [`new`](Self::new) and each hand-over compare
/// them. 64 suffices for x86, 32 for Cortex-M7, 128 for the assumption of arm64 kernels (Linux `ARCH_DMA_MINALIGN`), 256
/// for A64FX; 2048 for arm64 CPUs that do not state it. If the other side has caches too, its granule counts as well: `N`
/// must not be smaller than either.
///
/// ```
/// use cachemaint::coherence::Padded;
///
/// // In a static: a compile error if the granule of the board is larger than the buffer's.
/// static GREETING: Padded<[u8; 5], 64> = Padded::for_granule(*b"hello", 32);
/// assert_eq!(size_of_val(&GREETING), 64);
/// assert_eq!(GREETING.len(), 5);
/// ```
///
/// Other sizes are refused by the compiler:
///
/// ```compile_fail
/// # use cachemaint::coherence::Padded;
/// static GREETING: Padded<[u8; 5], 48> = Padded::for_granule(*b"hello", 32);
/// ```
#[repr(C)]
pub struct Padded<T, const N: usize>
where
    [u8; N]: Granule,
{
    alignment: [<[u8; N] as sealed::Sealed>::Aligned; 0],
    value: T,
}

impl<T, const N: usize> Padded<T, N>
where
    [u8; N]: Granule,
{
    /// Pads `value` for a machine.
    ///
    /// # Errors
    /// If the machine writes back in units larger than `N`.
    pub fn new(value: T, cache: &(impl Maintain + ?Sized)) -> Result<Self, GranuleTooLarge> {
        let granule = cache.granule();
        if granule > N {
            return Err(GranuleTooLarge { granule, padded_to: N });
        }
        Ok(Self { alignment: [], value })
    }

    /// Pads `value` for a board whose granule is known to be `granule` bytes; for statics.
    ///
    /// # Panics
    /// If `granule` is larger than `N` or not a power of two: in a static that is an error of compilation.
    #[must_use]
    pub const fn for_granule(value: T, granule: usize) -> Self {
        assert!(granule.is_power_of_two(), "the granule is not a power of two");
        Self::assert_fits(granule);
        Self { alignment: [], value }
    }

    /// Returns the value, without the padding.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Returns the range of the value, padding included: whole granules of `granule` bytes.
    #[inline]
    #[track_caller]
    pub(super) fn granules(&mut self, granule: usize) -> (*mut u8, usize) {
        Self::assert_fits(granule);
        (core::ptr::from_mut(self).cast(), size_of::<Self>())
    }

    #[track_caller]
    const fn assert_fits(granule: usize) {
        assert!(granule <= N, "the granule is larger than the padding of the buffer");
    }
}

impl<T, const N: usize> Deref for Padded<T, N>
where
    [u8; N]: Granule,
{
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, const N: usize> DerefMut for Padded<T, N>
where
    [u8; N]: Granule,
{
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Padded<T, N>
where
    [u8; N]: Granule,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A machine writes back in larger units than a buffer is padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GranuleTooLarge {
    /// The machine's write-back granule, in bytes.
    pub granule: usize,
    /// The alignment and padding of the buffer, in bytes.
    pub padded_to: usize,
}

impl fmt::Display for GranuleTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { granule, padded_to } = self;
        write!(
            f,
            "the machine writes back in units of {granule} bytes and the buffer is padded to \
             {padded_to}, so it may share a unit with other data; "
        )?;
        if *granule <= crate::arch::LineSize::MAX {
            write!(f, "declare it as Padded<_, {granule}>")
        } else {
            f.write_str("map its memory uncached")
        }
    }
}

impl core::error::Error for GranuleTooLarge {}

#[cfg(test)]
mod tests {
    use super::{GranuleTooLarge, Padded};
    use crate::coherence::{Coherent, Maintain, acquire, release_to_writer};
    use alloc::string::ToString;

    /// A machine with a granule of the given number of bytes, and no cache.
    struct WithGranule(usize);

    // SAFETY: (1) the number does not change; nothing is cached, written back or dropped (2, 3, 4), no
    // observer is there to see an order (5), or memory (6); nothing can fail (7).
    unsafe impl Maintain for WithGranule {
        fn granule(&self) -> usize {
            self.0
        }

        unsafe fn issue_writeback(&self, _: *const u8, _: usize) {}
        unsafe fn issue_invalidate(&self, _: *mut u8, _: usize) {}
        unsafe fn issue_writeback_invalidate(&self, _: *const u8, _: usize) {}
        fn complete(&self) {}
    }

    /// A padded value begins and ends on a multiple of the granule, for each granule.
    macro_rules! each_granule {
        ($($bytes:literal)*) => {
            $({
                assert_eq!(align_of::<Padded<u8, $bytes>>(), $bytes);
                assert_eq!(size_of::<Padded<u8, $bytes>>(), $bytes);
                assert_eq!(size_of::<Padded<[u8; $bytes], $bytes>>(), $bytes);
                assert_eq!(size_of::<Padded<[u8; $bytes + 1], $bytes>>(), 2 * $bytes);
            })*
        };
    }

    #[test]
    fn values_begin_and_end_on_granules() {
        each_granule!(32 64 128 256 512 1024 2048);
    }

    /// The maintained range consists of whole granules, so that nothing at the ends needs care.
    #[test]
    fn the_range_is_the_granules_of_the_value() {
        let mut buffer: Padded<[u32; 33], 64> = Padded::new([0; 33], &Coherent).unwrap();
        let at = core::ptr::from_ref(&buffer[0]).addr();
        let (start, len) = buffer.granules(64);
        // 33 words are 132 bytes, in three granules.
        assert_eq!((start.addr(), len), (at, 192));
        assert!(at.is_multiple_of(64));
    }

    #[test]
    fn a_machine_with_larger_granules_is_refused_with_both_sizes_and_what_to_do() {
        assert!(Padded::<_, 64>::new(0_u8, &WithGranule(64)).is_ok());
        let error = Padded::<_, 64>::new(0_u8, &WithGranule(128)).unwrap_err();
        assert_eq!(error, GranuleTooLarge { granule: 128, padded_to: 64 });
        assert_eq!(
            error.to_string(),
            "the machine writes back in units of 128 bytes and the buffer is padded to 64, so it may \
             share a unit with other data; declare it as Padded<_, 128>"
        );
        let error = Padded::<_, 2048>::new(0_u8, &WithGranule(4096)).unwrap_err();
        assert!(error.to_string().ends_with("map its memory uncached"), "{error}");
    }

    #[test]
    #[should_panic(expected = "the granule is larger than the padding of the buffer")]
    fn a_board_with_larger_granules_panics() {
        drop(Padded::<_, 32>::for_granule(0_u8, 64));
    }

    #[test]
    fn a_hand_over_by_a_cache_with_larger_granules_panics() {
        let panics = |hand_over: fn(&WithGranule, &mut Padded<u8, 32>)| {
            let mut buffer = Padded::new(0, &Coherent).unwrap();
            std::panic::catch_unwind(move || hand_over(&WithGranule(64), &mut buffer)).is_err()
        };
        assert!(panics(|cache, buffer| release_to_writer(cache, buffer)));
        assert!(panics(|cache, buffer| acquire(cache, buffer)));
    }
}
