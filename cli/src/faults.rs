//! Errors in place of SIGBUS for accesses to a mapped file. Such an access fails if the file was cut while it was open,
//! if it has a hole that its file system has no space for, or if its medium has lost bytes.

use anyhow::anyhow;
use cachemaint::dax::{DaxView, Error, ErrorKind, Taint};

/// Runs `work`, and returns an error if it accessed bytes of the file that are not there. Results and acknowledgements
/// of `work` are void then.
///
/// There is no guard on some architectures and outside of Linux. Such an access ends the command there.
pub(crate) fn guarded<R>(file: &DaxView, work: impl FnOnce() -> R) -> anyhow::Result<R> {
    guarded_with(file, FREE_SPACE, work)
}

/// Does the same for a command that only reads the file, and so can read a copy of it.
pub(crate) fn guarded_reading<R>(file: &DaxView, work: impl FnOnce() -> R) -> anyhow::Result<R> {
    guarded_with(file, FREE_SPACE_OR_COPY, work)
}

/// Runs `work`, which only reads the file, until it returns false or an access fails. It is run again only if all accesses
/// before have succeeded. So an error makes the last run void, and no other.
pub(crate) fn guarded_while(file: &DaxView, mut work: impl FnMut() -> bool) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    if let Ok(guard) = cachemaint::dax::FaultHandler::install() {
        let ended = file.catch_faults_while(guard, |_| work());
        return ended.map_err(|error| explained_with(file, error, FREE_SPACE_OR_COPY));
    }
    guarded_reading(file, || while work() {})
}

const FREE_SPACE: &str = "free some space, and run the command again";
/// A mapped hole of a tmpfs takes space even if it is only read. The calls of a copy read zeros there.
const FREE_SPACE_OR_COPY: &str = "free some space, and run the command again, or copy the file to another file system and \
                                  read the copy";

const FIND_CUTTER: &str = "find the program that cuts it, and bring the file back from a copy";

#[cfg(target_os = "linux")]
fn guarded_with<R>(
    file: &DaxView,
    if_full: &'static str,
    work: impl FnOnce() -> R,
) -> anyhow::Result<R> {
    match cachemaint::dax::FaultHandler::install() {
        Ok(guard) => file
            .catch_faults(guard, |_| work())
            .map_err(|error| explained_with(file, error, if_full)),
        Err(_) => Ok(work()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "there is no guard here")]
fn guarded_with<R>(_: &DaxView, _: &'static str, work: impl FnOnce() -> R) -> anyhow::Result<R> {
    Ok(work())
}

/// Returns the error of a guarded access with the offset of the access, and with the remedy.
pub(crate) fn explained(file: &DaxView, error: Error) -> anyhow::Error {
    explained_with(file, error, FREE_SPACE)
}

/// Returns the error of the medium of a journal, a recording or a store. One that is too short was long enough when it was
/// opened: a write-back finds a cut of which no access has met a missing page.
pub(crate) fn of_medium(error: &Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::Shorter { size, needed, .. } => anyhow!(
            "{}: the bytes up to offset {needed} were not written back, as the file was cut to {size} bytes while it was \
             open; {FIND_CUTTER}",
            error.path().display()
        ),
        _ => anyhow!("{error}"),
    }
}

fn explained_with(file: &DaxView, error: Error, if_full: &'static str) -> anyhow::Error {
    let Some(Taint::Fault { at, .. }) = file.taint() else { return of_medium(&error) };
    let (path, at) = (error.path().display(), file.offset() + at);
    match error.kind() {
        ErrorKind::Shorter { size, .. } => anyhow!(
            "{path}: an access at offset {at} failed, as the file was cut to {size} bytes while it was open; \
             {FIND_CUTTER}"
        ),
        ErrorKind::NoSpace { len, .. } => anyhow!(
            "{path}: an access at offset {at} failed, as the file system has no space for {len} more bytes there, or the \
             file was cut and made longer again; {if_full}"
        ),
        _ => error.into(),
    }
}
