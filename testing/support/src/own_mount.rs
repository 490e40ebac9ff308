//! File systems of a test's own, which only its thread sees. They need root.

use crate::skip::skip;
use core::ffi::CStr;
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `test` with a fresh tmpfs of 1 MiB that only its thread sees; skips without the right to
/// mount.
pub fn with_small_tmpfs(name: &str, test: impl FnOnce(&Path) + Send) {
    with_mount(name, "tmpfs", c"size=1m", test);
}

/// Runs `test` in the same manner with any file system that does not need a device.
pub fn with_mount(name: &str, kind: &str, options: &CStr, test: impl FnOnce(&Path) + Send) {
    with_device(name, Path::new("none"), kind, options, test);
}

/// Runs `test` in the same manner with the file system on a device.
pub fn with_device(
    name: &str,
    device: &Path,
    kind: &str,
    options: &CStr,
    test: impl FnOnce(&Path) + Send,
) {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the thread ends with this scope, and nothing else shares its file system
            // attributes afterwards.
            #[expect(unsafe_code, reason = "a mount namespace for this thread")]
            let unshared =
                unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
            if let Err(error) = unshared {
                skip(name, format_args!("no mount namespace: {error}"));
                return;
            }
            let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
            if let Err(error) = rustix::mount::mount_change("/", private) {
                skip(name, format_args!("/ is not a mount point, as in a chroot: {error}"));
                return;
            }
            let none = MountFlags::empty();
            let mounted = rustix::mount::mount(device, directory.path(), kind, none, options);
            if let Err(error) = mounted {
                skip(name, format_args!("nothing may be mounted here: {error}"));
                return;
            }
            test(directory.path());
        });
    });
}

/// Mounts an overlay over new layers in a directory, and returns the lower and the merged one; `None` without one here.
#[must_use]
pub fn overlay(name: &str, directory: &Path) -> Option<(PathBuf, PathBuf)> {
    let part = |part: &str| directory.join(part);
    for layer in ["lower", "upper", "work", "merged"] {
        fs::create_dir(part(layer)).unwrap();
    }
    let [lower, upper, work] = ["lower", "upper", "work"].map(|part| directory.join(part));
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}\0",
        lower.display(),
        upper.display(),
        work.display()
    );
    let layers = CStr::from_bytes_with_nul(layers.as_bytes()).unwrap();
    let none = MountFlags::empty();
    if let Err(error) = rustix::mount::mount("none", part("merged"), "overlay", none, layers) {
        skip(name, format_args!("no overlay here: {error}"));
        return None;
    }
    Some((part("lower"), part("merged")))
}
