//! Each call that the recorder knows, made by a small program, and the operations that it is recorded as, in order.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use core::time::Duration;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use lose_lines_recorder::{Recorded, Recording};
use lose_lines_states::{Kind, Log, Object, Operation, Record, Synced, Via};
use tempfile::TempDir;

/// A directory on the disk: fsync takes some time there.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls");
    let made = program.with_extension(std::process::id().to_string());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/calls.c");
    let status = Command::new("cc").args(["-w", "-pthread", source, "-o"]).arg(&made).status();
    assert!(status.unwrap().success());
    // Another process of this test may use it.
    fs::rename(made, &program).unwrap();
    program
});

fn record(program: &Path, words: &[&str]) -> anyhow::Result<Recording> {
    let folder = folder();
    let directory = folder.path().join("in");
    fs::create_dir_all(directory.join("d")).unwrap();
    fs::write(directory.join("old"), "old").unwrap();
    let words = [program.as_os_str().into()].into_iter().chain(words.iter().map(OsString::from));
    let recorded = Recorded {
        program,
        command: &words.collect::<Vec<_>>(),
        directory: &directory,
        environment: &[],
        limit: Duration::from_secs(60),
        fault: None,
        is_quiet: false,
    };
    recorded.record()
}

fn operations(case: &str) -> Vec<String> {
    let Recording { log, status, notes, has_ended, .. } = record(&PROGRAM, &[case]).unwrap();
    assert!(has_ended && status.success(), "{case}: {status} {notes:?}");
    assert!(!notes.iter().any(|note| note.contains("incomplete")), "{case}: {notes:?}");
    let all = (log.begun..log.records.len()).filter_map(|place| in_words(&log, place));
    all.collect()
}

/// Returns an operation in words. The making of an object and its first name are one.
fn in_words(log: &Log, place: usize) -> Option<String> {
    let name = |object: &Object| log.path_before(*object, place + 1);
    let part = |part: &Synced| match part {
        Synced::All => String::new(),
        Synced::Data => String::from(" data"),
        Synced::Range { at, len } => format!(" {at}+{len}"),
    };
    let next = log.records.get(place + 1).map_or(&[][..], Record::entries);
    Some(match &log.records[place].operation {
        Operation::Make { object, .. } if matches!(next, [one] if one.object == Some(*object)) => {
            return None;
        }
        Operation::Make { .. } => String::from("nameless"),
        Operation::Entries(entries) => names_in_words(log, place, entries),
        Operation::Write { file, at, bytes, via } => {
            let verb = if *via == Via::Mapping { "store" } else { "write" };
            let text = match bytes.len() {
                0..10 => bytes.escape_ascii().to_string(),
                len => format!("{len} bytes"),
            };
            format!("{verb} {} {at} {text}", name(file))
        }
        Operation::Resize { file, size } => format!("size {} {size}", name(file)),
        Operation::Zero { file, at, len } => format!("zero {} {at}+{len}", name(file)),
        Operation::WriteBack { file, at, len, waits } => {
            let all = if *len == u64::MAX { String::from("all") } else { format!("{at}+{len}") };
            format!("write back {} {all}{}", name(file), if *waits { " wait" } else { "" })
        }
        Operation::Begin { object: Some(object), part: of } => {
            format!("begin {}{}", name(object), part(of))
        }
        Operation::Begin { object: None, .. } => String::from("begin all"),
        Operation::Sync { object, part: of } => format!("sync {}{}", name(object), part(of)),
        Operation::SyncAll => String::from("sync all"),
        Operation::Close { file } => format!("close {}", name(file)),
        Operation::Line(line) => format!("line {}", String::from_utf8_lossy(line)),
    })
}

fn names_in_words(log: &Log, place: usize, entries: &[lose_lines_states::Entry]) -> String {
    let path = |entry: &lose_lines_states::Entry| {
        let name = String::from_utf8_lossy(&entry.name);
        match log.path_before(entry.directory, place + 1).as_str() {
            "." => name.into_owned(),
            directory => format!("{directory}/{name}"),
        }
    };
    let made = place.checked_sub(1).and_then(|before| match &log.records[before].operation {
        Operation::Make { object, kind, .. } if entries[0].object == Some(*object) => Some(kind),
        _ => None,
    });
    match (entries, made) {
        ([one], Some(Kind::File)) => format!("create {}", path(one)),
        ([one], Some(Kind::Directory)) => format!("mkdir {}", path(one)),
        ([one], Some(Kind::Link(to))) => {
            format!("symlink {} to {}", path(one), String::from_utf8_lossy(to))
        }
        ([one], None) if one.object.is_some() => format!("name {}", path(one)),
        ([one], None) => format!("unname {}", path(one)),
        ([one, other], _) if one.object.is_some() => {
            format!("exchange {} and {}", path(one), path(other))
        }
        ([one, other], _) => format!("rename {} to {}", path(one), path(other)),
        _ => format!("{entries:?}"),
    }
}

/// Asserts that a program is recorded as these operations, which `;` separates.
fn is(case: &str, expected: &str) {
    let expected: Vec<_> =
        expected.split(';').map(str::trim).filter(|one| !one.is_empty()).collect();
    assert_eq!(operations(case), expected, "{case}");
}

#[test]
fn opens_make_files_where_the_program_sees_the_path() {
    is("opens", "create a; create b; create d/c; create d/e");
    is(
        "opens_by_links",
        "symlink dangling to target; create target; create d/in; create here; size old 0; close old",
    );
    is("chroots", "symlink d/link to /abs; create d/abs; create d/up");
    is("threads", "create one; create two");
}

#[test]
fn a_file_without_a_name_gets_one_by_any_path_to_its_descriptor() {
    is("tmpfile_empty", "create new");
    for case in ["tmpfile_self", "tmpfile_thread", "tmpfile_dev", "tmpfile_pid"] {
        is(case, "nameless; write a file without a name 0 x; name new");
    }
    is(
        "tmpfile_by_own_link",
        "symlink me to /proc/self; nameless; write a file without a name 0 x; name new",
    );
}

/// ext4 and btrfs take the close of a file that was cut to nothing for a replacement: `ext4_release_file` is called when
/// an open file description ends.
#[test]
fn a_close_is_that_of_the_last_descriptor() {
    is(
        "truncates",
        "size old 0; close old; size old 9; size old 5; size old 0; write old 0 x; close old",
    );
    is("dups", "size old 0; write old 0 a; write old 1 b; close old; create next");
    is("dup2_closes", "create other; size old 0; write old 0 a; close old; create next");
    is(
        "fork_after_open",
        "size old 0; write old 0 a; write old 1 b; create between; close old; create next",
    );
    is(
        "vfork_and_exec",
        "size old 0; write old 0 a; create child; write child 0 child\\n; write old 1 b; close old; create next",
    );
    is(
        "a_mapping_keeps_it_open",
        "size old 0; size old 4096; create mapped; close old; create next",
    );
    is(
        "copies_to_an_emptied_file",
        "create from; size old 0; write from 0 abc; write old 0 abc; create still; close old",
    );
}

#[test]
fn writes_are_recorded_with_their_place() {
    is(
        "writes",
        "create w; write w 0 x; write w 7 y; write w 1 abcd; write w 20 abcd; write w 5 ab; write w 30 ab; sync w 30+2; \
         write w 32 ab; write w 34 z; write w 0 s; sync w 0+1; write w 3 t; sync w 3+1",
    );
    is("copies", "create to; write to 0 old; write to 10 ld; write to 3 o");
    is("allocates", "create f; size f 9000; zero f 4096+4904");
    is(
        "maps",
        "create f; size f 70000; store f 512 512 bytes; store f 69632 368 bytes; begin f 0+4096; sync f 0+4096; \
         write f 4096 c; store f 512 512 bytes",
    );
}

#[test]
fn names_change_as_the_calls_say() {
    is(
        "renames",
        "create a; rename a to b; rename b to d/c; exchange old and d/c; rename d/c to old; name same; rename d to e; \
         create e/in; unname e/in; name back; unname back",
    );
    is(
        "names",
        "mkdir m; mkdir n; unname n; symlink m/s to to; symlink t to x; name m/hard; name u; unname t; unname old; \
         create node; unname node",
    );
    // On ext4, a new file gets the number of the removed one.
    is("inode_number_comes_back", "unname old; create old; write old 0 new");
    is("an_unlinked_file_is_written", "unname old; write old 0 x; create old; begin old; sync old");
}

#[test]
fn a_sync_has_a_begin_and_an_end_and_prints_do_not_wait_for_it() {
    is(
        "syncs",
        "create f; begin f; sync f; begin f data; sync f data; begin .; sync .; begin all; sync all; begin all; sync all; \
         write back f 1+2; write back f all wait",
    );
    let all = operations("a_print_during_a_sync");
    let place = |of: &str| all.iter().position(|one| one == of).unwrap();
    assert!(place("line during") < place("sync f"), "{all:?}");
    assert!(place("sync f") < place("line after"), "{all:?}");
}

#[test]
fn prints_by_any_call_are_lines_and_wait_for_nothing() {
    is("splices", "create f; line spliced; line more; line vmspliced");
}

#[test]
fn a_program_that_cannot_be_executed_is_an_error_that_names_the_cause() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    let failure = |name: &str| format!("{:#}", record(&place(name), &[]).err().unwrap());
    fs::write(place("plain"), "#!/bin/sh\n").unwrap();
    assert!(failure("plain").contains("plain is not executable"), "{}", failure("plain"));
    fs::write(place("script"), "#! /nowhere/shell -e\n").unwrap();
    fs::set_permissions(place("script"), Permissions::from_mode(0o755)).unwrap();
    let text = failure("script");
    assert!(text.contains("/nowhere/shell, which ") && text.contains("does not exist"), "{text}");
    fs::write(place("main.c"), "int main(void) { return 0; }").unwrap();
    let mut compiler = Command::new("cc");
    compiler.arg("-Wl,--dynamic-linker=/nowhere/ld.so").arg(place("main.c"));
    assert!(compiler.arg("-o").arg(place("main")).status().unwrap().success());
    assert!(failure("main").contains("/nowhere/ld.so, which "), "{}", failure("main"));
    assert!(failure("none").contains("none does not exist"), "{}", failure("none"));
}
