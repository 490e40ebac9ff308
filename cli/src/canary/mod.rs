//! A canary: a small file that shows, after a reboot, whether that reboot kept it.
//!
//! [`plant`] writes it into a directory, and [`find`] looks for it there later. One part of it is
//! persisted, as the medium allows; another is only stored, and left dirty in the caches (or in the
//! page cache, where the file system has no DAX).
//!
//! # Conclusions
//! A canary is about one past event. It does not promise anything about the next one: firmware that kept RAM once can
//! train, test or clear it another time.
//!
//! - The persisted part is there, in another boot: every event since then kept it. The canary does not show the number
//!   of starts since then, or whether the machine lost its power.
//! - The part that was only stored has zeros, as before, and the other is there: it was dirty, and was dropped. A
//!   write-back is needed to survive such a reboot.
//! - The part that was only stored has other bytes, or cannot be read: the memory did not keep it. That shows nothing
//!   about dirty lines.
//! - The part that was only stored is there too: that shows nothing about dirty lines. A cache writes lines back when
//!   it needs space. Linux writes dirty pages of files back, of DAX files too (`fs/dax.c`,
//!   `dax_writeback_mapping_range`), after some 30 s (`vm.dirty_expire_centisecs`), at a sync and at an unmount. To
//!   learn something of it, reset within seconds.
//! - A copy of a canary shows the same as the original: it does not know that it was copied.
//!
//! Only x86 gives a hint of the kind of reboot: the loader of the kernel that runs now ([`StartedBy`]).

mod format;
mod verdict;

use crate::files::{discard, is_same};
use anyhow::{Context as _, ensure};
use cachemaint::dax::{Guarantee, Options};
use cachemaint::medium::{Granularity, Medium};
use core::hash::{BuildHasher as _, Hasher as _};
use format::{Damage, HEADER, Header, Instead, LEN, PERSISTED, STORED, add, compare, pattern};
use std::fs::{self, File};
use std::hash::RandomState;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use verdict::{Canary, StartedBy};

/// The file's name in the directory.
pub(crate) const NAME: &str = "cachemaint-canary";

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Writes a canary into a directory. A canary that could not be written is removed.
pub(crate) fn plant(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    ensure!(
        cfg!(target_os = "linux"),
        "{shown}: a canary needs Linux, which identifies its boots; write a file of your own, and compare it after the \
         reboot"
    );
    let there = fs::metadata(directory)
        .with_context(|| format!("{shown}: name a directory that exists"))?;
    ensure!(
        there.is_dir(),
        "{shown}: is not a directory; name the directory to plant the canary in"
    );
    let path = directory.join(NAME);
    ensure!(
        fs::symlink_metadata(&path).is_err(),
        "{}: exists already; read it by `cachemaint inspect {shown}`, or remove it to plant \
         another",
        path.display()
    );
    // Reads boot and release before anything is made: a canary without them could never show anything.
    let boot = boot()?;
    let kernel = read(RELEASE)?;
    let file = Options::new().allow_page_granularity().create_new(&path, LEN)?;
    let header = header(file.guarantee(), boot, kernel);
    // Without a header the remaining file is not a canary.
    lay(&file, &header).inspect_err(|_| discard(&path, file))?;
    Ok(())
}

/// Reads the boot id of the kernel.
fn boot() -> anyhow::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    ensure!(
        !is_covered(&mounts),
        "{BOOT} is an id of this container, which changes without a reboot; plant the canary outside of the container"
    );
    read(BOOT)
}

/// Returns true if another file is mounted over the boot id, by the list of mounts (`proc_pid_mountinfo(5)`, field 5).
/// systemd-nspawn (`setup_boot_id`) and LXC (`lxc_setup_boot_id`) mount a new id each time that a container starts.
fn is_covered(mounts: &str) -> bool {
    mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(BOOT))
}

fn read(path: &str) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {path}: mount /proc"))?;
    Ok(text.trim().to_owned())
}

fn header(guarantee: &Guarantee, boot: String, kernel: String) -> Header {
    // A clock before 1970 is not set: the boot is better evidence than the clock.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Header {
        number: number(),
        how: match guarantee.granularity {
            Granularity::Byte => verdict::BY_FENCE,
            Granularity::Line(_) => verdict::BY_LINES,
            Granularity::Page(_) => verdict::BY_PAGES,
        },
        seconds: since_1970.as_secs(),
        boot,
        kernel,
        backing: verdict::name_of(guarantee.backing),
        device: guarantee.device.clone(),
        file_system: guarantee.file_system.clone(),
    }
}

/// Returns any number but 0: the words of its pattern are then never all zero.
fn number() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    let number = RandomState::new().build_hasher().finish() as u32;
    number.max(1)
}

/// Writes the parts. The header comes last: without it there is no canary.
fn lay<M: Medium>(medium: &M, header: &Header) -> Result<(), M::Error> {
    let persisted = pattern(header.number, PERSISTED);
    medium.persist_copy(&[(PERSISTED.start, &persisted)])?;
    medium.write(STORED.start, &pattern(header.number, STORED));
    medium.persist_copy(&[(0, &header.encode())])
}

/// Looks for a canary in a directory. The file is opened for reading only.
pub(crate) fn find(directory: &Path) -> Canary {
    let path = directory.join(NAME);
    match look(&path) {
        Ok(None) => Canary::not_there(&path),
        Ok(Some(found)) => {
            // Without it the kind of boot stays unknown, and the canary reports that.
            let boot = boot().ok();
            Canary::found(&path, found, boot.as_deref(), StartedBy::running_kernel())
        }
        Err(why) => Canary::unreadable(&path, format!("{why:#}")),
    }
}

/// The contents of a canary that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    header: Header,
    persisted: Vec<Damage>,
    stored: Vec<Damage>,
}

fn look(path: &PathBuf) -> anyhow::Result<Option<Found>> {
    let named = match fs::symlink_metadata(path) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("cannot be examined"),
    };
    // Only a regular file is opened: the opening of some devices has effects.
    ensure!(
        !named.is_symlink(),
        "is a symbolic link, which is not followed; remove it to plant a canary"
    );
    ensure!(named.is_file(), "is not a regular file; remove it to plant a canary");
    let file = File::open(path).context("cannot be opened; run this as the user who planted it")?;
    let opened = file.metadata().context("fstat")?;
    // On systems that cannot compare files, the contents prove themselves by their checksum all the same.
    ensure!(is_same(&opened, &named), "was replaced while it was opened; try again");
    ensure!(
        opened.len() == LEN,
        "has {} bytes, and a canary has {LEN}: it was cut, or is another file; remove it to plant another",
        opened.len()
    );
    examine(|at, into| {
        let mut file = &file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(into)
    })
    .map(Some)
}

/// Reads a canary through `read`, which fills a buffer from an offset on.
fn examine(read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> anyhow::Result<Found> {
    let mut bytes = [0; HEADER];
    read(0, &mut bytes).context("its header cannot be read")?;
    let header = Header::decode(&bytes)?;
    let part = |range: core::ops::Range<u64>| {
        let mut damaged = Vec::new();
        for at in range.step_by(HEADER) {
            let mut bytes = [0; HEADER];
            match read(at, &mut bytes) {
                Ok(()) => compare(header.number, at, &bytes, &mut damaged),
                Err(error) => {
                    let end = at + HEADER as u64;
                    let instead = Instead::Unreadable(error.to_string());
                    add(Damage { start: at, end, instead }, &mut damaged);
                }
            }
        }
        damaged
    };
    Ok(Found { persisted: part(PERSISTED), stored: part(STORED), header })
}

#[cfg(test)]
mod tests;
