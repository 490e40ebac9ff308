//! The use of a machine's disk, for devices that do not see the CPU's cache.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

const DISKS: [&str; 2] = ["/dev/vda", "/dev/nvme0n1"];
const LEN: usize = 1 << 20;
const PAGE: usize = 4096;
/// The rounds of one thread; each writes its number.
const ROUNDS: u8 = 3;

/// Writes to the disk and reads again, past the page cache and through it.
pub(crate) fn check() -> Result<String> {
    let disk = (0..100).find_map(|_attempt| {
        let found = DISKS.iter().find(|disk| File::open(disk).is_ok());
        if found.is_none() {
            thread::sleep(Duration::from_millis(100));
        }
        found
    });
    let disk = disk.context("there is none")?;
    let open = |flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(disk);
    let direct = open(libc::O_DIRECT).context("cannot open it")?;
    check_part(&direct, LEN as u64, LEN, ROUNDS)?;
    check_in_parallel(&direct)?;
    let cached = open(0).context("cannot open it")?;
    let mut read = vec![0; LEN];
    cached.read_exact_at(&mut read, LEN as u64).context("cannot read")?;
    ensure!(read.iter().all(|byte| *byte == ROUNDS), "the page cache has other bytes");
    cached.write_all_at(&vec![0x40; LEN], 0).context("cannot write")?;
    cached.sync_all().context("cannot sync")?;
    rustix::fs::sync();
    Ok(String::from("disk is right"))
}

/// Writes and reads by several threads, so that the device returns some requests while others are made.
fn check_in_parallel(disk: &File) -> Result<()> {
    thread::scope(|scope| {
        let part = |number| (2 * LEN + number * PAGE) as u64;
        let check = |number| scope.spawn(move || check_part(disk, part(number), PAGE, 100));
        let threads: Vec<_> = (0..12).map(check).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(checked) => checked,
            Err(_) => bail!("a thread failed"),
        })
    })
}

/// Writes this many times to a part of the disk, and reads it again.
fn check_part(disk: &File, at: u64, len: usize, rounds: u8) -> Result<()> {
    let mut memory = vec![0; 2 * len + PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let (written, read) = memory[start..start + 2 * len].split_at_mut(len);
    for round in 1..=rounds {
        written.fill(round);
        disk.write_all_at(written, at).context("cannot write")?;
        read.fill(0);
        disk.read_exact_at(read, at).context("cannot read")?;
        ensure!(written == read, "round {round} read other bytes");
    }
    Ok(())
}
