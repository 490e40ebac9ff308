//! The output of each command, and readers of it.

#[cfg(unix)]
use crate::place::text;
use crate::place::{Place, many};
use crate::printed::{stderr, stdout};
#[cfg(target_os = "linux")]
use assert_cmd::{Command, cargo};
use cachemaint_preserve::Options;
#[cfg(target_os = "linux")]
use cachemaint_test_support::skip::skip;
use serde_json::{Value, json};
use std::fs;
#[cfg(target_os = "linux")]
use std::process::{Command as Process, Stdio};

#[test]
fn nothing_that_a_terminal_executes_is_printed() {
    let place = Place::with(&[]);
    let (name, metadata) = ("\u{1b}[2Jcpu\u{9b}", "\u{1b}]0;title\u{7}");
    let mut shown = Vec::new();
    let mut run = |arguments: &[&str]| {
        let ran = place.run_with(arguments, many(300, 1));
        shown.push(stdout(&ran));
        shown.push(stderr(&ran));
        ran
    };
    run(&["save", name, "--metadata", metadata]).success();
    let listed = stdout(&run(&["list"]).success());
    assert!(listed.contains("  \\u{1b}[2Jcpu\\u{9b}\n"), "{listed:?}");
    assert!(listed.contains("metadata: \\u{1b}]0;title\\u{7}\n"), "{listed:?}");
    run(&["load", "\u{1b}[2Jno such\u{9b}"]).code(1);
    run(&["mv", name, name]).code(1);
    run(&["save", "other"]).success();
    place.damage(place.offset(name));
    let verified = stdout(&run(&["verify"]).code(1));
    assert!(verified.contains("\\u{1b}[2Jcpu\\u{9b}: the blob"), "{verified:?}");
    run(&["load", name]).code(1);
    run(&["mv", name, "\u{1b}[2J"]).success();
    run(&["rm", "\u{1b}[2J", "\u{1b}"]).code(1);
    run(&["history"]).success();
    let is_plain = |text: &String| text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(shown.iter().all(is_plain), "{shown:?}");
}

#[test]
fn a_store_is_recognized_by_its_magic() {
    let place = Place::with(&["cpu"]);
    place.run_with(&["save", "ram"], many(300, 1)).success();
    place.run_with(&["mv", "cpu", "cpu 0"], "").success();
    let stat: Value = serde_json::from_str(&stdout(&place.stat().success())).unwrap();
    assert_eq!((&stat["kind"], &stat["schema"]), (&json!("store"), &json!(1)));
    assert_eq!(
        (&stat["blobs"], &stat["bytes"], &stat["whole"]),
        (&json!(2), &json!(303), &json!(2))
    );
    assert_eq!(stat["identity"], place.json("verify")["identity"]);
    // One of the two roots is enough.
    place.damage(0);
    place.stat();
    place.damage(place.offset("ram"));
    let stat: Value = serde_json::from_str(&stdout(&place.stat().code(1))).unwrap();
    assert_eq!(stat["damaged"][0]["name"], "ram");
    fs::write(&place.path, &fs::read(&place.path).unwrap()[..10_000]).unwrap();
    let error = stderr(&place.stat().code(1));
    assert!(error.contains("state: the store needs "), "{error}");
}

/// A user who repeats such a command would do the work twice.
#[cfg(target_os = "linux")]
#[test]
fn a_commit_whose_report_cannot_be_printed_is_named() {
    let place = Place::with(&["a", "b"]);
    let commands = [&["save", "new"][..], &["mv", "a", "c"], &["rm", "b"], &["seal"]];
    for command in commands {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut process = place.process(command);
        let output = process.stdin(Stdio::null()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let generation = &place.json("list")["generation"];
        let expected =
            format!("generation {generation} is committed, but the report cannot be printed");
        assert!(error.contains(&expected), "{command:?}: {error}");
    }
    assert_eq!(place.names(), ["c", "new"]);
}

/// As programs create them. The command shows them, and refuses what it cannot verify.
#[test]
fn regions_are_shown_beside_blobs() {
    let place = Place::empty();
    let (mut store, _) = Options::new().create_new(place.created(1 << 20)).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", 8192).unwrap();
    transaction.commit().unwrap();
    drop(store.region("ram").unwrap());
    drop(store);
    let sealed = stdout(&place.run(&["seal"]).success());
    assert!(sealed.contains("ram: its bytes can be of different moments"), "{sealed}");
    place.run_with(&["save", "cpu"], "registers").success();
    let listed = stdout(&place.run(&["list"]).success());
    let words: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(words.contains(&vec!["blobs", "1"]), "{listed}");
    assert!(words.contains(&vec!["regions", "1"]), "{listed}");
    assert!(listed.contains("  ram (region, dirty)\n") && listed.contains("  cpu\n"), "{listed}");
    let contents: Vec<_> = place.blobs().iter().map(|blob| blob["content"].clone()).collect();
    assert_eq!(contents, [json!("blob"), json!("region")]);
    let verified = stdout(&place.run(&["verify"]).success());
    assert!(verified.contains("1, of which 1 are whole, with 9 bytes in all"), "{verified}");
    assert!(verified.contains("1, whose bytes cannot be verified"), "{verified}");
    assert_eq!(place.json("verify")["regions"], 1);

    let refused = stderr(&place.run(&["load", "ram"]).code(1));
    assert!(refused.contains("ram: it is a region"), "{refused}");
    let refused = stderr(&place.run_with(&["save", "ram"], "a blob").code(1));
    assert!(
        refused.contains("it is a region") && refused.contains("choose another name"),
        "{refused}"
    );
    place.run(&["mv", "ram", "memory"]).success();
    let refused = stderr(&place.run(&["rm", "cpu", "memory"]).code(1));
    assert!(refused.contains("memory: it is a region of 8192 bytes"), "{refused}");
    place.run(&["rm", "memory", "--regions"]).success();
    assert_eq!(place.names(), ["cpu"]);
}

#[test]
fn a_blob_does_not_replace_its_own_store() {
    let place = Place::with(&["cpu"]);
    let store = place.path.to_str().unwrap();
    let error = stderr(&place.run(&["load", "cpu", "--output", store]).code(1));
    assert!(error.contains("is the store itself"), "{error}");
    place.run(&["verify"]).success();
}

/// As through a second mount of its directory.
#[cfg(unix)]
#[test]
fn a_blob_does_not_replace_another_name_of_its_store() {
    let place = Place::with(&["cpu"]);
    let other = place.beside("other");
    fs::hard_link(&place.path, &other).unwrap();
    let error = stderr(&place.run(&["load", "cpu", "--output", text(&other)]).code(1));
    assert!(error.contains("other: is the store itself"), "{error}");
    assert!(fs::read(&other).unwrap() == fs::read(&place.path).unwrap());
}

#[cfg(unix)]
#[test]
fn a_blob_replaces_the_file_that_a_link_leads_to() {
    use std::os::unix::fs::symlink;

    let place = Place::with(&["cpu"]);
    fs::create_dir(place.beside("elsewhere")).unwrap();
    let file = place.file("elsewhere/blob", b"before");
    let [link, dangling] = ["link", "dangling"].map(|name| place.beside(name));
    symlink("elsewhere/blob", &link).unwrap();
    symlink("elsewhere/none", &dangling).unwrap();
    place.run(&["load", "cpu", "--output", text(&link)]).success();
    assert_eq!(fs::read(&file).unwrap(), b"cpu");
    let error = stderr(&place.run(&["load", "cpu", "--output", text(&dangling)]).code(1));
    assert!(error.contains("dangling: cannot be written: No such file"), "{error}");
    assert!(link.is_symlink() && dangling.is_symlink());
    assert_eq!(fs::read_dir(place.beside("elsewhere")).unwrap().count(), 1);
}

/// As a link that another user has planted in a shared directory (`proc_sys_fs(5)`, `protected_symlinks`). Here the mount
/// forbids links.
#[cfg(target_os = "linux")]
#[test]
fn a_link_that_the_kernel_does_not_follow_is_refused() {
    let place = Place::with(&["cpu"]);
    let directory = place.beside("mount");
    fs::create_dir(&directory).unwrap();
    let inside = |script: &str| {
        let mut unshare = Process::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-ec"]);
        let mount = "mount -t tmpfs -o nosymfollow none \"$1\"; cd \"$1\"; echo before >file; ln -s file link";
        unshare.arg(format!("{mount}; {script}")).arg("sh").arg(&directory);
        unshare.arg(cargo::cargo_bin!("cachemaint")).arg(&place.path);
        unshare
    };
    if Command::from_std(inside("! cat link")).ok().is_err() {
        return skip(
            "a_link_that_the_kernel_does_not_follow_is_refused",
            "a mount that forbids links cannot be made",
        );
    }
    let script = "! \"$2\" preserve load \"$3\" cpu --output link; cat file";
    let loaded = Command::from_std(inside(script)).assert().success();
    assert!(stderr(&loaded).contains("link: cannot be written: "), "{loaded}");
    assert_eq!(stdout(&loaded), "before\n");
}

/// A blob can be a secret.
#[cfg(unix)]
#[test]
fn a_blob_is_as_private_as_the_file_that_it_replaces_or_as_its_store() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::with(&["cpu"]);
    let output = place.path.with_file_name("blob");
    let load = || place.run(&["load", "cpu", "--output", output.to_str().unwrap()]).success();
    let mode = || fs::metadata(&output).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&place.path, PermissionsExt::from_mode(0o600)).unwrap();
    load();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&place.path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(&output, PermissionsExt::from_mode(0o400)).unwrap();
    load();
    assert_eq!(mode(), 0o400);
}

/// The second user is not a member of the store's group.
#[cfg(target_os = "linux")]
#[test]
fn a_blob_is_shared_with_the_group_of_its_store_alone() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    const NAME: &str = "a_blob_is_shared_with_the_group_of_its_store_alone";
    let place = Place::with(&["cpu"]);
    let (directory, store) = (place.directory.path(), &place.path);
    if chown(store, Some(1000), Some(1234)).and(chown(directory, Some(1000), None)).is_err() {
        return skip(NAME, "files cannot be given to another user");
    }
    let shell = |script: &str, output: &str| {
        let mut shell = Process::new("sh");
        shell.args(["-ec", script, "sh"]).arg(cargo::cargo_bin!("cachemaint"));
        shell.arg(store).arg(place.beside(output));
        shell
    };
    let load = "umask 027; \"$1\" preserve load \"$2\" cpu --output \"$3\"";
    let shared = |output: &str| {
        let found = fs::metadata(place.beside(output)).unwrap();
        (found.gid(), found.mode() & 0o777)
    };
    fs::set_permissions(store, PermissionsExt::from_mode(0o664)).unwrap();
    Command::from_std(shell(load, "by-root")).assert().success();
    assert_eq!(shared("by-root"), (1234, 0o640));

    fs::set_permissions(store, PermissionsExt::from_mode(0o640)).unwrap();
    let by_user = |script| {
        let mut shell = shell(script, "by-user");
        shell.uid(1000).gid(100);
        shell.output()
    };
    if !by_user("test -r \"$2\"; \"$1\" --version").is_ok_and(|ran| ran.status.success()) {
        return skip(NAME, "another user cannot reach the command or the store");
    }
    let loaded = by_user(load).unwrap();
    assert!(loaded.status.success(), "{loaded:?}");
    assert_eq!(shared("by-user"), (100, 0o600));
}

/// The bits of the group are the mask of a list (`acl(5)`), and a new file inherits a list from its directory.
#[cfg(target_os = "linux")]
#[test]
fn a_blob_beside_an_access_control_list_is_its_owners_alone() {
    use rustix::fs::{XattrFlags, removexattr, setxattr};
    use rustix::process::geteuid;
    use std::os::unix::fs::PermissionsExt;

    const NAME: &str = "a_blob_beside_an_access_control_list_is_its_owners_alone";
    const NONE: u32 = u32::MAX;
    let place = Place::with(&["cpu"]);
    let (directory, output) = (place.directory.path(), place.beside("blob"));
    // The owner, one more user, the owning group, the mask, and all others.
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, NONE),
        (0x02, 4, geteuid().as_raw()),
        (0x04, 0, NONE),
        (0x10, 4, NONE),
        (0x20, 4, NONE),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].as_flattened());
        list.extend(id.to_le_bytes());
    }
    let lists =
        [(&*place.path, "system.posix_acl_access"), (directory, "system.posix_acl_default")];
    for (path, attribute) in lists {
        fs::set_permissions(&place.path, PermissionsExt::from_mode(0o644)).unwrap();
        if setxattr(path, attribute, &list, XattrFlags::empty()).is_err() {
            return skip(NAME, "the file system has no access control lists");
        }
        place.run(&["load", "cpu", "--output", text(&output)]).success();
        removexattr(path, attribute).unwrap();
        let mode = fs::metadata(&output).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{attribute}");
        fs::remove_file(&output).unwrap();
    }
}

/// The signal comes while the blob is written. A run that has ended before is repeated.
#[cfg(unix)]
#[test]
fn an_interrupted_load_leaves_no_file() {
    use rustix::process::{Pid, Signal, kill_process};

    let place = Place::empty();
    drop(Options::new().create_new(place.created(65 << 20)).unwrap());
    place.run_with(&["save", "blob"], vec![1; 64 << 20]).success();
    let directory = place.beside("out");
    fs::create_dir(&directory).unwrap();
    let output = directory.join("blob");
    let names = || fs::read_dir(&directory).unwrap().count();
    let interrupted = (0..20).any(|_| {
        let mut load = place.process(&["load", "blob", "--output", text(&output)]).spawn().unwrap();
        while names() == 0 {
            if load.try_wait().unwrap().is_some() {
                return false;
            }
        }
        kill_process(Pid::from_child(&load), Signal::TERM).unwrap();
        let ended = load.wait().unwrap();
        // The signal may have come when all was done.
        let is_done = fs::remove_file(&output).is_ok();
        assert_eq!(names(), 0, "{ended}");
        ended.code() == Some(130) && !is_done
    });
    assert!(interrupted);
}
