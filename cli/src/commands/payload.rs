//! The display of appended or recorded bytes, which can come from anywhere.

use serde::Serialize;

/// Returns bytes from anywhere as text in one line: characters that a terminal would execute, and invalid UTF-8, as
/// escapes.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // Quotes are harmless here.
        for part in chunk.valid().split_inclusive(['"', '\'']) {
            let escaped = part.trim_end_matches(['"', '\'']);
            text.extend(escaped.escape_debug());
            text.push_str(&part[escaped.len()..]);
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// The payload in JSON: `text` if it is UTF-8, else `hex`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payload<'b> {
    Text(&'b str),
    Hex(String),
}

impl<'b> Payload<'b> {
    pub(crate) fn of(bytes: &'b [u8]) -> Self {
        core::str::from_utf8(bytes).map_or_else(|_| Self::Hex(hex(bytes)), Self::Text)
    }
}

/// Returns bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
    // A payload can be large: a string for each byte would take many times its memory.
    let mut digits = String::with_capacity(2 * bytes.len());
    digits.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]));
    digits
}

#[cfg(test)]
mod tests {
    use super::{hex, visible};

    #[test]
    fn payloads_are_shown_unambiguously_in_one_line() {
        assert_eq!(visible(b"it's \"plain\" text"), "it's \"plain\" text");
        assert_eq!(
            visible("gr\u{fc}n, \u{65e5}\u{672c}".as_bytes()),
            "gr\u{fc}n, \u{65e5}\u{672c}"
        );
        assert_eq!(visible(b"\x1b[2Ja\r\nb\tc\0"), "\\u{1b}[2Ja\\r\\nb\\tc\\0");
        // The C1 control CSI, and the override of the direction of text.
        assert_eq!(visible("\u{9b}\u{202e}".as_bytes()), "\\u{9b}\\u{202e}");
        assert_eq!(visible(b"\xff\\x"), "\\xff\\\\x");
        assert_eq!(visible(b"\\\""), "\\\\\"");
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(b"\x00\x0f\xa0\xff"), "000fa0ff");
    }
}
