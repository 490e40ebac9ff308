//! The list of bad blocks that the kernel keeps of a device, read from its attribute.

use crate::system::badblocks::{Listed, parse_shown};
use crate::system::tree::{Attribute, Tree, Unknown};
use std::path::Path;

/// Reads the list at an absolute path; `page` is the size of a page, in bytes.
pub(crate) fn read(tree: &Tree, path: &Path, page: usize) -> Result<Listed, Unknown> {
    let asked = path.to_string_lossy();
    let bytes = tree.read_bytes(path).map_err(|attribute| {
        let advice = match attribute {
            Attribute::Unreadable(_) => "ask as root, or as a user who may read it",
            _ => "ask where the kernel keeps such a list: it is for persistent memory",
        };
        Unknown::new(&asked, &attribute.describe(), advice)
    })?;
    let text = str::from_utf8(&bytes).ok();
    text.and_then(|text| parse_shown(text, page)).ok_or_else(|| {
        let shown = alloc::string::String::from_utf8_lossy(&bytes);
        let some: alloc::string::String = shown.chars().take(80).collect();
        Unknown::new(
            &asked,
            &alloc::format!("no list of bad blocks: {some}"),
            "report it, with the kernel's version",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::system::fixture::Fixture;
    use std::path::Path;

    const PAGE: usize = 4096;

    #[test]
    fn absent_unreadable_and_garbage_have_distinct_errors() {
        let host = Fixture::new()
            .file("sys/none", "")
            .file("sys/garbage", "\u{1b}[2J bad")
            .file("sys/directory/entry", "");
        let path = |name: &str| Path::new("/sys").join(name);
        let refused = |name: &str| read(&host.tree(), &path(name), PAGE).unwrap_err().reason;
        assert_eq!(refused("missing"), "/sys/missing: absent");
        assert!(refused("directory").starts_with("/sys/directory: unreadable: "));
        assert_eq!(refused("garbage"), "/sys/garbage: no list of bad blocks: ?[2J bad");
        let listed = read(&host.tree(), &path("none"), PAGE).unwrap();
        assert_eq!((listed.ranges.len(), listed.may_be_cut), (0, false));
    }
}
