//! Memory that shares no write-back granule with other data.

use super::Maintain;
use crate::cache::Plain;
#[cfg(any(feature = "alloc", test))]
use alloc::boxed::Box;
#[cfg(any(feature = "alloc", test))]
use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};

/// The granules that a buffer can be padded to: arrays of 1 and of 32 to 2048 bytes. Sealed.
#[diagnostic::on_unimplemented(
    message = "a buffer cannot be padded to `{Self}`",
    note = "use 32, 64, 128, 256, 512, 1024 or 2048 bytes; 1 if the granule is 1"
)]
pub trait Granule: sealed::Sealed {}

mod sealed {
    /// A value with the alignment of the granule. Its bounds let code that is generic over the granule, and the
    /// documentation, conclude that a padded value is `Send` and `Sync` if the value is.
    pub trait Sealed {
        type Aligned: Copy + Send + Sync + Unpin + super::UnwindSafe + super::RefUnwindSafe;
    }
}

macro_rules! granules {
    ($($aligned:ident $bytes:literal),*) => {
        $(
            #[repr(align($bytes))]
            #[derive(Clone, Copy, Debug)]
            pub struct $aligned;

            impl sealed::Sealed for [u8; $bytes] {
                type Aligned = $aligned;
            }
            impl Granule for [u8; $bytes] {}
        )*
    };
}

/// The smallest padding of more than one byte, for granules down to 2.
const SMALLEST: usize = 32;

granules!(
    To1 1, To32 32, To64 64, To128 128, To256 256, To512 512, To1024 1024, To2048 2048
);

/// A value that begins and ends on multiples of `N` bytes, so that it shares no unit of that size with other data. A
/// buffer that a device writes must be such a value.
///
/// | the memory | call |
/// |---|---|
/// | a value, moved in | [`new`](Self::new), [`into_inner`](Self::into_inner) |
/// | a static | [`for_granule`](Self::for_granule) |
/// | the heap, of any size, without a copy on the stack | [`boxed`](Self::boxed) (feature `alloc`) |
/// | the heap, with a length known at run time | [`boxed_slice`](Self::boxed_slice) (feature `alloc`) |
/// | existing memory (a pool, a mapping, a linker section), with a length known at run time | [`from_mut`](Self::from_mut) |
///
/// The compiler knows `N`, but only the machine knows the granule, so [`new`](Self::new) and each hand-over compare
/// them. 64 suffices for x86, 32 for Cortex-M7, 128 for what arm64 kernels assume (Linux `ARCH_DMA_MINALIGN`), 256 for
/// A64FX; 2048 for arm64 CPUs that do not state it. If the granule is 1, as with [`Coherent`](super::Coherent) and on
/// cores without a data cache, `N` may be 1, and any slice will do. If the other side has caches too, `N` must not be
/// smaller than its granule either.
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
/// A reference to a padded array coerces to one to a padded slice, so a driver can take any length. The compiler
/// refuses other sizes:
///
/// ```compile_fail
/// # use cachemaint::coherence::Padded;
/// static GREETING: Padded<[u8; 5], 48> = Padded::for_granule(*b"hello", 32);
/// ```
#[repr(C)]
pub struct Padded<T: ?Sized, const N: usize>
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
    ///
    /// # Panics
    /// If the granule of `cache` is not a power of two; so do the other constructors.
    pub fn new(value: T, cache: &(impl Maintain + ?Sized)) -> Result<Self, GranuleTooLarge> {
        GranuleTooLarge::check(cache, N)?;
        Ok(Self { alignment: [], value })
    }

    /// Pads `value` for a board with a granule of `granule` bytes; for statics.
    ///
    /// # Panics
    /// If `granule` is larger than `N` or not a power of two; in a static that is a compile error.
    #[must_use]
    pub const fn for_granule(value: T, granule: usize) -> Self {
        assert!(granule.is_power_of_two(), "the granule is not a power of two");
        Self::assert_fits(granule);
        Self { alignment: [], value }
    }

    /// Allocates a value of zeros, which is never on the stack.
    ///
    /// ```
    /// use cachemaint::coherence::{Coherent, Padded};
    ///
    /// type Frame = [u8; 1920 * 1080 * 4];
    /// let frame: Box<Padded<Frame, 2048>> = Padded::boxed(&Coherent)?;
    /// # Ok::<(), cachemaint::coherence::GranuleTooLarge>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(any(feature = "alloc", test))]
    pub fn boxed(cache: &(impl Maintain + ?Sized)) -> Result<Box<Self>, GranuleTooLarge>
    where
        T: Plain,
    {
        GranuleTooLarge::check(cache, N)?;
        let mut memory = Box::<Self>::new_uninit();
        // SAFETY: the memory is one such value, and borrowed for writing.
        unsafe { memory.as_mut_ptr().write_bytes(0, 1) };
        // SAFETY: all bytes are initialized, and zeros are a value by `Plain` (1).
        Ok(unsafe { memory.assume_init() })
    }

    /// Returns the value, without the padding.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: Plain, const N: usize> Padded<[T], N>
where
    [u8; N]: Granule,
{
    /// Borrows existing memory as a padded slice, in place.
    ///
    /// ```
    /// use cachemaint::coherence::{self, Coherent, Padded};
    ///
    /// #[repr(align(64))]
    /// struct Pool([u8; 4096]);
    /// let mut pool = Pool([0; 4096]);
    /// let frame: &mut Padded<[u8], 64> = Padded::from_mut(&mut pool.0[..1536], &Coherent)?;
    /// coherence::release_to_writer(&Coherent, frame);
    /// # Ok::<(), coherence::NotPadded>(())
    /// ```
    ///
    /// With an `N` of 1 it takes any slice, and refuses caches with a larger granule:
    ///
    /// ```
    /// use cachemaint::coherence::{self, Coherent, Padded};
    ///
    /// fn receive(client: &'static mut [u8]) -> &'static mut [u8] {
    ///     let buffer: &mut Padded<[u8], 1> = Padded::from_mut(client, &Coherent).unwrap();
    ///     coherence::release_to_writer(&Coherent, buffer);
    ///     coherence::acquire(&Coherent, buffer);
    ///     client
    /// }
    /// receive(&mut Box::leak(Box::new([0; 16]))[1..14]);
    /// ```
    ///
    /// # Errors
    /// If the memory does not begin and end on multiples of `N`, or the machine writes back in units larger than `N`.
    pub fn from_mut<'a>(
        memory: &'a mut [T],
        cache: &(impl Maintain + ?Sized),
    ) -> Result<&'a mut Self, NotPadded> {
        GranuleTooLarge::check(cache, N).map_err(NotPadded::Granule)?;
        let (start, len) = (memory.as_mut_ptr(), size_of_val(memory));
        if !start.addr().is_multiple_of(N) || !len.is_multiple_of(N) {
            return Err(NotPadded::Ends { start: start.addr(), len, padded_to: N });
        }
        let padded = core::ptr::from_mut(memory) as *mut Self;
        // SAFETY: the only field with bytes is the slice, at the start. The memory is aligned to `N`, and the type has no
        // padding behind it, since its size is a multiple of `N`. It stays borrowed.
        Ok(unsafe { &mut *padded })
    }

    /// Allocates a slice of `len` zeros.
    ///
    /// ```
    /// use cachemaint::coherence::{Coherent, NotAllocated, Padded};
    ///
    /// fn receive_buffers(mtu: usize) -> Result<Vec<Box<Padded<[u8], 64>>>, NotAllocated> {
    ///     (0..16).map(|_| Padded::<[u8], 64>::boxed_slice(mtu, &Coherent)).collect()
    /// }
    /// assert_eq!(receive_buffers(1514)?[0].len(), 1514);
    /// # Ok::<(), NotAllocated>(())
    /// ```
    ///
    /// # Errors
    /// If the machine writes back in units larger than `N`, or the memory cannot be allocated.
    #[cfg(any(feature = "alloc", test))]
    pub fn boxed_slice(
        len: usize,
        cache: &(impl Maintain + ?Sized),
    ) -> Result<Box<Self>, NotAllocated> {
        GranuleTooLarge::check(cache, N).map_err(NotAllocated::Granule)?;
        let too_large = NotAllocated::Memory { len, size: size_of::<T>() };
        let slice = Layout::array::<T>(len).and_then(|slice| slice.align_to(N));
        let Ok(layout) = slice.map(|slice| slice.pad_to_align()) else { return Err(too_large) };
        let start: *mut T = if layout.size() == 0 {
            core::ptr::without_provenance_mut(layout.align())
        } else {
            // SAFETY: the size is not 0.
            unsafe { alloc::alloc::alloc_zeroed(layout) }.cast()
        };
        if start.is_null() {
            return Err(too_large);
        }
        let padded = core::ptr::slice_from_raw_parts_mut(start, len) as *mut Self;
        // SAFETY: the only field with bytes is the slice, at the start, and zeros are a value by `Plain` (1). The layout is
        // that of the value: its alignment is the larger one of `T`'s and `N`, its size that of the slice, rounded up to it.
        Ok(unsafe { Box::from_raw(padded) })
    }
}

impl<T: ?Sized, const N: usize> Padded<T, N>
where
    [u8; N]: Granule,
{
    /// Returns the range of the value, padding included: whole granules of `granule` bytes.
    #[inline]
    #[track_caller]
    pub(super) fn granules(&mut self, granule: usize) -> (*mut u8, usize) {
        Self::assert_fits(granule);
        (core::ptr::from_mut(self).cast(), size_of_val(self))
    }

    #[track_caller]
    const fn assert_fits(granule: usize) {
        assert!(granule <= N, "the granule is larger than the padding of the buffer");
    }
}

impl<T: ?Sized, const N: usize> Deref for Padded<T, N>
where
    [u8; N]: Granule,
{
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized, const N: usize> DerefMut for Padded<T, N>
where
    [u8; N]: Granule,
{
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug + ?Sized, const N: usize> fmt::Debug for Padded<T, N>
where
    [u8; N]: Granule,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (&&self.value).fmt(f)
    }
}

/// Lends the slice to a driver that transfers by DMA, without its padding. An array coerces to a slice and is lent as
/// one.
// SAFETY: the slice is within, and its own implementation answers for it. A slice of padded arrays would be lent with the
// padding between them, which has no value; padded slices are no elements.
#[cfg(feature = "embedded-dma")]
unsafe impl<T: embedded_dma::ReadTarget, const N: usize> embedded_dma::ReadTarget for Padded<[T], N>
where
    [u8; N]: Granule,
{
    type Word = T::Word;

    fn as_read_buffer(&self) -> (*const Self::Word, usize) {
        self.value.as_read_buffer()
    }
}

/// Lends the slice to a driver that transfers by DMA, without its padding. An array coerces to a slice and is lent as
/// one.
// SAFETY: as above.
#[cfg(feature = "embedded-dma")]
unsafe impl<T: embedded_dma::WriteTarget, const N: usize> embedded_dma::WriteTarget
    for Padded<[T], N>
where
    [u8; N]: Granule,
{
    type Word = T::Word;

    fn as_write_buffer(&mut self) -> (*mut Self::Word, usize) {
        self.value.as_write_buffer()
    }
}

/// The machine writes back in larger units than a buffer is padded to.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GranuleTooLarge {
    /// The machine's write-back granule, in bytes.
    pub granule: usize,
    /// The alignment and padding of the buffer, in bytes.
    pub padded_to: usize,
}

impl GranuleTooLarge {
    fn check(cache: &(impl Maintain + ?Sized), padded_to: usize) -> Result<(), Self> {
        let granule = cache.granule();
        assert!(granule.is_power_of_two(), "the granule is not a power of two");
        if granule > padded_to { Err(Self { granule, padded_to }) } else { Ok(()) }
    }
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
            write!(f, "declare it as Padded<_, {}>", SMALLEST.max(*granule))
        } else {
            f.write_str("map its memory uncached")
        }
    }
}

debug_is_display!(GranuleTooLarge, NotPadded);

impl core::error::Error for GranuleTooLarge {}

/// A padded slice cannot be allocated.
#[cfg(any(feature = "alloc", test))]
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAllocated {
    /// The machine writes back in larger units than asked for.
    Granule(GranuleTooLarge),
    /// There is not enough memory.
    #[non_exhaustive]
    Memory {
        /// The length of the slice, in elements.
        len: usize,
        /// The size of an element, in bytes.
        size: usize,
    },
}

#[cfg(any(feature = "alloc", test))]
impl fmt::Display for NotAllocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granule(error) => error.fmt(f),
            Self::Memory { len, size } => {
                write!(
                    f,
                    "no memory for {len} elements of {size} bytes; free some, or ask for less"
                )
            }
        }
    }
}

#[cfg(any(feature = "alloc", test))]
debug_is_display!(NotAllocated);

#[cfg(any(feature = "alloc", test))]
impl core::error::Error for NotAllocated {}

/// Memory cannot be used as a padded slice.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotPadded {
    /// The machine writes back in larger units than asked for.
    Granule(GranuleTooLarge),
    /// The memory shares its first or last unit with other data.
    #[non_exhaustive]
    Ends {
        /// The address of its first byte.
        start: usize,
        /// Its length, in bytes.
        len: usize,
        /// The alignment and padding, in bytes.
        padded_to: usize,
    },
}

impl fmt::Display for NotPadded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granule(error) => error.fmt(f),
            Self::Ends { start, len, padded_to } => write!(
                f,
                "{len} bytes from {start:#x} are not whole units of {padded_to} bytes, so they may share a unit with other \
                 data; use memory that begins and ends on multiples of {padded_to}"
            ),
        }
    }
}

impl core::error::Error for NotPadded {}

#[cfg(test)]
mod tests {
    use super::{Granule, GranuleTooLarge, NotAllocated, NotPadded, Padded};
    use crate::coherence::{Coherent, Maintain, acquire, release_to_writer};
    use alloc::boxed::Box;
    use alloc::format;
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
        fn order_observed(&self) {}
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
        each_granule!(1 32 64 128 256 512 1024 2048);
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

    /// Any memory would fit it.
    #[test]
    fn a_granule_that_is_no_power_of_two_is_refused_by_each_constructor() {
        type Bytes = Padded<[u8; 64], 64>;
        let constructors: [fn(&WithGranule); 4] = [
            |cache| drop(Bytes::new([0; 64], cache)),
            |cache| drop(Bytes::boxed(cache)),
            |cache| drop(Padded::<[u8], 64>::boxed_slice(1, cache)),
            |cache| _ = Padded::<[u8], 1>::from_mut(&mut [0; 5], cache),
        ];
        for granule in [0, 3, 48] {
            for construct in constructors {
                let refused = std::panic::catch_unwind(|| construct(&WithGranule(granule)));
                refused.unwrap_err();
            }
        }
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
        let error = Padded::<_, 1>::new(0_u8, &WithGranule(16)).unwrap_err();
        assert!(error.to_string().ends_with("as Padded<_, 32>"), "there is none of 16: {error}");
        let error = Padded::<_, 2048>::new(0_u8, &WithGranule(4096)).unwrap_err();
        assert!(error.to_string().ends_with("map its memory uncached"), "{error}");
    }

    /// In a thread whose stack is smaller than the frame.
    #[test]
    fn a_frame_buffer_is_made_on_the_heap_and_handed_over_as_a_slice() {
        const FRAME: usize = 1920 * 1080 * 4;
        let work = || {
            let mut frame: Box<Padded<[u8; FRAME], 2048>> = Padded::boxed(&Coherent).unwrap();
            frame[FRAME - 1] = 7;
            let whole: &mut Padded<[u8], 2048> = &mut *frame;
            release_to_writer(&Coherent, whole);
            acquire(&Coherent, whole);
            assert_eq!((whole[0], whole[FRAME - 1]), (0, 7));
            assert!(Padded::<[u8; FRAME], 64>::boxed(&WithGranule(128)).is_err());
        };
        std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap().join().unwrap();
    }

    /// 33 words are 132 bytes, in three granules of 64. Nothing is allocated for no elements.
    #[test]
    fn a_slice_on_the_heap_has_whole_granules_of_zeros() {
        for (len, bytes) in [(33, 192), (0, 0)] {
            let mut slice = Padded::<[u32], 64>::boxed_slice(len, &Coherent).unwrap();
            let (start, size) = slice.granules(64);
            assert!(start.addr().is_multiple_of(64));
            assert_eq!((size, slice.len()), (bytes, len));
            assert!(slice.iter().all(|&word| word == 0));
        }
        assert!(Padded::<[u128], 1>::boxed_slice(3, &Coherent).unwrap().as_ptr().is_aligned());
    }

    #[test]
    fn a_slice_that_no_memory_can_hold_is_refused() {
        let refused = |len| Padded::<[u32], 64>::boxed_slice(len, &WithGranule(64)).unwrap_err();
        // Half of the address space is the most that Rust allocates; padding must not wrap either.
        for len in [usize::MAX, isize::MAX as usize / 4] {
            assert_eq!(refused(len), NotAllocated::Memory { len, size: 4 });
        }
        let error = Padded::<[u32], 64>::boxed_slice(1, &WithGranule(128)).unwrap_err();
        assert_eq!(error, NotAllocated::Granule(GranuleTooLarge { granule: 128, padded_to: 64 }));
    }

    #[test]
    fn memory_is_adopted_if_both_of_its_ends_are_those_of_granules() {
        let mut pool = Padded::<_, 64>::new([0_u32; 64], &Coherent).unwrap();
        let at = core::ptr::from_ref(&pool[0]).addr();
        let mut adopt = |words: core::ops::Range<usize>, granule| {
            let padded = Padded::<[u32], 64>::from_mut(&mut pool[words], &WithGranule(granule))?;
            padded.fill(9);
            Ok(padded.granules(granule))
        };
        let (start, len) = adopt(16..48, 64).unwrap();
        assert_eq!((start.addr(), len), (at + 64, 128), "32 words, in place");
        let ends = |start, len| Err(NotPadded::Ends { start, len, padded_to: 64 });
        assert_eq!(adopt(8..24, 32), ends(at + 32, 64));
        assert_eq!(adopt(16..47, 32), ends(at + 64, 124));
        let too_large = GranuleTooLarge { granule: 128, padded_to: 64 };
        assert_eq!(adopt(0..64, 128), Err(NotPadded::Granule(too_large)));
        assert_eq!((pool[15], pool[16], pool[47], pool[48]), (0, 9, 9, 0));
    }

    /// Also where the granule is not known yet, as in a driver that is generic over it.
    #[test]
    fn a_padded_value_is_sent_and_shared_as_the_value_is() {
        fn is_sent_and_shared<T: Send + Sync>() {}
        fn generic<T: Send + Sync, const N: usize>()
        where
            [u8; N]: Granule,
        {
            is_sent_and_shared::<Padded<T, N>>();
        }
        generic::<u8, 64>();
    }

    #[cfg(feature = "embedded-dma")]
    #[test]
    fn a_driver_is_lent_no_padding() {
        use embedded_dma::{ReadTarget, WriteTarget};
        let mut buffer = Padded::<_, 64>::new([7_u16; 5], &Coherent).unwrap();
        let start = core::ptr::from_ref(&buffer[0]);
        let slice: &mut Padded<[u16], 64> = &mut buffer;
        assert_eq!(slice.as_read_buffer(), (start, 5));
        assert_eq!(slice.as_write_buffer(), (start.cast_mut(), 5));
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

    #[test]
    fn a_main_that_returns_an_error_prints_its_sentence() {
        let granule = GranuleTooLarge { granule: 128, padded_to: 64 };
        let memory = NotAllocated::Memory { len: 1, size: 64 };
        let ends = NotPadded::Ends { start: 8, len: 64, padded_to: 64 };
        assert_eq!(format!("{granule:?}"), granule.to_string());
        assert_eq!(format!("{memory:?}"), memory.to_string());
        assert_eq!(format!("{ends:?}"), ends.to_string());
    }
}
