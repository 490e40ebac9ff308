//! The fields of an event. A text declares them, and the payload holds their values.

/// The longest text. An event takes at least 24 bytes of a file, so all the names that a reader prints take at most 22
/// times the size of the file.
const LONGEST: usize = 512;

/// The fields of an event, in the order of the payload.
///
/// The iterator ends early if the payload is too short for the next field, or if its type is unknown to this version;
/// [`unread`](Self::unread) then returns that field. [`rest`](Self::rest) returns the unread bytes.
#[derive(Clone, Debug)]
pub struct Fields<'e> {
    /// The remaining declarations.
    declared: &'e str,
    payload: &'e [u8],
    unread: Option<&'e str>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'e> {
    /// A field of the type `u8`, `u16`, `u32` or `u64`.
    Unsigned(u64),
    /// A field of the type `i8`, `i16`, `i32` or `i64`.
    Signed(i64),
    /// A field of the type `f32`.
    Single(f32),
    /// A field of the type `f64`.
    Double(f64),
    /// A field of the type `str`: the recorded bytes, which may be invalid UTF-8.
    Text(&'e [u8]),
}

impl<'e> Fields<'e> {
    pub(super) const fn new(declared: &'e str, payload: &'e [u8]) -> Self {
        Self { declared, payload, unread: None }
    }

    /// Returns the bytes of the payload after the fields returned so far.
    #[must_use]
    pub const fn rest(&self) -> &'e [u8] {
        self.payload
    }

    /// Returns the declaration of the field that ended the iterator early, such as `id=u32`. The payload then does not
    /// belong to this event, or a newer version recorded it.
    #[must_use]
    pub const fn unread(&self) -> Option<&'e str> {
        self.unread
    }
}

impl<'e> Iterator for Fields<'e> {
    type Item = (&'e str, Value<'e>);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, declared) = self.declared.split_once(' ').unwrap_or((self.declared, ""));
        let read = field.split_once('=').and_then(|(name, kind)| {
            let (value, payload) = value(kind, self.payload)?;
            Some((name, value, payload))
        });
        let Some((name, value, payload)) = read else {
            // The places of later fields are unknown.
            if !field.is_empty() {
                (self.declared, self.unread) = ("", Some(field));
            }
            return None;
        };
        (self.declared, self.payload) = (declared, payload);
        Some((name, value))
    }
}

/// Reads a value of a type from the beginning of a payload. Also returns the bytes after it.
fn value<'e>(kind: &str, payload: &'e [u8]) -> Option<(Value<'e>, &'e [u8])> {
    use Value::{Double, Signed, Single, Text, Unsigned};
    match kind.as_bytes() {
        b"u8" => number(payload, |bytes| Unsigned(u8::from_le_bytes(bytes).into())),
        b"u16" => number(payload, |bytes| Unsigned(u16::from_le_bytes(bytes).into())),
        b"u32" => number(payload, |bytes| Unsigned(u32::from_le_bytes(bytes).into())),
        b"u64" => number(payload, |bytes| Unsigned(u64::from_le_bytes(bytes))),
        b"i8" => number(payload, |bytes| Signed(i8::from_le_bytes(bytes).into())),
        b"i16" => number(payload, |bytes| Signed(i16::from_le_bytes(bytes).into())),
        b"i32" => number(payload, |bytes| Signed(i32::from_le_bytes(bytes).into())),
        b"i64" => number(payload, |bytes| Signed(i64::from_le_bytes(bytes))),
        b"f32" => number(payload, |bytes| Single(f32::from_le_bytes(bytes))),
        b"f64" => number(payload, |bytes| Double(f64::from_le_bytes(bytes))),
        b"str" => Some((Text(payload), &[])),
        _ => None,
    }
}

fn number<const N: usize>(
    payload: &[u8],
    value: impl FnOnce([u8; N]) -> Value<'static>,
) -> Option<(Value<'_>, &[u8])> {
    let (bytes, rest) = payload.split_first_chunk()?;
    Some((value(*bytes), rest))
}

/// Returns the name and the declarations in a text.
pub(super) fn parts(text: &str) -> (&str, &str) {
    // A name contains no space.
    let split =
        text.split_once(' ').and_then(|(name, fields)| Some((name.strip_suffix(':')?, fields)));
    split.unwrap_or((text, ""))
}

/// Returns the fault in a text that a program provides.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    fault_by(text, |kind| value(kind, &[0; 8]).is_some())
}

/// Returns the fault in a text from a file. Its types may be unknown.
pub(super) fn fault_but_for_types(text: &str) -> Option<&'static str> {
    fault_by(text, is_name)
}

fn fault_by(text: &str, is_type: impl Fn(&str) -> bool) -> Option<&'static str> {
    if text.len() > LONGEST {
        return Some("its text is longer than 512 bytes; shorten its names");
    }
    let (name, declared) = parts(text);
    if !is_name(name) || name.ends_with(':') {
        return Some("its name must be printable ASCII characters other than space and `=`");
    }
    if declared.is_empty() {
        return (name != text).then_some("no fields follow the colon");
    }
    let mut is_last = false;
    for (place, field) in declared.split(' ').enumerate() {
        let Some((name, kind)) = field.split_once('=').filter(|(name, _)| is_name(name)) else {
            return Some("fields must be NAME=TYPE, separated by one space");
        };
        if !is_type(kind) {
            return Some(
                "a type is not one of u8, u16, u32, u64, i8, i16, i32, i64, f32, f64, str",
            );
        }
        if is_last {
            return Some(
                "a field follows one of the type str, which takes the rest of the payload",
            );
        }
        let before = declared.split(' ').take(place);
        if before.filter_map(|field| field.split_once('=')).any(|(other, _)| other == name) {
            return Some("two fields have the same name");
        }
        is_last = kind == "str";
    }
    None
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=')
}
