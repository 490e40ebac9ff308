//! Errors of this module as those of [`std::io`].

use super::EnvError;
use crate::arch::Unsupported;
use std::io;

/// Keeps the error inside, with its message. The kind is [`io::ErrorKind::Unsupported`].
impl From<Unsupported> for io::Error {
    fn from(error: Unsupported) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

/// Keeps the error inside, with its message. The kind is [`io::ErrorKind::InvalidInput`].
impl From<EnvError> for io::Error {
    fn from(error: EnvError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use crate::arch::{Missing, Unsupported};
    use alloc::string::ToString;
    use std::io;

    #[test]
    fn an_unsupported_operation_passes_through_io_errors_with_its_message() {
        let unsupported =
            Unsupported::new(Missing::Point, "nothing reaches it", "take a nearer one");
        let error = io::Error::from(unsupported);
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "nothing reaches it; take a nearer one");
        assert!(error.get_ref().unwrap().is::<Unsupported>());
    }
}
