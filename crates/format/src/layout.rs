//! Structures as bytes: fields of known types at stated offsets, little-endian, without gaps.
//!
//! [`layout!`] declares a structure in the same way as the tables of a `FORMAT.md`. The offsets are checked
//! at compile time.

/// A value with a fixed number of bytes.
pub trait Field: Sized {
    /// The number of bytes of the value.
    const BYTES: usize;

    /// Writes the value to the beginning of `bytes`.
    fn put(self, bytes: &mut [u8]);

    /// Reads the value from the beginning of `bytes`.
    fn take(bytes: &[u8]) -> Self;
}

impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;

    #[inline]
    fn put(self, bytes: &mut [u8]) {
        bytes[..N].copy_from_slice(&self);
    }

    #[inline]
    fn take(bytes: &[u8]) -> Self {
        let mut value = [0; N];
        value.copy_from_slice(&bytes[..N]);
        value
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(
            impl Field for $number {
                const BYTES: usize = size_of::<Self>();

                #[inline]
                fn put(self, bytes: &mut [u8]) {
                    self.to_le_bytes().put(bytes);
                }

                #[inline]
                fn take(bytes: &[u8]) -> Self {
                    Self::from_le_bytes(Field::take(bytes))
                }
            }
        )*
    };
}

numbers!(u8, u16, u32, u64);

/// Declares a structure: its name, its size in bytes, and each field with its offset.
#[macro_export]
#[doc(hidden)]
macro_rules! layout {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident: $bytes:literal {
            $($(#[$of_field:meta])* $at:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        $visibility struct $name {
            $($(#[$of_field])* $visibility $field: $type,)*
        }

        impl $crate::layout::Layout<$bytes> for $name {
            #[inline]
            fn to_bytes(self) -> [u8; $bytes] {
                let mut bytes = [0; $bytes];
                $($crate::layout::Field::put(self.$field, &mut bytes[$at..]);)*
                bytes
            }

            fn from_bytes(bytes: &[u8; $bytes]) -> Self {
                Self { $($field: $crate::layout::Field::take(&bytes[$at..]),)* }
            }
        }

        const _: () = {
            let end = 0;
            $(
                assert!($at == end, "a field does not begin where the one before it ends");
                let end = end + <$type as $crate::layout::Field>::BYTES;
            )*
            assert!(end == $bytes, "the fields do not add up to the structure's size");
        };
    };
}

pub use crate::layout;

/// A structure with a fixed number of bytes, declared by [`layout!`].
pub trait Layout<const BYTES: usize> {
    /// Returns the structure as bytes.
    fn to_bytes(self) -> [u8; BYTES];

    /// Reads the structure from bytes.
    fn from_bytes(bytes: &[u8; BYTES]) -> Self;
}

#[cfg(test)]
mod tests {
    use super::Layout as _;

    layout! {
        struct Example: 17 {
            0 letters: [u8; 2],
            2 byte: u8,
            3 half: u16,
            5 number: u32,
            9 word: u64,
        }
    }

    #[test]
    fn fields_are_little_endian_at_their_offsets() {
        let example = Example {
            letters: *b"cm",
            byte: 0x12,
            half: 0x3456,
            number: 0x789a_bcde,
            word: 0x0123_4567_89ab_cdef,
        };
        let bytes = *b"cm\x12\x56\x34\xde\xbc\x9a\x78\xef\xcd\xab\x89\x67\x45\x23\x01";
        assert_eq!(example.to_bytes(), bytes);
        assert_eq!(Example::from_bytes(&bytes).to_bytes(), bytes);
        assert_eq!(Example::from_bytes(&bytes).word, example.word);
    }
}
