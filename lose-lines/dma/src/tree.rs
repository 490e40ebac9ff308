//! A device tree in which no device is coherent (Devicetree Specification 0.4, chapter 5, "Flattened Devicetree").

use anyhow::{Context as _, Result, ensure};

const MAGIC: u32 = 0xd00d_feed;
/// The header ends here; the places of the fields that are read or written.
const HEADER: usize = 40;
const TOTAL: usize = 4;
const STRUCTURE: usize = 8;
const STRINGS: usize = 12;
const RESERVATIONS: usize = 16;
const STRINGS_LEN: usize = 32;
const STRUCTURE_LEN: usize = 36;

/// The root: the token of a node, and an empty name.
const ROOT: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];
/// The token of a property, and no value.
const PROPERTY: [u8; 8] = [0, 0, 0, 3, 0, 0, 0, 0];
/// The name that makes a device coherent, and one of the same length that means nothing.
const COHERENT: &[u8] = b"dma-coherent\0";
const MEANINGLESS: &[u8] = b"was-coherent\0";
/// For devices and architectures that are coherent by default.
const NONCOHERENT: &[u8] = b"dma-noncoherent\0";

/// Room for what the emulator adds: the command line and the initial RAM disk.
const ROOM: usize = 64 << 10;

/// Returns the tree without coherent devices.
///
/// # Errors
/// If it is not a flattened device tree.
pub(super) fn without_coherence(tree: &[u8]) -> Result<Vec<u8>> {
    ensure!(field(tree, 0)? == MAGIC, "it is not a flattened device tree");
    let at = |place| -> Result<usize> { Ok(usize::try_from(field(tree, place)?)?) };
    let part = |start: usize, len: usize| {
        tree.get(start..).and_then(|part| part.get(..len)).context("the device tree ends early")
    };
    let reservations = at(STRUCTURE)?.checked_sub(at(RESERVATIONS)?);
    let reservations = reservations.context("its reservations do not precede its structure")?;
    let reservations = part(at(RESERVATIONS)?, reservations)?;
    let nodes = part(at(STRUCTURE)?, at(STRUCTURE_LEN)?)?.strip_prefix(&ROOT);
    let nodes = nodes.context("the device tree has no root")?;
    let mut strings = part(at(STRINGS)?, at(STRINGS_LEN)?)?.to_vec();
    let name = strings.windows(COHERENT.len()).position(|name| name == COHERENT);
    if let Some(name) = name {
        strings[name..name + COHERENT.len()].copy_from_slice(MEANINGLESS);
    }
    let name = u32::try_from(strings.len())?.to_be_bytes();
    strings.extend(NONCOHERENT);
    let structure = [&ROOT[..], &PROPERTY, &name, nodes].concat();
    let start = HEADER + reservations.len();
    let (end, total) = (start + structure.len(), start + structure.len() + strings.len() + ROOM);
    let mut new = part(0, HEADER)?.to_vec();
    for (place, value) in [
        (TOTAL, total),
        (STRUCTURE, start),
        (STRINGS, end),
        (RESERVATIONS, HEADER),
        (STRINGS_LEN, strings.len()),
        (STRUCTURE_LEN, structure.len()),
    ] {
        new[place..place + 4].copy_from_slice(&u32::try_from(value)?.to_be_bytes());
    }
    new.extend([reservations, &structure, &strings].concat());
    new.resize(total, 0);
    Ok(new)
}

fn field(tree: &[u8], at: usize) -> Result<u32> {
    let bytes = tree.get(at..).and_then(|bytes| bytes.first_chunk());
    Ok(u32::from_be_bytes(*bytes.context("the device tree ends early")?))
}

#[cfg(test)]
mod tests {
    use super::{HEADER, without_coherence};

    /// A tree of one node, whose only property has this name.
    fn tree(properties: &[u32], strings: &[u8]) -> Vec<u8> {
        let words =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
        let structure = words(&[&[1, 0], properties, &[2, 9]].concat());
        let (start, len) = (HEADER + 16, structure.len());
        let all = start + len + strings.len();
        let header = [0, all, start, start + len, HEADER, 17, 16, 0, strings.len(), len];
        let mut header = header.map(|field| u32::try_from(field).unwrap());
        header[0] = 0xd00d_feed;
        [words(&header), vec![0; 16], structure, strings.to_vec()].concat()
    }

    #[test]
    fn devices_are_not_coherent_any_more() {
        let new = without_coherence(&tree(&[3, 0, 0], b"dma-coherent\0reg\0")).unwrap();
        let expected = tree(&[3, 0, 17, 3, 0, 0], b"was-coherent\0reg\0dma-noncoherent\0");
        // The total size is the only other difference.
        assert_eq!((&new[..4], &new[8..expected.len()]), (&expected[..4], &expected[8..]));
    }

    #[test]
    fn other_files_are_refused() {
        for wrong in [&b""[..], &[0; 64], &tree(&[], b"")[..60]] {
            without_coherence(wrong).unwrap_err();
        }
    }
}
