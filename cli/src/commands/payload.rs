//! The display of appended or recorded bytes, which can come from anywhere.

use super::text::all_are;
use serde::Serialize;

/// Returns bytes from anywhere as text in one line: characters that a terminal would execute, and invalid UTF-8, as
/// escapes.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    write_visible(&mut text, bytes);
    String::from_utf8_lossy(&text).into_owned()
}

/// Appends bytes from anywhere as [`visible`] returns them.
pub(crate) fn write_visible(out: &mut Vec<u8>, bytes: &[u8]) {
    if all_are(bytes, |byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        // Quotes are harmless here.
        for piece in chunk.valid().split_inclusive(['"', '\'']) {
            let text = piece.trim_end_matches(['"', '\'']);
            out.extend_from_slice(text.escape_debug().to_string().as_bytes());
            out.extend_from_slice(&piece.as_bytes()[text.len()..]);
        }
        for byte in chunk.invalid() {
            out.extend([b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
}

/// The payload in JSON: `text` if it is UTF-8 without NUL, which numbers in binary have, else `hex`.
#[derive(Serialize)]
pub(crate) struct Payload<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hex: Option<String>,
}

impl<'b> Payload<'b> {
    pub(crate) fn of(bytes: &'b [u8]) -> Self {
        let text = str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        Self { text, hex: text.is_none().then(|| hex(bytes)) }
    }
}

/// Returns bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    // A payload can be large: a string for each byte would take many times its memory.
    let mut digits = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.extend([digit(byte >> 4), digit(byte & 0xf)]);
    }
    String::from_utf8(digits).unwrap_or_default()
}

const fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[value as usize]
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

    /// `U+0301` combines with the character before it, where there is one.
    #[test]
    fn combining_characters_are_escaped_without_a_letter_before_them() {
        assert_eq!(visible("\u{301}e\u{301}".as_bytes()), "\\u{301}e\u{301}");
        assert_eq!(visible("\u{e4}\u{301}\u{301}".as_bytes()), "\u{e4}\u{301}\u{301}");
        assert_eq!(visible("\"\u{301}'\u{301}".as_bytes()), "\"\\u{301}'\\u{301}");
        assert_eq!(visible(b"e\xff\xcc\x81"), "e\\xff\\u{301}");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_escaped_one_by_one() {
        // Two of three bytes, a surrogate, an overlong form, a byte of no form, and one of four bytes.
        let bytes = b"a\xe2\x82b\xed\xa0\x80\xc0\x80\xf5\xf0";
        assert_eq!(visible(bytes), "a\\xe2\\x82b\\xed\\xa0\\x80\\xc0\\x80\\xf5\\xf0");
        assert_eq!(visible(b"\x01\x10\x1f\x7f\0"), "\\u{1}\\u{10}\\u{1f}\\u{7f}\\0");
        assert_eq!(hex(b"\x00\x0f\xa0\xff"), "000fa0ff");
    }
}
