//! The use of a machine's disk, for devices that do not see the CPU's cache.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::thread;

use anyhow::{Context as _, Result, ensure};

const DISKS: [&str; 2] = ["/dev/vda", "/dev/nvme0n1"];
const LEN: usize = 1 << 20;
const PAGE: usize = 4096;

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
    let mut memory = vec![0; 2 * LEN + PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let (written, read) = memory[start..start + 2 * LEN].split_at_mut(LEN);
    for round in 1..4 {
        written.fill(round);
        direct.write_all_at(written, LEN as u64).context("cannot write")?;
        read.fill(0);
        direct.read_exact_at(read, LEN as u64).context("cannot read")?;
        ensure!(written == read, "round {round} read other bytes");
    }
    let cached = open(0).context("cannot open it")?;
    cached.read_exact_at(read, LEN as u64).context("cannot read")?;
    ensure!(written == read, "the page cache has other bytes");
    written.fill(0x40);
    cached.write_all_at(written, 0).context("cannot write")?;
    cached.sync_all().context("cannot sync")?;
    rustix::fs::sync();
    Ok(String::from("disk is right"))
}
