//! The elements of a drawing, and their colours.

use alloc::string::String;
use core::fmt::{self, Write as _};

pub(super) const GREEN: &str = "#1a7f37";
pub(super) const AMBER: &str = "#d4a72c";
pub(super) const LIGHT_AMBER: &str = "#fff1c2";
pub(super) const RED: &str = "#cf222e";
pub(super) const BLUE: &str = "#0969da";
pub(super) const PURPLE: &str = "#8250df";
pub(super) const GREY: &str = "#57606a";
pub(super) const PALE: &str = "#eaeef2";
pub(super) const INK: &str = "#1f2328";

/// The colour of the page, and of a mark that is hollow.
pub(super) const PAGE: &str = "#ffffff";

/// The colours on a dark page. A rule for an attribute takes precedence over the attribute, so that a viewer without
/// style sheets draws the light page.
pub(super) const DARK: &str = r"<style>@media(prefers-color-scheme:dark){
svg[fill='#1f2328']{fill:#e6edf3}[stroke='#1f2328']{stroke:#e6edf3}
[fill='#ffffff']{fill:#0d1117}[fill='#eaeef2']{fill:#262c36}
[fill='#1a7f37']{fill:#3fb950}[stroke='#1a7f37']{stroke:#3fb950}
[fill='#cf222e']{fill:#f85149}[stroke='#cf222e']{stroke:#f85149}
[fill='#fff1c2']{fill:#6e5312}[stroke='#d4a72c']{stroke:#e3b341}
[fill='#0969da']{fill:#58a6ff}[stroke='#0969da']{stroke:#58a6ff}
[fill='#57606a']{fill:#9198a1}[stroke='#57606a']{stroke:#9198a1}[fill='#8250df']{fill:#bc8cff}
}</style>";

pub(super) fn rectangle(
    out: &mut String,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    fill: &str,
) -> fmt::Result {
    writeln!(out, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>"#)
}

pub(super) fn label(out: &mut String, (x, y): (usize, usize), text: &str) -> fmt::Result {
    writeln!(out, r#"<text x="{x}" y="{y}">{}</text>"#, escaped(text))
}

pub(super) fn centred(
    out: &mut String,
    (x, y): (usize, usize),
    number: impl fmt::Display,
) -> fmt::Result {
    writeln!(out, r#"<text x="{x}" y="{y}" text-anchor="middle" font-size="10">{number}</text>"#)
}

pub(super) fn diamond(out: &mut String, (x, y): (usize, usize)) -> fmt::Result {
    writeln!(out, r#"<path d="M{x} {}l7 7l-7 7l-7 -7z" fill="{PURPLE}"/>"#, y - 7)
}

/// Writes a write-back.
pub(super) fn arrow(
    out: &mut String,
    (x, y): (usize, usize),
    height: usize,
    is_complete: bool,
) -> fmt::Result {
    let end = y + height - 7;
    let dashes = if is_complete { "" } else { r#" stroke-dasharray="3 3""# };
    writeln!(out, r#"<path d="M{x} {y}V{end}" stroke="{BLUE}" stroke-width="2"{dashes}/>"#)?;
    let fill = if is_complete { BLUE } else { PAGE };
    writeln!(out, r#"<path d="M{x} {}l-5 -8h10z" fill="{fill}" stroke="{BLUE}"/>"#, end + 7)
}

/// Returns text that may stand in XML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
