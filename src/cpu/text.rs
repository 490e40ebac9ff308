//! Short texts that need no allocation, safe to print.

/// A short text from the CPU or a hypervisor: a vendor, a brand, a signature. At most `N` bytes of printable ASCII, and
/// at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    /// A byte, since reports hold many of these.
    len: u8,
}

/// Only x86 and PowerPC provide texts.
#[cfg(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    test
))]
impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Returns the text in `bytes` without its padding. Control characters and bytes that are not
    /// ASCII become `?`, since a hypervisor can put anything there and a terminal would execute it.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = text.trim_ascii();
        let mut cleaned = Self::EMPTY;
        for (to, from) in cleaned.bytes.iter_mut().zip(text) {
            *to = if from.is_ascii_graphic() || *from == b' ' { *from } else { b'?' };
        }
        cleaned.len = u8::try_from(text.len().min(N)).unwrap_or(u8::MAX);
        cleaned
    }
}

impl<const N: usize> Text<N> {
    pub(crate) fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }
}

impl<const N: usize> core::ops::Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> core::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> core::fmt::Display for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn padding_goes_and_what_follows_a_nul_is_not_text() {
        assert_eq!(Text::<12>::new(b"KVMKVMKVM\0\0\0").as_str(), "KVMKVMKVM");
        assert_eq!(Text::<12>::new(b"bhyve bhyve ").as_str(), "bhyve bhyve");
        assert_eq!(Text::<48>::new(b"  AMD EPYC \0 junk").as_str(), "AMD EPYC");
        assert!(Text::<12>::new(b"\0\0\0").is_empty());
    }

    #[test]
    fn terminal_escapes_are_replaced() {
        assert_eq!(Text::<12>::new(b"\x1b[31mRED\x07\x9b!").as_str(), "?[31mRED??!");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        assert_eq!(Text::<4>::new(b"abcdef").as_str(), "abcd");
    }
}
