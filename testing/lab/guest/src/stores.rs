//! A store of numbered blobs, which are replaced until an event ends the process, and then read.

use anyhow::{Context as _, Result, ensure};
use cachemaint::dax::{self, DaxFile};
use cachemaint_lab_protocol::store::{Found, REGISTERS, STATE};
use cachemaint_store::{Attributes, Blob, Damage, Opened, Store, Transaction};
use lose_lines_agent::Reply;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// The size of the file in bytes.
const LEN: u64 = 4 << 20;

/// The number of bytes read in one call: those of one checksum, so that no byte is read twice.
const READ: usize = 65_536;

/// The name of the stamp of the last machine.
const STARTED: &str = "started";

/// The bytes of a blob. None of them is zero.
struct Content {
    len: usize,
    /// All bytes, or one period and as much of the next one as a piece may need.
    bytes: Vec<u8>,
}

impl Content {
    /// The period of the bytes: a prime, so that no two pieces are alike.
    const PERIOD: usize = 1_000_003;

    /// Returns the content for a number.
    fn of(name: &str, number: u64) -> Self {
        let varying = usize::try_from(number % 1000).unwrap_or_default();
        let len = match name {
            STATE => 150_000 + varying,
            _ => 100 + varying,
        };
        let mix =
            |word: u64, byte: u8| (word ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut word = name.bytes().fold(mix(number + 1, 0), mix);
        let period = len.min(Self::PERIOD);
        let mut bytes = Vec::new();
        while bytes.len() < period {
            // Marsaglia, "Xorshift RNGs" (2003).
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            bytes.extend((word | 0x0101_0101_0101_0101).to_le_bytes());
        }
        bytes.truncate(period);
        if period < len {
            bytes.extend_from_within(..READ);
        }
        Self { len, bytes }
    }

    /// Returns pieces of this many bytes, each with its offset.
    fn pieces(&self, of: usize) -> impl Iterator<Item = (u64, &[u8])> {
        (0..self.len).step_by(of).map(move |at| {
            let start = at % Self::PERIOD;
            (at as u64, &self.bytes[start..start + of.min(self.len - at)])
        })
    }

    /// Returns the whole content.
    fn whole(&self) -> Vec<u8> {
        self.pieces(READ).flat_map(|(_, piece)| piece).copied().collect()
    }
}

fn put(transaction: &mut Transaction<'_, DaxFile>, name: &str, number: u64) -> Result<()> {
    let content = Content::of(name, number).whole();
    Ok(transaction.put(Attributes::new(name).version(number), &content)?)
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().with_context(|| format!("cannot look for {}", path.display()))
}

fn create(path: &Path) -> Result<Store<DaxFile>> {
    Ok(Store::create_new(dax::Options::new().create_new(path, LEN)?)?.0)
}

fn open(path: &Path) -> Result<(Store<DaxFile>, Opened)> {
    // On a CPU, a write-back of an unmapped page is a page fault. In an emulator it does nothing.
    let file = dax::Options::new().populate().open(path)?;
    Ok(cachemaint_store::Options::new().verify().open(file)?)
}

/// Creates a store, or opens the existing one, and replaces two blobs together, with increasing numbers, until the
/// machine ends. Reports each committed number.
pub(crate) fn replace_forever(
    path: &Path,
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<Reply> {
    let mut store = if exists(path)? { open(path)?.0 } else { create(path)? };
    cachemaint_boots::put(&mut store, STARTED)?;
    let last = store.stat(REGISTERS).map_or(0, |info| info.version);
    for number in last + 1.. {
        let mut transaction = store.begin()?;
        put(&mut transaction, STATE, number)?;
        put(&mut transaction, REGISTERS, number)?;
        transaction.commit()?;
        tell(number)?;
    }
    Ok(Reply::Done)
}

/// Opens a store. Prints the findings of the opening and all blobs. Each blob must have the bytes of its number.
pub(crate) fn read(path: &Path) -> Result<ExitCode> {
    let (store, opened) = open(path)?;
    let mut blobs = BTreeMap::new();
    for info in store.list().filter(|info| *info.name != *STARTED) {
        let name = &*info.name;
        let blob = store.blob(name)?;
        compare(&blob).with_context(|| format!("{name} of number {}", info.version))?;
        blobs.insert(name.to_owned(), info.version);
    }
    let verdict = cachemaint_boots::since(&store, STARTED)?;
    let verification = opened.verification.as_ref();
    let found = Found {
        origin: verdict.map_or_else(String::new, |verdict| verdict.origin.to_string()),
        damaged: verification.map(|verification| told(&verification.damaged)),
        blobs,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&found)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks that a blob has all bytes of its number.
fn compare(blob: &Blob<Arc<DaxFile>>) -> Result<()> {
    let info = blob.info();
    let content = Content::of(&info.name, info.version);
    ensure!(
        blob.info().len == content.len as u64,
        "{} bytes, not {}",
        blob.info().len,
        content.len
    );
    let mut buffer = vec![0; READ];
    for (at, expected) in content.pieces(READ) {
        let found = &mut buffer[..expected.len()];
        blob.read_at(at, found)?;
        ensure!(found == expected, "other bytes from {at} on");
    }
    Ok(())
}

fn told(damaged: &[(Box<str>, Damage)]) -> Vec<String> {
    damaged.iter().map(|(name, damage)| format!("{name}: {damage}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Content, READ, REGISTERS, STATE};

    #[test]
    fn contents_differ_by_name_and_number_and_from_free_space() {
        let [ours, other, next] = [(STATE, 1), (REGISTERS, 1), (STATE, 2)]
            .map(|(name, number)| Content::of(name, number));
        assert!(!ours.whole().contains(&0));
        let (first, second) = (&ours.bytes[..100], &ours.bytes[READ..READ + 100]);
        for another in [second, &other.bytes[..100], &next.bytes[..100]] {
            assert_ne!(first, another);
        }
        assert_eq!((ours.whole().len(), next.whole().len()), (150_001, 150_002));
    }
}
