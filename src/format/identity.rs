//! The identity of a journal, a recording or a store.

use core::fmt;

/// The name of a journal, a recording or a store: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

#[cfg(any(feature = "journal", feature = "preserve", all(feature = "recorder", feature = "std")))]
impl Identity {
    /// Returns the identity that is made of these random words.
    pub(crate) const fn from_entropy(words: [u64; 2]) -> Self {
        let [low, high] = words;
        Self((((high as u128) << 64) | low as u128).to_le_bytes())
    }
}

/// Returns random words of the system.
#[cfg(all(any(feature = "journal", feature = "preserve", feature = "recorder"), feature = "std"))]
pub(crate) fn entropy() -> [u64; 2] {
    use core::hash::{BuildHasher as _, Hasher as _};
    // The keys of a `RandomState` are random numbers of the system. The standard library has no other stable
    // interface to them.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    [random(), random()]
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
#[cfg(any(feature = "journal", feature = "preserve", all(feature = "recorder", feature = "std")))]
mod tests {
    use super::Identity;

    #[test]
    fn the_words_of_an_identity_are_little_endian_and_in_order() {
        let identity = Identity::from_entropy([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(identity.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }
}
