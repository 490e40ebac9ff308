//! Files that commands make.

use std::fs::File;
use std::io;
use std::path::Path;

/// Syncs a file or a directory. A file system without syncs is taken as it is.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Gives a file another name, which nothing has. The former name can be left.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    let renamed = cachemaint::family::naming::rename(from, to);
    // A link takes no other file's place, as a rename would.
    #[cfg(not(target_os = "linux"))]
    let renamed = std::fs::hard_link(from, to);
    renamed
}
