//! `cachemaint preserve load`.

use super::{PIECE, named, of_blob, progress, visible};
use crate::commands::text;
use crate::read_only::ReadOnly;
use crate::{files, interrupts, standard};
use anyhow::{Context as _, anyhow, bail};
use cachemaint::dax;
use cachemaint_preserve::{Blob, Error, ErrorKind, Reader};
use indicatif::ProgressBar;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

/// Write a blob to standard output, as it was saved
///
/// Each byte is verified before it is written. Where the blob is damaged, the command ends with exit code 1 and an
/// error. The file is opened for reading only, also while another process writes it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// The name of the blob
    name: String,
    /// Write the blob into this file instead, which is replaced when the whole blob is written. A symbolic link to it
    /// stays
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file: path, name, output } = arguments;
    let file = ReadOnly::open(path)?;
    let reader = Reader::open(&file).map_err(|failed| named(path, failed.error))?;
    let blob = reader.blob(name).map_err(|error| of_blob(path, name, error))?;
    let loading = Loading { path, name, file: &file, blob };
    match output {
        None => {
            let bar = progress::bar_beside_output("loading", loading.blob.info().len)?;
            loading.write_to_standard_output(&bar)?;
        }
        Some(output) => loading.write_to(output)?,
    }
    Ok(ExitCode::SUCCESS)
}

const UNWRITABLE: &str = "the blob cannot be written";

/// A blob on its way out.
struct Loading<'l> {
    path: &'l Path,
    name: &'l str,
    file: &'l ReadOnly,
    blob: Blob<&'l &'l ReadOnly>,
}

impl Loading<'_> {
    /// Writes it piece by piece.
    fn write(&self, out: &mut impl Write, bar: &ProgressBar) -> anyhow::Result<()> {
        let len = self.blob.info().len;
        bar.set_length(len);
        let mut buffer = vec![0; len.min(PIECE) as usize];
        let mut at = 0;
        while at < len {
            let piece = &mut buffer[..(len - at).min(PIECE) as usize];
            self.blob.read_at(at, piece).map_err(|error| self.ended(at, error))?;
            out.write_all(piece).context(UNWRITABLE)?;
            at += piece.len() as u64;
            bar.set_position(at);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn write_to_standard_output(&self, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut out = BufWriter::new(standard::output()?);
        self.write(&mut out, bar)?;
        standard::finish(out).context(UNWRITABLE)
    }

    /// Returns the error, with the number of bytes written before it.
    fn ended(&self, at: u64, error: Error<dax::Error>) -> anyhow::Error {
        let (path, name) = (self.path.display(), visible(self.name.as_bytes()));
        let error = match error.kind() {
            ErrorKind::Replaced => anyhow!(
                "{path}: {name}: it was replaced or deleted meanwhile; load it again to get the new one"
            ),
            _ => of_blob(self.path, self.name, error),
        };
        match at {
            0 => error,
            _ => anyhow!("{error:#}; only its first {at} bytes were written"),
        }
    }

    /// Writes it into a file, which is replaced as a whole or stays as it is. A pipe or a terminal is opened and written
    /// directly. If the file is standard output under any name, it is written through that stream, at its position.
    fn write_to(&self, output: &Path) -> anyhow::Result<()> {
        if files::leads_to(output, self.file.view()) {
            bail!("{}: is the store itself; write the blob into another file", output.display());
        }
        let bar = progress::bar("loading")?;
        let unwritable = || format!("{}: cannot be written", output.display());
        if let Some(found) = fs::metadata(output).ok().filter(|found| !found.is_file()) {
            let mut out = open_as_seen(output, &found).with_context(unwritable)?;
            self.write(&mut out, &bar)?;
            // Pipes and terminals cannot be synced.
            if files::is_block_device(&found) {
                out.sync_all().with_context(unwritable)?;
            }
            return Ok(());
        }
        if standard::is_output(output) {
            return self.write_to_standard_output(&bar);
        }
        let output = &behind_links(output).with_context(unwritable)?;
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let mut beside = Beside::create(|| {
            let file = NamedTempFile::new_in(parent).with_context(unwritable)?;
            #[cfg(unix)]
            privacy::copy(output, self.path, file.as_file()).with_context(unwritable)?;
            Ok(file)
        })?;
        self.write(&mut beside.file, &bar)?;
        // Without this the new name can be durable before the bytes are.
        beside.file.as_file().sync_all().with_context(unwritable)?;
        beside.replace(output).with_context(unwritable)
    }
}

/// Opens an output that was seen to be a pipe, a terminal or a device. In a directory of another user, a link to a file can
/// take its name before it is opened. The blob would overwrite the beginning of that file.
fn open_as_seen(output: &Path, seen: &Metadata) -> io::Result<File> {
    let opened = File::options().write(true).open(output)?;
    if !files::is_as_seen(seen, &opened)? {
        return Err(io::Error::other("it was replaced while it was opened: try again"));
    }
    Ok(opened)
}

/// The readers of a blob, which can be a secret.
#[cfg(unix)]
mod privacy {
    use crate::files::is_own_or_of_root;
    use rustix::fs::{FileType, Mode, RawMode, Stat, fchmod, fstat, lstat, stat};
    #[cfg(target_os = "linux")]
    use rustix::fs::{fgetxattr_query, getxattr_query};
    use rustix::process::umask;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::fchown;
    use std::path::Path;

    /// Makes a new file, which its owner alone can use, as private as the output, or as the store if the output is missing.
    /// Another user can have placed the output to read the blob: the rights to it are then those to both files. The umask
    /// of the process applies.
    pub(super) fn copy(output: &Path, store: &Path, file: &File) -> io::Result<()> {
        let (replaced, source) = (lstat(output).ok(), stat(store).ok());
        // A link has come meanwhile.
        let is_link = |found: &Stat| FileType::from_raw_mode(found.st_mode).is_symlink();
        let is_trusted = |found: &Stat| !is_link(found) && is_own_or_of_root(found.st_uid);
        let (path, model, limit) = match (replaced, source) {
            (Some(replaced), _) if is_trusted(&replaced) => (output, replaced, 0o777),
            (Some(replaced), Some(source)) => {
                let is_same_group = replaced.st_gid == source.st_gid;
                let limit =
                    if is_same_group { replaced.st_mode } else { of_both(replaced.st_mode) };
                (if has_list(output, file) { output } else { store }, source, limit)
            }
            (None, Some(source)) => (store, source, 0o777),
            (_, None) => return Ok(()),
        };
        let has_group =
            fstat(file)?.st_gid == model.st_gid || fchown(file, None, Some(model.st_gid)).is_ok();
        // Without the bits of set-user-ID and its like: the blob is not the program that they were set for.
        let mode = model.st_mode & limit & 0o777;
        // An access control list is not copied.
        let mode = if has_list(path, file) {
            mode & 0o700
        } else if has_group {
            mode
        } else {
            of_both(mode)
        };
        let masked = umask(Mode::all());
        umask(masked);
        // If a file system does not change modes, the blob stays as private as its new files are.
        let (Ok(()) | Err(_)) = fchmod(file, Mode::from_raw_mode(mode) - masked);
        Ok(())
    }

    /// Returns the mode for another group. Its members and all others get the rights that the group and all others had.
    const fn of_both(mode: RawMode) -> RawMode {
        let both = mode >> 3 & mode & 0o7;
        mode & 0o700 | both << 3 | both
    }

    /// Returns true if the model has an access control list, or the new file has inherited one from its directory. The bits
    /// of the group are then the mask of further users' rights. A list can also refuse the rights of all others to a user
    /// (`acl(5)`).
    #[cfg(target_os = "linux")]
    fn has_list(model: &Path, file: &File) -> bool {
        const LIST: &str = "system.posix_acl_access";
        getxattr_query(model, LIST).or_else(|_none| fgetxattr_query(file, LIST)).is_ok()
    }

    /// Other systems do not have them as attributes.
    #[cfg(not(target_os = "linux"))]
    const fn has_list(_: &Path, _: &File) -> bool {
        false
    }
}

/// Returns the name of the file that a name leads to: a new file would replace a symbolic link itself.
fn behind_links(name: &Path) -> io::Result<PathBuf> {
    if !name.is_symlink() {
        return Ok(name.to_path_buf());
    }
    let found = fs::metadata(name)?;
    let mut behind = name.to_path_buf();
    while behind.is_symlink() {
        // Links are read here, and the kernel can refuse to follow one that another user has planted.
        fs::metadata(&behind)?;
        if files::is_link_of_procfs(&behind) {
            return Err(io::Error::other("it leads to an open file; give the name of the file"));
        }
        let target = fs::read_link(&behind)?;
        behind = behind.parent().unwrap_or(Path::new("")).join(target);
    }
    if !files::is_same(&found, &fs::metadata(&behind)?) {
        return Err(io::Error::other("the link was changed meanwhile; load the blob again"));
    }
    Ok(behind)
}

/// A file that is to replace another one. A signal that ends the command removes it first.
struct Beside {
    file: NamedTempFile,
    /// Its name, until it has that of the other file. Once a signal's handler holds this, the command ends with
    /// [`text::INTERRUPTED`].
    name: Arc<Mutex<Option<PathBuf>>>,
}

impl Beside {
    fn create(make: impl FnOnce() -> anyhow::Result<NamedTempFile>) -> anyhow::Result<Self> {
        let shared = Arc::new(Mutex::new(None::<PathBuf>));
        // A signal that comes while the file is made waits for its name.
        let mut name = held(&shared);
        let seen = Arc::clone(&shared);
        interrupts::handle(move || {
            let name = held(&seen);
            if let Some(path) = &*name {
                // The command ends all the same if the file cannot be removed.
                let (Ok(()) | Err(_)) = fs::remove_file(path);
            }
            exit(text::INTERRUPTED.into());
        })?;
        let file = make()?;
        *name = Some(file.path().to_path_buf());
        drop(name);
        Ok(Self { file, name: shared })
    }

    fn replace(self, output: &Path) -> io::Result<()> {
        // A signal that comes now waits for the new name.
        let mut name = held(&self.name);
        self.file.persist(output).map_err(|error| error.error)?;
        *name = None;
        Ok(())
    }
}

fn held(name: &Mutex<Option<PathBuf>>) -> MutexGuard<'_, Option<PathBuf>> {
    name.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, unix))]
mod tests {
    use super::open_as_seen;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// Not each system has a safe call that makes a pipe with a name, so the first output is a socket.
    #[test]
    fn a_link_that_replaces_another_output_before_it_is_opened_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let [output, file] = ["output", "file"].map(|name| directory.path().join(name));
        fs::write(&file, "before").unwrap();
        drop(UnixListener::bind(&output).unwrap());
        let seen = fs::metadata(&output).unwrap();
        fs::remove_file(&output).unwrap();
        symlink(&file, &output).unwrap();
        let error = open_as_seen(&output, &seen).unwrap_err();
        assert_eq!(error.to_string(), "it was replaced while it was opened: try again");
        assert_eq!(fs::read(&file).unwrap(), b"before");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_that_replaces_another_one_before_it_is_opened_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        symlink("/dev/zero", &output).unwrap();
        let seen = fs::metadata(&output).unwrap();
        assert!(open_as_seen(&output, &seen).is_ok());
        fs::remove_file(&output).unwrap();
        symlink("/dev/null", &output).unwrap();
        assert!(open_as_seen(&output, &seen).is_err());
    }
}
