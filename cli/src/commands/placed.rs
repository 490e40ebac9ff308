//! Files that another user can have placed where a log is to be created.

use cachemaint::dax::DaxView;
use std::path::Path;

/// Refuses a file of zeros of another user, in which a log is to be created: the owner could read and change the log. Such a
/// file can have been placed in a directory that several users share, to get the log. Files of root are permitted, as root
/// can read all. Owners of devices are the choice of the administrator.
///
/// In a container or a user namespace, files of users that are not mapped have the overflow user as their owner
/// (`user_namespaces(7)`). They are refused too. Capabilities do not extend to such a file, so this user can write it only
/// if all others or its group can. On a volume that is mounted into a container, new files belong to the container's user.
#[cfg(unix)]
pub(super) fn refuse_of_another_user(path: &Path, file: &DaxView) -> anyhow::Result<()> {
    use crate::files::is_own_or_of_root;
    use anyhow::Context as _;
    use std::os::unix::fs::MetadataExt as _;

    let unknown = || format!("{}: the owner of the file cannot be read", path.display());
    let found = file.file().metadata().with_context(unknown)?;
    let owner = found.uid();
    if !found.is_file() || is_own_or_of_root(owner) {
        return Ok(());
    }
    anyhow::bail!(
        "{}: the file has no data yet and belongs to another user (user id {owner}), who could read and change the data; \
         remove it, or run the command as that user first",
        path.display()
    )
}

/// Owners are not compared on other systems.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "Unix refuses some files")]
pub(super) const fn refuse_of_another_user(_: &Path, _: &DaxView) -> anyhow::Result<()> {
    Ok(())
}
