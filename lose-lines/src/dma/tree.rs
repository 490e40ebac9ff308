//! A device tree in which no device is coherent (Devicetree Specification 0.4, chapter 5, "Flattened Devicetree").

use anyhow::{Context as _, Result, ensure};

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// The length of the header, and the places of the fields that are read or written.
const HEADER: usize = 40;
const TOTAL: usize = 4;
const STRUCTURE: usize = 8;
const STRINGS: usize = 12;
const RESERVATIONS: usize = 16;
const STRINGS_LEN: usize = 32;
const STRUCTURE_LEN: usize = 36;

/// Room for what the emulator adds: the command line and the initial RAM disk.
const ROOM: usize = 64 << 10;

/// Returns the tree without the properties `dma-coherent`, and how many there were.
///
/// # Errors
/// If it is not a flattened device tree.
pub(super) fn without_coherence(tree: &[u8]) -> Result<(Vec<u8>, usize)> {
    ensure!(field(tree, 0)? == MAGIC, "it is not a flattened device tree");
    let at = |place| -> Result<usize> { Ok(usize::try_from(field(tree, place)?)?) };
    let strings = tree
        .get(at(STRINGS)?..)
        .and_then(|strings| strings.get(..at(STRINGS_LEN).ok()?))
        .context("its strings end early")?;
    let reservations = tree.get(at(RESERVATIONS)?..at(STRUCTURE)?);
    let reservations = reservations.context("its reservations do not precede its structure")?;
    let (structure, dropped) = structure(tree, at(STRUCTURE)?, strings)?;
    let mut new = tree.get(..HEADER).context("it ends early")?.to_vec();
    let (first, second) = (HEADER, HEADER + reservations.len());
    let third = second + structure.len();
    let total = third + strings.len() + ROOM;
    for (place, value) in [
        (TOTAL, total),
        (STRUCTURE, second),
        (STRINGS, third),
        (RESERVATIONS, first),
        (STRUCTURE_LEN, structure.len()),
    ] {
        new[place..place + 4].copy_from_slice(&u32::try_from(value)?.to_be_bytes());
    }
    new.extend([reservations, &structure, strings].concat());
    new.resize(total, 0);
    Ok((new, dropped))
}

/// Returns the structure without those properties, and how many there were.
fn structure(tree: &[u8], start: usize, strings: &[u8]) -> Result<(Vec<u8>, usize)> {
    let (mut kept, mut dropped, mut at) = (Vec::new(), 0, start);
    loop {
        let token = field(tree, at)?;
        let len = match token {
            BEGIN_NODE => {
                let name = tree.get(at + 4..).context("it ends early")?;
                4 + name.iter().position(|byte| *byte == 0).context("a name has no end")? + 1
            }
            PROPERTY => 12 + usize::try_from(field(tree, at + 4)?)?,
            END_NODE | NOP | END => 4,
            _ => anyhow::bail!("token {token} at {at} is unknown"),
        };
        let next = at + len.next_multiple_of(4);
        let is_dropped = token == PROPERTY && {
            let name = strings.get(usize::try_from(field(tree, at + 8)?)?..);
            name.context("a property has no name")?.starts_with(b"dma-coherent\0")
        };
        if is_dropped {
            dropped += 1;
        } else {
            kept.extend(tree.get(at..next).context("it ends early")?);
        }
        if token == END {
            return Ok((kept, dropped));
        }
        at = next;
    }
}

fn field(tree: &[u8], at: usize) -> Result<u32> {
    let bytes = tree.get(at..).and_then(|bytes| bytes.first_chunk()).context("it ends early")?;
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{HEADER, without_coherence};

    /// One node `a` with the properties `dma-coherent` and `reg` of 5 bytes.
    fn tree(with_coherence: bool) -> Vec<u8> {
        let words =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
        let strings = b"dma-coherent\0reg\0";
        let mut structure = words(&[1]);
        structure.extend(b"a\0\0\0");
        if with_coherence {
            structure.extend(words(&[3, 0, 0]));
        }
        structure.extend(words(&[3, 5, 13]));
        structure.extend(b"12345\0\0\0");
        structure.extend(words(&[2, 9]));
        let (start, len) = (HEADER + 16, structure.len());
        let all = start + len + strings.len();
        let header = [0, all, start, start + len, HEADER, 17, 16, 0, strings.len(), len];
        let mut header = header.map(|field| u32::try_from(field).unwrap());
        header[0] = 0xd00d_feed;
        let mut tree = words(&header);
        tree.extend([0; 16]);
        tree.extend(structure);
        tree.extend(strings);
        tree
    }

    #[test]
    fn only_the_coherence_of_devices_is_dropped() {
        let (new, dropped) = without_coherence(&tree(true)).unwrap();
        assert_eq!(dropped, 1);
        // The total size is the only other difference.
        let expected = tree(false);
        assert_eq!(new[8..expected.len()], expected[8..]);
        assert_eq!(without_coherence(&new).unwrap(), (new, 0));
    }

    #[test]
    fn other_files_are_refused() {
        for wrong in [&b""[..], &[0; 64], &tree(true)[..60]] {
            without_coherence(wrong).unwrap_err();
        }
    }
}
