//! Commands on file systems that a test mounts for itself, which needs root.

use crate::{cachemaint, json, ran, skip, stderr, stdout};
use cachemaint_test_support::own_mount::with_mount;
use rustix::mount::{MountFlags, mount, mount_bind};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

/// An overlay without `xino` shows the devices of its layers.
#[test]
fn a_guard_of_an_overlay_syncs_the_files_of_all_its_layers() {
    let name = "a_guard_of_an_overlay_syncs_the_files_of_all_its_layers";
    with_mount(name, "tmpfs", c"size=8m", |directory| {
        let [lower, up, merged] = ["lower", "up", "merged"].map(|part| directory.join(part));
        for part in [&lower, &up, &merged] {
            fs::create_dir(part).unwrap();
        }
        let none = MountFlags::empty();
        mount("none", &up, "tmpfs", none, None).unwrap();
        for part in ["upper", "work"] {
            fs::create_dir(up.join(part)).unwrap();
        }
        fs::write(lower.join("below"), [1; 100]).unwrap();
        let [lower, up] = [lower, up].map(|part| part.display().to_string());
        let layers = format!("xino=off,lowerdir={lower},upperdir={up}/upper,workdir={up}/work");
        if let Err(error) = mount("none", &merged, "overlay", none, &*CString::new(layers).unwrap())
        {
            return skip(name, format_args!("no overlay here: {error}"));
        }
        fs::write(merged.join("above"), [1; 100]).unwrap();
        let once = ["guard", "--once", "--page-cache", "--json"];
        let done = ran(cachemaint().args(once).arg(&merged), "");
        let document = json(&done);
        assert_eq!((&document["files"], &document["problems"]), (&2.into(), &0.into()));
    });
}

/// The kernel shows such a path as it was written, so it can be on any file system: here on a tmpfs.
#[test]
fn a_write_back_fails_on_an_overlay_whose_upper_directory_is_unknown() {
    let name = "a_write_back_fails_on_an_overlay_whose_upper_directory_is_unknown";
    with_mount(name, "tmpfs", c"size=8m", |directory| {
        for part in ["lower", "upper", "work", "merged"] {
            fs::create_dir(directory.join(part)).unwrap();
        }
        // The mount namespace of this thread has its own working directory (unshare(2), `CLONE_NEWNS`).
        std::env::set_current_dir(directory).unwrap();
        let layers = c"lowerdir=lower,upperdir=upper,workdir=work";
        if let Err(error) = mount("none", "merged", "overlay", MountFlags::empty(), layers) {
            return skip(name, format_args!("no overlay here: {error}"));
        }
        fs::write("merged/file", [1; 100]).unwrap();
        let once = ["guard", "--once", "--page-cache", "merged", "--json"];
        let failed = ran(cachemaint().args(once), "").code(1);
        assert_eq!(json(&failed)["survives"][0]["kexec"], "not_promised");
        let error = stderr(&failed);
        assert!(
            error.contains("merged: nothing promises that a reboot or a kexec keeps"),
            "{error}"
        );
        assert!(error.contains("its upper directory"), "{error}");
    });
}

/// A copy up takes the time and the space of the whole file, and needs the right to write it.
#[test]
fn a_file_of_a_lower_layer_is_read_by_anybody_and_not_copied_up() {
    let name = "a_file_of_a_lower_layer_is_read_by_anybody_and_not_copied_up";
    with_mount(name, "tmpfs", c"size=16m", |directory| {
        let [lower, upper, work, merged] =
            ["lower", "upper", "work", "merged"].map(|part| directory.join(part));
        for part in [&lower, &upper, &work, &merged] {
            fs::create_dir(part).unwrap();
        }
        for arguments in [
            &["journal", "append", "log", "--create", "256K"][..],
            &["store", "save", "state", "blob", "--create", "1M"],
            &["recording", "write", "events", "--create", "64K"],
        ] {
            ran(cachemaint().current_dir(&lower).args(arguments), "line\n").success();
        }
        for file in fs::read_dir(&lower).unwrap() {
            fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let [lower, up, work] = [&lower, &upper, &work].map(|part| part.display().to_string());
        let layers = format!("lowerdir={lower},upperdir={up},workdir={work}");
        let layers = CString::new(layers).unwrap();
        if let Err(error) = mount("none", &merged, "overlay", MountFlags::empty(), &*layers) {
            return skip(name, format_args!("no overlay here: {error}"));
        }
        for user in [0, 65534] {
            for arguments in [
                &["inspect", "log"][..],
                &["inspect", "log", "--survives", "process-crash"],
                &["inspect", "state"],
                &["inspect", "events"],
                &["journal", "read", "log"],
                &["journal", "verify", "log"],
                &["journal", "salvage", "log"],
                &["store", "list", "state"],
                &["store", "verify", "state"],
                &["store", "load", "state", "blob"],
                &["recording", "print", "events"],
                &["caps"],
            ] {
                let mut command = cachemaint();
                command.current_dir(&merged).args(arguments).uid(user).gid(user);
                if let Err(error) = command.output() {
                    return skip(
                        name,
                        format_args!("another user may not run the command: {error}"),
                    );
                }
                let printed = stdout(&ran(&mut command, "").success());
                let shows_contents = ["read", "salvage", "load", "print"]
                    .iter()
                    .any(|name| arguments.contains(name));
                assert!(!shows_contents || printed.contains("line"), "{arguments:?}: {printed}");
            }
        }
        assert_eq!(fs::read_dir(&upper).unwrap().count(), 0, "nothing was copied up");
    });
}

/// The directory is made read-only while the command writes. A run that has ended before is repeated.
#[test]
fn an_unfinished_file_that_cannot_be_removed_is_named() {
    let name = "an_unfinished_file_that_cannot_be_removed_is_named";
    with_mount(name, "tmpfs", c"size=256m", |directory| {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        let store = directory.join("store");
        let save = ["store", "save", "--create", "40M"];
        ran(cachemaint().args(save).arg(&store).arg("blob"), vec![b'x'; 32 << 20]).success();
        fs::set_permissions(&store, fs::Permissions::from_mode(0o644)).unwrap();
        let place = directory.join("place");
        fs::create_dir(&place).unwrap();
        std::os::unix::fs::chown(&place, Some(65534), Some(65534)).unwrap();
        let is_named = (0..20).any(|_| {
            fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
            let mut load = cachemaint();
            load.args(["store", "load"])
                .arg(&store)
                .args(["blob", "--output"])
                .arg(place.join("out"));
            let child = load.uid(65534).gid(65534).stderr(std::process::Stdio::piped()).spawn();
            let Ok(mut child) = child else { return true };
            let unfinished = || fs::read_dir(&place).unwrap().next();
            while unfinished().is_none() && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            fs::set_permissions(&place, fs::Permissions::from_mode(0o500)).unwrap();
            let ended = child.wait_with_output().unwrap();
            let left = unfinished().unwrap().unwrap().path();
            fs::remove_file(&left).unwrap();
            let error = String::from_utf8(ended.stderr).unwrap();
            let words = format!("{} is unfinished, and cannot be removed", left.display());
            ended.status.code() == Some(3) && error.contains(&words)
        });
        assert!(is_named);
    });
}

/// As `docker -v state.json:/app/state.json` mounts it.
#[test]
fn an_output_that_is_mounted_by_itself_is_an_error_with_an_action() {
    let name = "an_output_that_is_mounted_by_itself_is_an_error_with_an_action";
    with_mount(name, "tmpfs", c"size=8m", |directory| {
        let [host, output, store] = ["host", "output", "store"].map(|name| directory.join(name));
        fs::write(&host, "old").unwrap();
        fs::write(&output, "hidden").unwrap();
        let save = ["store", "save", "--create", "1M"];
        ran(cachemaint().args(save).arg(&store).arg("blob"), "new").success();
        mount_bind(&host, &output).unwrap();
        let load = ["store", "load"];
        let mut command = cachemaint();
        command.args(load).arg(&store).args(["blob", "--output"]).arg(&output);
        let refused = ran(&mut command, "").code(3);
        let error = stderr(&refused);
        assert!(error.contains("mount its directory instead"), "{error}");
        assert!(stdout(&refused).is_empty());
        assert_eq!(fs::read(&host).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 3, "nothing is left beside it");
    });
}

#[test]
fn an_output_without_space_is_an_error_with_an_action() {
    let place = tempfile::tempdir().unwrap();
    let store = place.path().join("store");
    let mut save = cachemaint();
    save.args(["store", "save", "--create", "8M"]).arg(&store).arg("blob");
    ran(&mut save, vec![b'x'; 2 << 20]).success();
    with_mount("an_output_without_space", "tmpfs", c"size=1m", |directory| {
        let mut load = cachemaint();
        load.args(["store", "load"]).arg(&store).args(["blob", "--output"]);
        let refused = ran(load.arg(directory.join("output")), "").code(3);
        let error = stderr(&refused);
        assert!(error.contains("output: no space in its file system (df"), "{error}");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    });
}

/// Such a directory cannot be synced, and takes new files all the same.
#[test]
fn a_journal_is_salvaged_into_a_directory_that_may_not_be_read() {
    let name = "a_journal_is_salvaged_into_a_directory_that_may_not_be_read";
    with_mount(name, "tmpfs", c"size=8m", |directory| {
        let drop_box = directory.join("box");
        fs::create_dir(&drop_box).unwrap();
        fs::set_permissions(&drop_box, fs::Permissions::from_mode(0o733)).unwrap();
        let (log, saved) = (directory.join("log"), drop_box.join("saved"));
        let as_nobody = || {
            let mut nobody = cachemaint();
            nobody.uid(65534).gid(65534);
            nobody
        };
        if let Err(error) = as_nobody().arg("--version").output() {
            return skip(name, format_args!("another user may not run the command: {error}"));
        }
        let append = ["journal", "append", "--create", "256K"];
        ran(as_nobody().args(append).arg(&log), "record\n").success();
        let salvage = ["journal", "salvage", "--into"];
        ran(as_nobody().args(salvage).arg(&saved).arg(&log), "").success();
        assert!(saved.exists());
    });
}
