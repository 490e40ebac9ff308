//! The types that memory may change under.

mod sealed {
    pub trait Sealed {}
}

/// Integers and arrays of them: every bit pattern is a value, so an observer may write anything over
/// them. Sealed.
pub trait Plain: sealed::Sealed + Copy {}

macro_rules! integers {
    ($($integer:ty)*) => {
        $(
            impl sealed::Sealed for $integer {}
            impl Plain for $integer {}
        )*
    };
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl<T: Plain, const LEN: usize> sealed::Sealed for [T; LEN] {}
impl<T: Plain, const LEN: usize> Plain for [T; LEN] {}
