//! The identity of a journal, a recording or a store.

use core::fmt;

/// The name of a journal, a recording or a store: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    /// Returns the identity made of these random words.
    #[must_use]
    pub const fn from_entropy(words: [u64; 2]) -> Self {
        let [low, high] = words;
        Self((((high as u128) << 64) | low as u128).to_le_bytes())
    }
}

/// Returns random words. A forked child gets words that differ from its parent's and its siblings'.
#[cfg(feature = "std")]
#[must_use]
pub fn entropy() -> [u64; 2] {
    use core::hash::BuildHasher as _;
    // A `RandomState` takes random keys from the system, but a thread draws them only once, and `fork` copies them.
    let own = || std::hash::RandomState::new().hash_one(of_this_moment());
    let [low, high] = system_words().unwrap_or_default();
    [low ^ own(), high ^ own()]
}

/// Reads random words from the system. Returns `None` if it has no file of them or the file cannot be opened.
#[cfg(feature = "std")]
fn system_words() -> Option<[u64; 2]> {
    use std::io::Read as _;
    if cfg!(not(unix)) {
        return None;
    }
    let mut words = [[0; 8]; 2];
    let mut file = std::fs::File::open("/dev/urandom").ok()?;
    file.read_exact(words.as_flattened_mut()).ok()?;
    Some(words.map(u64::from_ne_bytes))
}

/// Returns a value that differs between processes and over time, on systems that report both.
#[cfg(feature = "std")]
fn of_this_moment() -> Option<(u32, std::time::SystemTime)> {
    cfg!(any(unix, windows)).then(|| (std::process::id(), std::time::SystemTime::now()))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn the_words_of_an_identity_are_little_endian_and_in_order() {
        let identity = Identity::from_entropy([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(identity.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    /// A forked child inherits all memory. The keys of a `RandomState` are drawn once per thread and then incremented.
    #[cfg(all(feature = "std", unix, not(miri)))]
    #[test]
    fn forked_children_get_different_words() {
        let mine = super::entropy();
        let [first, second] = [words_of_a_child(), words_of_a_child()];
        assert!(first != second && first != mine && second != mine);
    }

    #[cfg(all(feature = "std", unix, not(miri)))]
    #[expect(unsafe_code, reason = "a child is forked")]
    fn words_of_a_child() -> [u64; 2] {
        use std::io::{Read as _, Write as _};
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        // SAFETY: the child only makes system calls and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let words = super::entropy().map(u64::to_ne_bytes);
            let is_written = writer.write_all(words.as_flattened()).is_ok();
            // SAFETY: ends the child without running any of the parent's code.
            unsafe { libc::_exit(i32::from(!is_written)) };
        }
        drop(writer);
        let mut words = [[0; 8]; 2];
        reader.read_exact(words.as_flattened_mut()).unwrap();
        // SAFETY: collects the child.
        unsafe { libc::waitpid(child, core::ptr::null_mut(), 0) };
        words.map(u64::from_ne_bytes)
    }
}
