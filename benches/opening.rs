//! Opening an ordinary file in the working directory and reading it once in order, compared with memmap2: with the file
//! in the page cache, and without.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals. They depend on
//! the drive and the file system of the working directory.

use cachemaint::dax::Options;
use cachemaint_benches::contenders::{Case, Contender, here, run_cases};
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::{Outcome, is_small};
use core::error::Error;
use memmap2::Mmap;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

fn main() -> ExitCode {
    run_cases(Bench::new(), ("open a file and read it in order", &here()), Blocks::at_least(31), {
        |bench: &Bench, then: &mut dyn FnMut(Case<'_>) -> Outcome| {
            then(bench.case("in the page cache", true, 1.05))?;
            then(bench.case("not in the page cache", false, 1.2))
        }
    })
}

struct Bench {
    clock: Clock,
    path: PathBuf,
    len: usize,
    /// Removed with this value.
    _folder: TempDir,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(".")?;
        let (path, len) = (folder.path().join("file"), if is_small() { 16 << 20 } else { 1 << 30 });
        let mut file = File::create(&path)?;
        for number in (1..=u8::MAX).cycle().take(len / PIECE) {
            file.write_all(&vec![number; PIECE])?;
        }
        file.sync_all()?;
        Ok(Self { clock: Clock::new(), path, len, _folder: folder })
    }

    fn case(&self, name: &str, is_cached: bool, goal: f64) -> Case<'_> {
        let contender = |name: &str, goal, read: fn(&Path, &mut [u8]) -> Outcome| {
            let block_ns = move || {
                if !is_cached {
                    self.drop_cache();
                }
                let mut piece = vec![0; PIECE];
                self.clock.time(|| {
                    let read = read(&self.path, &mut piece);
                    assert!(read.is_ok(), "{read:?}");
                })
            };
            Contender { name: name.to_owned(), goal, block_ns: Box::new(block_ns) }
        };
        let contenders = vec![
            contender("cachemaint", None, by_cachemaint),
            contender("memmap2", Some(goal), by_memmap2),
        ];
        let name = format!("{} MiB, {name}", self.len >> 20);
        Case { name, operations: 1, contenders }
    }

    fn drop_cache(&self) {
        let dropped = File::open(&self.path).map(|file| fadvise(file, 0, None, Advice::DontNeed));
        assert!(matches!(dropped, Ok(Ok(()))), "{dropped:?}");
    }
}

fn by_cachemaint(path: &Path, piece: &mut [u8]) -> Outcome {
    let file = Options::new().allow_page_granularity().open(path)?;
    for at in (0..file.len()).step_by(piece.len()) {
        file.read(at, piece)?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a mapping of memmap2")]
fn by_memmap2(path: &Path, piece: &mut [u8]) -> Outcome {
    // SAFETY: no other program has the file.
    let map = unsafe { Mmap::map(&File::open(path)?) }?;
    for bytes in map.chunks(piece.len()) {
        piece.copy_from_slice(bytes);
    }
    Ok(())
}
