//! Stamps of this process, kept in a store.

use crate::{Stamp, Verdict};
use cachemaint::dax::{DaxFile, DaxView};
use cachemaint::family::boot::{self, text_of};
use cachemaint::medium::{Backing, Medium};
use cachemaint_inspect::FileReport;
use cachemaint_store::{Error, Store};
use core::borrow::Borrow;

impl Stamp {
    /// Returns the stamp of this process and a file.
    ///
    /// # Cost
    /// Dozens of small files in `/proc` and `/sys`.
    #[must_use]
    pub fn of(file: &DaxView) -> Self {
        let report = FileReport::of(file).ok();
        let report = report.as_ref();
        Self {
            boot_id: boot::id(),
            process: std::process::id(),
            process_start: started(&text_of("/proc/self/stat")).unwrap_or(0),
            backing: report.map_or(Backing::Unknown, |report| report.backing),
            unsafe_shutdowns: report.and_then(|report| report.unsafe_shutdowns().ok()),
            is_by_kexec: is_by_kexec(&text_of("/proc/sys/kernel/bootloader_type")),
        }
    }
}

/// Puts the stamp of this process as a blob of a store, in place of any blob of this name.
///
/// # Errors
/// Those of a transaction.
///
/// # Cost
/// That of [`Stamp::of`], and a fence.
pub fn put<M: Medium + Borrow<DaxFile>>(
    store: &mut Store<M>,
    name: &str,
) -> Result<(), Error<M::Error>> {
    put_stamp(store, name, &present(store))
}

/// Returns the event since the stamp in a blob of a store, or `None` if there is no such blob. If the blob is something
/// else, the event is unknown.
///
/// # Errors
/// Those of [`Store::load`].
///
/// # Cost
/// That of [`Stamp::of`].
pub fn since<M: Medium + Borrow<DaxFile>>(
    store: &Store<M>,
    name: &str,
) -> Result<Option<Verdict>, Error<M::Error>> {
    Ok(last(store, name)?.map(|last| last.verdict(&present(store))))
}

/// Returns the event since the stamp in a blob of a store, as [`since`] does, and replaces it as [`put`] does.
///
/// # Errors
/// Those of [`since`] and [`put`].
///
/// # Cost
/// That of [`put`].
pub fn renew<M: Medium + Borrow<DaxFile>>(
    store: &mut Store<M>,
    name: &str,
) -> Result<Option<Verdict>, Error<M::Error>> {
    let (last, now) = (last(store, name)?, present(store));
    put_stamp(store, name, &now)?;
    Ok(last.map(|last| last.verdict(&now)))
}

fn present<M: Medium + Borrow<DaxFile>>(store: &Store<M>) -> Stamp {
    Stamp::of(store.medium().borrow().view())
}

fn last<M: Medium>(store: &Store<M>, name: &str) -> Result<Option<Stamp>, Error<M::Error>> {
    if store.stat(name).is_none() {
        return Ok(None);
    }
    Ok(Some(Stamp::read(&store.load(name)?).unwrap_or(Stamp::UNKNOWN)))
}

fn put_stamp<M: Medium>(
    store: &mut Store<M>,
    name: &str,
    stamp: &Stamp,
) -> Result<(), Error<M::Error>> {
    let mut transaction = store.begin()?;
    transaction.put(name, &stamp.bytes())?;
    transaction.commit()?;
    Ok(())
}

/// Returns true if another kernel started this one, on x86, where Linux reports it. The high bits hold the loader type;
/// 0xD is kexec, from kexec(8) or `kexec_file_load` (Linux `Documentation/arch/x86/boot.rst`, `type_of_loader`;
/// `arch/x86/kernel/kexec-bzimage64.c`).
fn is_by_kexec(loader: &str) -> Option<bool> {
    Some(loader.parse::<u64>().ok()? >> 4 == 0xd)
}

/// Returns the start of a process, in ticks since the boot (`proc_pid_stat(5)`, field 22). The second field, a name in
/// parentheses, can contain anything.
fn started(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{is_by_kexec, started};

    /// A line as in `proc_pid_stat(5)`, with a hostile name.
    #[test]
    fn the_start_is_found_behind_any_name() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        assert_eq!(started(line), Some(987_654));
        assert_eq!(started(""), None);
    }

    /// GRUB is 0x7x; 0xD1 is kexec, version 1 (`Documentation/arch/x86/boot.rst`).
    #[test]
    fn the_loader_of_the_kernel_is_told() {
        let loaders = ["114", "209", ""].map(is_by_kexec);
        assert_eq!(loaders, [Some(false), Some(true), None]);
    }
}
