//! The states of small programs, derived by hand from the rules of the models.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;

use lose_lines_states::{Keep, Kept, Log, Model, Object, Operation, Posix, State, States, Synced};

const ROOT: Object = Object::ROOT;

/// Returns all states of a log that systematic and random choices find.
fn all(log: &Log, model: Model) -> Vec<State> {
    States::new(log, model)
        .systematic()
        .chain(States::new(log, model).count(3000).seed(1))
        .collect()
}

/// Returns the contents of a file in all states after this many lines; `-` stands for no file.
fn contents(log: &Log, model: Model, name: &str, lines: usize) -> BTreeSet<String> {
    let states = all(log, model).into_iter().filter(|state| state.lines == lines);
    let content = |state: State| match state.image.read(name) {
        Some(bytes) => {
            let text = String::from_utf8(bytes).unwrap();
            // Runs of one character are shortened, so that blocks are readable.
            let mut short: Vec<(char, usize)> = Vec::new();
            for character in text.chars() {
                match short.last_mut() {
                    Some((last, count)) if *last == character => *count += 1,
                    _ => short.push((character, 1)),
                }
            }
            let part = |(character, count): (char, usize)| {
                let character = if character == '\0' { '0' } else { character };
                if count == 1 { character.to_string() } else { format!("{character}*{count} ") }
            };
            short.into_iter().map(part).collect::<String>().trim_end().to_owned()
        }
        None => String::from("-"),
    };
    states.map(content).collect()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

const ALL: [Model; 5] = [Model::POSIX, Model::Ext4, Model::OrderedExt4, Model::Xfs, Model::Btrfs];

/// A file with `a` and a rename of one with `b` over it.
fn replaced(syncs_file: bool, syncs_directory: bool) -> Log {
    let mut log = Log::new();
    let old = log.create(ROOT, "f");
    log.write(old, 0, b"a");
    log.begin();
    let new = log.create(ROOT, "f.new");
    log.write(new, 0, b"b");
    if syncs_file {
        log.sync(new);
    }
    log.rename((ROOT, "f.new"), (ROOT, "f"));
    if syncs_directory {
        log.sync(ROOT);
    }
    log.line("replaced");
    log
}

#[test]
fn a_right_replacement_has_only_the_new_content_once_acknowledged() {
    for model in ALL {
        let log = replaced(true, true);
        assert_eq!(contents(&log, model, "f", 1), set(&["b"]), "{model}");
        assert_eq!(contents(&log, model, "f", 0), set(&["a", "b"]), "{model}");
    }
}

#[test]
fn a_replacement_without_a_sync_of_the_directory_is_lost() {
    for model in ALL {
        assert_eq!(contents(&replaced(true, false), model, "f", 1), set(&["a", "b"]), "{model}");
    }
}

#[test]
fn a_replacement_without_a_sync_of_the_file_shows_the_model() {
    let shown = |model| contents(&replaced(false, true), model, "f", 1);
    // The size comes first (`auto_da_alloc`), the bytes may follow.
    assert_eq!(shown(Model::Ext4), set(&["0", "b"]));
    assert_eq!(shown(Model::OrderedExt4), set(&["b"]));
    // Bytes and size are written back later, together.
    assert_eq!(shown(Model::Xfs), set(&["", "b"]));
    assert_eq!(shown(Model::Btrfs), set(&["", "b"]));
    assert_eq!(shown(Model::POSIX), set(&["", "0", "b"]));
    let garbage = Model::Posix(Posix { garbage: true, ..Posix::default() });
    let states = States::new(&replaced(false, true), garbage).count(500).collect::<Vec<_>>();
    let unwritten = |state: &State| state.image.read("f") == Some(vec![0xa5]);
    assert!(states.iter().any(unwritten), "ALICE's garbage");
}

#[test]
fn the_name_of_a_new_file_comes_with_its_sync_except_by_posix() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, b"a");
    log.sync(file);
    log.line("synced");
    for model in ALL {
        let expected = if model == Model::POSIX { set(&["-", "a"]) } else { set(&["a"]) };
        assert_eq!(contents(&log, model, "f", 1), expected, "{model}");
    }
}

#[test]
fn a_rename_in_steps_loses_or_doubles_the_name() {
    let steps = Model::Posix(Posix { steps: true, ..Posix::default() });
    let names = |model| -> BTreeSet<(bool, bool)> {
        let mut log = Log::new();
        let file = log.create(ROOT, "old");
        log.write(file, 0, b"a");
        log.begin();
        log.rename((ROOT, "old"), (ROOT, "new"));
        let has = |state: &State, name| state.image.read(name).is_some();
        all(&log, model).iter().map(|state| (has(state, "old"), has(state, "new"))).collect()
    };
    assert_eq!(names(steps), [(false, false), (false, true), (true, false), (true, true)].into());
    assert_eq!(names(Model::POSIX), [(false, true), (true, false)].into());
}

#[test]
fn journals_keep_the_order_of_names_and_posix_does_not() {
    let mut log = Log::new();
    for name in ["a", "b", "c"] {
        log.create(ROOT, name);
    }
    log.line("created");
    let subsets = |model| -> BTreeSet<String> {
        let names = |state: &State| {
            ["a", "b", "c"]
                .iter()
                .filter(|name| state.image.read(name).is_some())
                .copied()
                .collect()
        };
        all(&log, model).iter().map(names).collect()
    };
    for model in &ALL[1..] {
        assert_eq!(subsets(*model), set(&["", "a", "ab", "abc"]), "{model}");
    }
    assert_eq!(subsets(Model::POSIX), set(&["", "a", "ab", "abc", "ac", "b", "bc", "c"]));
}

#[test]
fn a_sync_of_one_file_brings_earlier_names_only_with_a_journal() {
    let mut log = Log::new();
    log.create(ROOT, "a");
    let file = log.create(ROOT, "b");
    log.write(file, 0, b"b");
    log.sync(file);
    log.line("synced");
    assert_eq!(contents(&log, Model::Ext4, "a", 1), set(&[""]));
    assert_eq!(contents(&log, Model::Xfs, "a", 1), set(&[""]));
    // btrfs logs the file and its names, nothing else.
    assert_eq!(contents(&log, Model::Btrfs, "a", 1), set(&["", "-"]));
    assert_eq!(contents(&log, Model::POSIX, "a", 1), set(&["", "-"]));
}

#[test]
fn old_bytes_are_torn_by_sectors_and_new_blocks_are_not() {
    let rewritten = |syncs| {
        let mut log = Log::new();
        let file = log.create(ROOT, "f");
        log.write(file, 0, &[b'a'; 1024]);
        if syncs {
            log.sync(file);
            log.sync(ROOT);
        }
        log.line("first");
        log.write(file, 0, &[b'b'; 1024]);
        log
    };
    let torn = ["a*1024", "b*1024", "a*512 b*512", "b*512 a*512"];
    for model in [Model::Ext4, Model::Xfs] {
        assert_eq!(contents(&rewritten(true), model, "f", 1), set(&torn), "{model}");
    }
    assert_eq!(contents(&rewritten(true), Model::Btrfs, "f", 1), set(&torn[..2]));
    let unsynced = contents(&rewritten(false), Model::Xfs, "f", 1);
    // A new block is written from memory: with each of its sectors old or new, since the second write may come in between.
    assert_eq!(unsynced, set(&[&["-", ""], &torn[..]].concat()));
}

#[test]
fn an_append_within_a_block_shows_its_size_first_on_ext4_only() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, b"a");
    log.sync(file);
    log.sync(ROOT);
    log.begin();
    log.write(file, 1, b"b");
    for (model, expected) in [
        (Model::Ext4, set(&["a", "a0", "ab"])),
        (Model::OrderedExt4, set(&["a", "a0", "ab"])),
        (Model::Xfs, set(&["a", "ab"])),
        (Model::Btrfs, set(&["a", "ab"])),
    ] {
        assert_eq!(contents(&log, model, "f", 0), expected, "{model}");
    }
}

/// redb 2 grew its file and wrote a page in the old part: its panic needs the page without the new size. A model in
/// which bytes wait for every earlier change of the size hides that.
#[test]
fn bytes_do_not_wait_for_a_change_of_the_size_elsewhere() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, b"a");
    log.begin();
    log.resize(file, 3);
    log.write(file, 0, b"b");
    for model in ALL {
        let shown = contents(&log, model, "f", 0);
        // btrfs writes them elsewhere, and refers to them in the transaction of the size or a later one.
        assert_eq!(shown.contains("b"), model != Model::Btrfs, "{model}: {shown:?}");
        assert!(shown.contains("a00") || shown.contains("a0*2"), "{model}: {shown:?}");
    }
}

/// A file without content, then a name and a byte in the file.
#[test]
fn a_size_comes_after_earlier_names_except_by_posix() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.begin();
    log.create(ROOT, "a");
    log.write(file, 0, b"x");
    for model in ALL {
        let has_gap = |state: State| {
            state.image.read("f").is_some_and(|content| !content.is_empty())
                && state.image.read("a").is_none()
        };
        assert_eq!(all(&log, model).into_iter().any(has_gap), model == Model::POSIX, "{model}");
    }
}

#[test]
fn a_sync_of_a_file_does_not_bring_later_names() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, b"x");
    log.create(ROOT, "later");
    log.sync(file);
    log.line("synced");
    for model in ALL {
        // Its blocks may have been allocated and committed before the name was made.
        assert_eq!(contents(&log, model, "later", 1), set(&["", "-"]), "{model}");
    }
}

#[test]
fn a_sync_of_any_directory_brings_all_names_on_ext4_only() {
    let mut log = Log::new();
    let directory = log.make_directory(ROOT, "d");
    log.begin();
    log.create(ROOT, "f");
    log.sync(directory);
    log.line("synced");
    for model in ALL {
        let expected =
            if model.to_string().starts_with("ext4") { set(&[""]) } else { set(&["", "-"]) };
        assert_eq!(contents(&log, model, "f", 1), expected, "{model}");
    }
}

#[test]
fn data_of_a_file_include_its_names_on_xfs_and_btrfs() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.begin();
    log.link(ROOT, "g", file);
    log.sync_data(file);
    log.line("synced");
    for model in ALL {
        let is_all = matches!(model, Model::Xfs | Model::Btrfs);
        let expected = if is_all { set(&[""]) } else { set(&["", "-"]) };
        assert_eq!(contents(&log, model, "g", 1), expected, "{model}");
    }
}

#[test]
fn bytes_in_the_block_that_is_cut_do_not_wait_for_the_cut() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, b"aaa");
    log.begin();
    log.resize(file, 2);
    log.write(file, 2, b"bb");
    for model in [Model::Ext4, Model::Xfs] {
        let shown = contents(&log, model, "f", 0);
        assert!(shown.contains("a*2 b"), "{model}: {shown:?}");
    }
}

#[test]
fn on_btrfs_any_block_that_is_written_brings_the_size() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.begin();
    log.write(file, 0, &[b'a'; 8192]);
    let shown = contents(&log, Model::Btrfs, "f", 0);
    assert!(shown.contains("0*4096 a*4096"), "{shown:?}");
    assert!(shown.contains("a*4096 0*4096"), "{shown:?}");
    assert!(!shown.contains("0*8192"), "{shown:?}");
}

/// What git does with `core.fsyncMethod=batch`: files are written back, then the sync of a new file covers all.
#[test]
fn what_was_written_back_is_durable_with_the_next_sync_on_ext4_and_xfs() {
    for model in ALL {
        let mut log = Log::new();
        let old = log.create(ROOT, "old");
        log.write(old, 0, b"a");
        log.begin();
        let new = log.create(ROOT, "new");
        log.write(new, 0, b"b");
        log.write(old, 0, b"b");
        for file in [new, old] {
            let operation = Operation::WriteBack { file, at: 0, len: 1, waits: true };
            log.add(operation, 0, "sync_file_range", 0, None);
        }
        let other = log.create(ROOT, "other");
        log.sync(other);
        log.line("synced");
        let is_durable = matches!(model, Model::Ext4 | Model::OrderedExt4 | Model::Xfs);
        for name in ["new", "old"] {
            let shown = contents(&log, model, name, 1);
            assert_eq!(shown == set(&["b"]), is_durable, "{model} {name}: {shown:?}");
        }
    }
}

/// Thread 1 syncs; meanwhile thread 2 writes and prints.
#[test]
fn a_sync_makes_durable_what_there_was_at_its_begin_and_only_at_its_end() {
    for model in ALL {
        let mut log = Log::new();
        let file = log.create(ROOT, "f");
        log.sync(file);
        log.sync(ROOT);
        log.begin();
        log.write(file, 0, b"a");
        let part = Synced::All;
        log.add(Operation::Begin { object: Some(file), part }, 7, "fsync", 1, None);
        log.line("during");
        log.write(file, 0, b"b");
        log.add(Operation::Sync { object: file, part }, 7, "fsync", 1, None);
        log.line("after");
        let during = contents(&log, model, "f", 1);
        assert!(during.contains(""), "{model}: {during:?}");
        assert_eq!(contents(&log, model, "f", 2), set(&["a", "b"]), "{model}");
    }
}

#[test]
fn bytes_behind_a_cut_wait_for_it() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, &[b'a'; 8192]);
    log.begin();
    log.resize(file, 0);
    log.write(file, 4096, &[b'b'; 4096]);
    for model in ALL {
        let shown = contents(&log, model, "f", 0);
        assert!(!shown.contains("a*4096 b*4096"), "{model}: {shown:?}");
        assert!(shown.contains("0*4096 b*4096"), "{model}: {shown:?}");
    }
}

#[test]
fn a_size_that_is_cut_may_precede_the_bytes_of_a_delayed_block_on_ext4() {
    let mut log = Log::new();
    log.begin();
    let file = log.create(ROOT, "f");
    log.write(file, 0, &[b'a'; 4096]);
    log.resize(file, 720);
    let other = log.create(ROOT, "g");
    log.sync(other);
    log.line("g");
    assert_eq!(contents(&log, Model::Ext4, "f", 1), set(&["0*720", "a*720"]));
    // The cut waits for the bytes.
    assert_eq!(contents(&log, Model::Xfs, "f", 1), set(&["a*720"]));
}

#[test]
fn the_zeros_behind_a_cut_are_torn_by_sectors() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.write(file, 0, &[b'a'; 2048]);
    log.begin();
    log.resize(file, 1024);
    for model in [Model::Ext4, Model::Xfs] {
        let found = contents(&log, model, "f", 0);
        let zeros = ["a*1536 0*512", "a*1024 0*512 a*512", "a*1024 0*1024"];
        assert_eq!(found, set(&[&["a*2048", "a*1024"], &zeros[..]].concat()), "{model}");
    }
}

#[test]
fn a_sync_on_btrfs_may_bring_a_rename_in_a_logged_directory_without_earlier_names() {
    let mut log = Log::new();
    let old = log.create(ROOT, "old");
    log.begin();
    log.sync(ROOT);
    log.create(ROOT, "new");
    log.rename((ROOT, "old"), (ROOT, "moved"));
    let synced = log.create(ROOT, "synced");
    let has_gap = |log: &Log| {
        all(log, Model::Btrfs)
            .iter()
            .any(|state| state.image.read("moved").is_some() && state.image.read("new").is_none())
    };
    assert!(!has_gap(&log), "without a sync the transaction has all names");
    log.sync(synced);
    assert!(has_gap(&log));
    log.sync(old);
    log.line("old");
    assert_eq!(contents(&log, Model::Btrfs, "moved", 1), set(&[""]));
}

/// Returns which of two names remain after a file was written, synced and renamed, another one removed and a third synced.
/// `extra` happens before the rename, or with `is_early` before the sync of the renamed file.
fn renamed_then_removed(is_early: bool, extra: impl Fn(&mut Log, Object)) -> BTreeSet<String> {
    let mut log = Log::new();
    let removed = log.create(ROOT, "removed");
    let other = log.create(ROOT, "other");
    log.begin();
    log.sync(ROOT);
    let new = log.create(ROOT, "new");
    log.write(new, 0, b"n");
    if is_early {
        extra(&mut log, removed);
    }
    log.sync(new);
    if !is_early {
        extra(&mut log, removed);
    }
    log.rename((ROOT, "new"), (ROOT, "moved"));
    log.remove(ROOT, "removed");
    log.write(other, 0, b"o");
    log.sync(other);
    log.line("end");
    let states = all(&log, Model::Btrfs).into_iter().filter(|state| state.lines == 1);
    let names = |state: State| {
        let has = |name: &&str| state.image.read(name).is_some();
        ["moved", "removed"].into_iter().filter(has).collect::<Vec<_>>().join(" ")
    };
    states.map(names).collect()
}

#[test]
fn the_log_of_btrfs_has_the_rename_of_a_synced_file_before_a_later_removal() {
    // Linux 6.18, cut after the last sync: `moved` and not `removed`. The sync writes the whole log.
    let ordered = set(&["moved", "moved removed", "removed"]);
    assert_eq!(renamed_then_removed(false, |_, _| {}), ordered);
    // If the kernel commits after the sync of the file, the log has only what a later sync brought into it. If it commits
    // after the change of the file, the sync of the file may find nothing to log.
    let change = |log: &mut Log, removed| {
        log.write(removed, 0, b"r");
        log.sync(removed);
    };
    let any = set(&["", "moved", "moved removed", "removed"]);
    assert_eq!(renamed_then_removed(false, change), any);
    assert_eq!(renamed_then_removed(true, change), any);
}

#[test]
fn older_bytes_do_not_return_after_a_durable_cut() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    let other = log.create(ROOT, "other");
    log.begin();
    log.write(file, 0, &[b'a'; 8192]);
    log.resize(file, 0);
    // Makes the cut durable through the journal, but not the bytes before it.
    log.write(other, 0, b"x");
    log.sync(other);
    log.resize(file, 8192);
    log.line("grown");
    for model in ALL {
        let shown = contents(&log, model, "f", 1);
        assert!(
            !shown.iter().any(|content| content.contains("a*8192"))
                || model == Model::Btrfs
                || model == Model::POSIX,
            "{model}: {shown:?}"
        );
        assert!(shown.contains("0*8192"), "{model}: {shown:?}");
    }
}

#[test]
fn choices_are_read_as_they_are_printed() {
    for text in ["7:12345:all-but-one", "7:lose:3+15", "0:0:none"] {
        assert_eq!(text.parse::<lose_lines_states::Choice>().unwrap().to_string(), text);
    }
    for text in ["posix", "posix+512+garbage+steps", "ext4", "ext4-ordered", "xfs", "btrfs"] {
        assert_eq!(text.parse::<Model>().unwrap().to_string(), text);
    }
    assert!("posix+fast".parse::<Model>().is_err() && "ntfs".parse::<Model>().is_err());
    assert!("7:lose:x".parse::<lose_lines_states::Choice>().is_err());
}

#[test]
fn equal_states_come_once_and_coverage_counts_what_was_lost() {
    let log = replaced(true, false);
    let mut states = States::new(&log, Model::Ext4).systematic();
    let shown: Vec<State> = states.by_ref().collect();
    let keys: BTreeSet<_> = shown
        .iter()
        .map(|state| (state.lines, state.image.read("f"), state.image.read("f.new")))
        .collect();
    assert_eq!(keys.len(), shown.len());
    let coverage = states.coverage();
    // Places: before each of creation, write, sync, rename, line, and at the end. Synced: creation and write.
    assert_eq!((coverage.places, coverage.synced, coverage.never_lost), (6, 2, 0));
}

#[test]
fn a_log_is_read_as_it_was_written() {
    let mut log = replaced(true, true);
    log.resize(Object::ROOT, 3);
    log.line("a\nb\0c");
    let mut stored = Vec::new();
    log.save(&mut stored).unwrap();
    let read = Log::load(&*stored).unwrap();
    assert_eq!((&read.records, read.begun, &read.places), (&log.records, log.begun, &log.places));
    for len in [0, 20, stored.len() - 3] {
        assert!(Log::load(&stored[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_directory_is_a_member_if_and_only_if_the_model_can_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (replaced(true, true), replaced(false, false));
    for model in ALL {
        for state in all(&right, model) {
            let path = folder.path().join("state");
            state.image.build(&path).unwrap();
            let member = lose_lines_states::member(&right, model, &path, state.lines).unwrap();
            assert_eq!(member, Ok(()), "{model} {}", state.choice);
        }
        // Without any sync the line comes with the old content; the right program cannot leave that.
        let lost = Kept::Chosen { seed: 0, keep: Keep::None };
        let cut = lose_lines_states::Cut::new(&wrong, model, wrong.records.len());
        let lost = cut.losing(&cut.lost(&lost));
        let path = folder.path().join("lost");
        lost.image.build(&path).unwrap();
        assert!(lose_lines_states::member(&wrong, model, &path, 1).unwrap().is_ok(), "{model}");
        assert!(lose_lines_states::member(&right, model, &path, 1).unwrap().is_err(), "{model}");
    }
}

#[test]
fn a_loss_is_explained_with_its_place_and_the_missing_sync() {
    let log = replaced(true, false);
    let cut = lose_lines_states::Cut::new(&log, Model::Ext4, log.records.len());
    let lost = cut.lost(&Kept::Chosen { seed: 0, keep: Keep::None });
    let lost = cut.operations(&lost, |place| log.places.get(place).cloned());
    let [one] = &lost[..] else { panic!("{lost:?}") };
    assert!(one.what.starts_with("the rename of `f.new` to `f` ("), "{}", one.what);
    assert!(one.what.contains("models.rs:"), "{}", one.what);
    assert_eq!(one.why, "was not followed by an fsync of its directory");
}

#[test]
fn a_name_that_an_fsync_within_one_tick_leaves_behind_depends_on_the_clock() {
    let log = |syncs_data: bool| {
        let mut log = Log::new();
        log.create(ROOT, "a");
        let file = log.create(ROOT, "g");
        log.write(file, 0, b"old");
        log.begin();
        log.rename((ROOT, "a"), (ROOT, "b"));
        log.write(file, 0, b"new");
        if syncs_data {
            log.sync_data(file);
        } else {
            log.sync(file);
        }
        log.line("ack");
        log
    };
    let lost = |log: &Log| {
        let states = all(log, Model::Ext4).into_iter().filter(|state| state.lines == 1);
        let lost = states.filter(|state| state.image.read("b").is_none());
        lost.map(|state| state.depends_on_clock).collect::<BTreeSet<_>>()
    };
    assert_eq!(lost(&log(false)), BTreeSet::from([true]));
    // A new time alone is no reason for fdatasync to commit.
    assert_eq!(lost(&log(true)), BTreeSet::from([false]));
}

#[test]
fn a_size_that_survives_its_bytes_is_called_a_size() {
    let mut log = Log::new();
    let file = log.create(ROOT, "log");
    log.write(file, 0, b"line");
    let cut = lose_lines_states::Cut::new(&log, Model::Ext4, log.records.len());
    let is_size = |one: &u32| cut.keeping(&[*one]).image.read("log") == Some(vec![0; 4]);
    let all = cut.kept(&Kept::Chosen { seed: 0, keep: Keep::All });
    let size: Vec<u32> = all.into_iter().filter(is_size).collect();
    let words = cut.survivors(&size, |_place| None);
    assert!(words[0].what.starts_with("the size after the write of 4 bytes"), "{words:?}");
}

#[test]
fn the_states_after_each_line_and_at_the_end_are_always_shown() {
    let mut log = Log::new();
    let file = log.create(ROOT, "f");
    log.begin();
    for number in 0..300_u64 {
        log.write(file, number * 4096, b"x");
        if number == 150 {
            log.line("early");
        }
    }
    log.line("last");
    for seed in 0..4 {
        let lines: Vec<_> = States::new(&log, Model::Ext4)
            .count(1)
            .seed(seed)
            .map(|state| (state.lines, state.lost))
            .collect();
        // Nothing was synced, so the least that is left is nothing.
        let has = |lines_then, is_whole: bool| {
            lines.iter().any(|(lines, lost)| *lines == lines_then && (*lost == 0) == is_whole)
        };
        assert!(has(1, false) && has(2, false) && has(2, true), "seed {seed}: {lines:?}");
    }
}
