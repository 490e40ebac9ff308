//! `cachemaint inspect`.

use cachemaint::medium::Granularity;
use cachemaint_inspect::survival::{Event, Stage, Survival};

use crate::{Ran, cachemaint, json, ran, skip, stderr, stdout, unwrapped};

fn inspect(arguments: &[&str]) -> Ran {
    ran(cachemaint().arg("inspect").args(arguments), "")
}

#[test]
fn a_file_of_an_ordinary_file_system_is_labelled_with_reason_and_evidence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"contents").unwrap();
    let text = stdout(&inspect(&[path.to_str().unwrap()]).success());
    for label in ["granularity", "because", "file system", "What survives", "Evidence"] {
        assert!(text.contains(label), "{label}: {text}");
    }
    assert!(text.contains("mmap(MAP_SHARED_VALIDATE | MAP_SYNC)"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), b"contents");
}

#[test]
fn a_directory_stands_for_a_new_file_in_it() {
    let directory = tempfile::tempdir().unwrap();
    inspect(&[directory.path().to_str().unwrap()]).success();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn the_json_says_what_the_text_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_string();
    let json = json(&inspect(&[&path, "--json"]).success());
    assert_eq!(json["schema"], 1);
    assert_eq!(json["path"], path.as_str());
    let reason = json["guarantee"]["reason"].as_str().unwrap();
    assert_eq!(json["guarantee"]["is_device_dax"], false);
    let shutdowns = &json["unsafe_shutdowns"];
    assert_ne!(shutdowns["count"].is_u64(), shutdowns["reason"].is_string(), "{shutdowns}");
    assert_eq!(json["survival"].as_array().unwrap().len(), 12, "4 events, 3 states of the bytes");
    let text = unwrapped(&stdout(&inspect(&[&path]).success()));
    assert!(text.contains(&unwrapped(reason)), "{reason} in {text}");
}

/// Each line of the text has the same facts as the JSON, and together they are all of the file.
#[test]
fn extents_are_shown_if_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    let path = path.to_str().unwrap();
    assert!(json(&inspect(&[path, "--json"]).success())["placement"].is_null());
    assert!(!stdout(&inspect(&[path]).success()).contains("Extents"));

    let asked = inspect(&[path, "--extents", "--json"]);
    if asked.0.status.code() == Some(3) {
        let error = stderr(&asked);
        assert!(error.contains("the place of its bytes is unknown: "), "{error}");
        let name = "extents_are_shown_if_they_are_asked_for";
        skip(name, format_args!("the place of the bytes is unknown: {}", error.trim()));
        return;
    }
    let placement = &json(&asked.success())["placement"];
    let text = stdout(&inspect(&[path, "--extents"]).success());
    let mut behind = 0;
    for extent in placement["extents"].as_array().unwrap() {
        let [offset, on_device, len] =
            ["offset", "on_device", "len"].map(|name| extent[name].as_u64().unwrap());
        assert_eq!(offset, behind, "{placement}");
        behind += len;
        let line =
            format!("  {offset}-{}  {on_device}-{}  ", offset + len - 1, on_device + len - 1);
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert_eq!(behind, 100_000, "{placement}");
    let base = &placement["base"];
    assert_ne!(base.is_u64(), base["reason"].is_string(), "{base}");

    let error = stderr(&inspect(&[directory.path().to_str().unwrap(), "--extents"]).code(3));
    assert!(error.contains("is a directory; name a file in it"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_with_its_path() {
    let refused = inspect(&["/no/such/file"]).code(3);
    let text = stderr(&refused);
    assert!(text.starts_with("cachemaint: /no/such/file: no such file"), "{text}");
    assert!(stdout(&refused).is_empty());
}

/// Only the magic of a format shows that a file shorter than the roots of 16 KiB was truncated.
#[test]
fn a_short_file_is_damaged_only_if_a_format_is_recognized_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = path.to_str().unwrap();
    for content in [&[0; 8000][..], b"\0\0\0\0\0\0\0\0PK", b"c"] {
        std::fs::write(&path, content).unwrap();
        assert!(stdout(&inspect(&[file]).success()).contains("What survives"), "{content:?}");
        for reading in [["journal", "verify"], ["store", "verify"], ["recording", "print"]] {
            ran(cachemaint().args(reading).arg(&path), "").code(3);
        }
    }
    // A first root is at offset 4096, behind zeros.
    for (magic, name) in
        [("cmjournl", "journal"), ("cm-store", "store"), ("CMtRace\x1a", "recording")]
    {
        std::fs::write(&path, [&[0; 4096], magic.as_bytes()].concat()).unwrap();
        let error = stderr(&inspect(&[file]).code(1));
        assert!(error.contains(&format!("the {name} needs 16384 bytes, but only 4104")), "{error}");
    }
}

/// A filter that gets nothing takes that for a yes (jq 1.6, `-e`).
#[test]
fn a_command_that_fails_has_the_error_in_its_json() {
    let missing = inspect(&["/no/such/file", "--json"]).code(3);
    let message = json(&missing)["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(stderr(&missing), format!("cachemaint: {message}\n"));
    assert_eq!(stdout(&missing).lines().count(), 1, "also behind documents of a line each");
    let misspelt = inspect(&["/", "--json", "--no-such-option"]).code(2);
    let message = &json(&misspelt)["error"]["message"];
    assert!(message.as_str().unwrap().contains("--no-such-option"), "{message}");
    let below = ran(cachemaint().args(["journal", "read", "--json", "/no/such/file"]), "").code(3);
    assert!(json(&below)["error"]["message"].is_string());
    let unknown = ran(cachemaint().args(["store", "no-such-command", "--json"]), "").code(2);
    assert!(json(&unknown)["error"]["message"].is_string());
}

/// No file of /proc stores anything.
#[cfg(target_os = "linux")]
#[test]
fn a_gate_refuses_a_file_of_the_kernel() {
    let error = stderr(&inspect(&["/proc/version", "--require", "page"]).code(3));
    assert!(error.contains("is a file of proc"), "{error}");
}

/// On any file system, pages are persisted and outlive the process, and no file is better than its own guarantee.
#[test]
fn a_gate_passes_what_the_guarantee_promises_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let passed = ["--require", "page", "--survives", "process-crash"];
    let document = json(&inspect(&[&[path, "--json"][..], &passed].concat()).success());
    assert_eq!(document["refused"], serde_json::json!([]));
    assert!(json(&inspect(&[path, "--json"]).success())["refused"].is_null());

    let guarantee = cachemaint_inspect::FileReport::at(path).unwrap();
    let by_pages = matches!(guarantee.granularity, Granularity::Page(_));
    for (event, demand) in [
        (Event::Kexec, "kexec"),
        (Event::WarmReboot, "warm-reboot"),
        (Event::PowerLoss, "power-loss"),
    ] {
        let survives = guarantee.survives(Stage::Persisted, event).answer == Survival::Yes;
        let asked = inspect(&[path, "--survives", demand]);
        let asked = asked.code(i32::from(!survives));
        assert_eq!(stderr(&asked).is_empty(), survives, "{}", stderr(&asked));
        // A condition is accepted by its code, and by no other.
        if let Survival::If(condition) = guarantee.survives(Stage::Persisted, event).answer {
            let remedy = format!("add `--accept {}`", condition.code);
            assert!(stderr(&asked).contains(&remedy), "{}", stderr(&asked));
            let accepting = |code| inspect(&[path, "--survives", demand, "--accept", code]);
            accepting(condition.code).success();
            accepting("same_place").code(1);
        }
    }
    let unknown =
        stderr(&inspect(&[path, "--survives", "kexec", "--accept", "no_such_code"]).code(2));
    assert!(unknown.contains("drive_flushes, "), "{unknown}");
    let asked = inspect(&[path, "--require", "line", "--json"]).code(i32::from(by_pages));
    assert_eq!(json(&asked)["refused"].as_array().unwrap().len(), usize::from(by_pages));
    assert_eq!(stderr(&asked).contains(&guarantee.reason), by_pages, "{}", stderr(&asked));
    inspect(&[path, "--survives", "fire"]).code(2);
}

#[test]
fn the_command_line_is_explained() {
    let help = stdout(&ran(cachemaint().arg("--help"), "").success());
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    let expected = [
        "caps",
        "inspect",
        "journal",
        "store",
        "recording",
        "guard",
        "canary",
        "bench",
        "demo",
        "help",
    ];
    assert_eq!(names, expected);
    assert!(help.find("Examples:").unwrap() < help.find("Commands:").unwrap());
    let version = stdout(&ran(cachemaint().arg("--version"), "").success());
    assert_eq!(version, format!("cachemaint {}\n", env!("CARGO_PKG_VERSION")));
    for below in [&["store", "save", "--version"][..], &["journal", "-V"]] {
        let version = stdout(&ran(cachemaint().args(below), "").success());
        assert!(version.ends_with(concat!(" ", env!("CARGO_PKG_VERSION"), "\n")), "{version}");
    }
    for row in ["1    the answer is no: damaged", "3    I/O or environment failure"] {
        assert!(help.contains(row), "{help}");
    }
    ran(&mut cachemaint(), "").code(2);
    inspect(&[]).code(2);
}

#[cfg(feature = "generate")]
#[test]
fn a_package_has_man_pages_completions_and_the_schema() {
    let directory = tempfile::tempdir().unwrap();
    ran(cachemaint().arg("generate").arg(directory.path()), "").success();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let page = read("cachemaint.1");
    assert!(page.contains("the answer is no: damaged"), "{page}");
    assert!(read("cachemaint-journal-append.1").contains("positions"));
    let mut names =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().contains("help")), "no page of `help`");
    for name in ["cachemaint.bash", "cachemaint.fish", "_cachemaint"] {
        assert!(read(name).contains("blob-version"), "{name}");
    }
    assert_eq!(read("schema.json"), include_str!("../../schema.json"));
}

#[test]
fn colours_are_chosen() {
    let coloured = |arguments: &[&str]| {
        stdout(&inspect(&[&["/tmp"][..], arguments].concat()).success()).contains('\u{1b}')
    };
    assert!(coloured(&["--color", "always"]));
    assert!(!coloured(&["--color", "never"]) && !coloured(&[]));
}
