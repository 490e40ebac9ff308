//! The message of a panic, without allocations.

use alloc::string::String;
use core::fmt::{self, Write as _};
use std::panic::PanicHookInfo;

/// The longest message in bytes. It is on the stack of the panicking thread.
const MOST: usize = 512;

/// A text that is truncated if it is too long.
pub(super) struct Message {
    bytes: [u8; MOST],
    len: usize,
    most: usize,
}

impl Message {
    /// Returns the place and the text of a panic, truncated to `most` bytes.
    pub(super) fn of(info: &PanicHookInfo<'_>, most: usize) -> Self {
        let mut message = Self { bytes: [0; MOST], len: 0, most: most.min(MOST) };
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic without a message");
        let written = match info.location() {
            Some(location) => write!(message, "{location}: {text}"),
            None => message.write_str(text),
        };
        debug_assert!(written.is_ok(), "truncating a text is not an error");
        message
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let mut end = s.len().min(self.most - self.len);
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.len..self.len + end].copy_from_slice(&s.as_bytes()[..end]);
        self.len += end;
        if end < s.len() {
            // The rest is dropped, too.
            self.most = self.len;
        }
        Ok(())
    }
}
