//! The source lines of code addresses.

use std::env;
use std::path::Path;

use addr2line::Loader;

/// Returns the source line of an address, and its function, which may have been inlined: the innermost one that is not
/// of Rust's own libraries, such as `write_volatile`.
pub fn source(names: &Loader, address: u64) -> Option<String> {
    let mut frames = names.find_frames(address).ok()?;
    let (mut first, mut own) = (None, None);
    while let (None, Ok(Some(frame))) = (&own, frames.next()) {
        let file = frame.location.as_ref().and_then(|location| location.file);
        let is_own = !file.is_some_and(is_of_rust);
        let place = if is_own { &mut own } else { &mut first };
        place.get_or_insert(frame);
    }
    let frame = own.or(first)?;
    let location = frame.location?;
    let (file, folder) = (Path::new(location.file?), env::current_dir().unwrap_or_default());
    let file = file.strip_prefix(folder).unwrap_or(file).display();
    let place = format!("{file}:{}", location.line?);
    let function = frame.function.and_then(|function| Some(function.demangle().ok()?.into_owned()));
    Some(function.map_or_else(|| place.clone(), |function| format!("{place} ({function})")))
}

/// Returns true for a source of Rust's own libraries: `/rustc/HASH/library/core/…`, or that of an installed toolchain.
fn is_of_rust(file: &str) -> bool {
    file.starts_with("/rustc/")
        || ["core", "std", "alloc"]
            .iter()
            .any(|library| file.contains(&format!("/rust/library/{library}/")))
}

#[cfg(test)]
mod tests {
    use super::is_of_rust;

    #[test]
    fn libraries_of_rust_are_told_from_a_program() {
        assert!(is_of_rust("/rustc/0123/library/core/src/ptr/mod.rs"));
        assert!(is_of_rust("/root/x/lib/rustlib/src/rust/library/core/src/ptr/mod.rs"));
        assert!(!is_of_rust("/home/a/library/core/main.rs"));
    }
}
