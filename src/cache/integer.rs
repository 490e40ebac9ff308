//! The types that memory may change under.

mod sealed {
    pub trait Sealed {}
}

/// The integers: types for which every bit pattern is a value, so that an observer may write
/// anything over them. Sealed.
pub trait Integer: sealed::Sealed + Copy {}

macro_rules! integers {
    ($($integer:ty)*) => {
        $(
            impl sealed::Sealed for $integer {}
            impl Integer for $integer {}
        )*
    };
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
