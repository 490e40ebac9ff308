//! Numbers and lists in documents that the tree knows: each is compared with its source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use xtask::command::Cmd;

fn read(path: &str) -> String {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(tree.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the paths in the tree that match a pattern.
fn listed(pattern: &str) -> Vec<String> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let git = Cmd::new("git")
        .words("-c safe.directory=* ls-files --cached --others --exclude-standard --");
    git.arg(pattern).folder(tree).read().unwrap().lines().map(str::to_owned).collect()
}

/// Returns what follows each `start` in a text, up to `end`.
fn between<'a>(text: &'a str, start: &str, end: char) -> Vec<&'a str> {
    text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap_or_default()).collect()
}

/// Returns the names in the first column of a table below a heading.
fn names(page: &str, heading: &str) -> BTreeSet<String> {
    let text = read(page);
    let section = text.split_once(heading).unwrap_or_else(|| panic!("{page}: no {heading}")).1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn versions_are_those_of_the_sources() {
    let rust = between(&read("Cargo.toml"), "rust-version = \"", '"').concat();
    for page in ["README.md", "docs/contracts.md"] {
        assert!(read(page).contains(&format!("Rust {rust}")), "{page}: Rust {rust}");
    }
    let version = |path: &str, start: &str| between(&read(path), start, ',')[0].to_owned();
    let journal = version("crates/journal/src/geometry.rs", "magic::JOURNAL, version: ");
    let recorder = version("crates/recorder/src/format/mod.rs", "magic::RECORDING, version: ");
    let store = between(&read("crates/store/src/format/mod.rs"), "VERSION: u32 = ", ';').concat();
    let formats = format!("Formats: journal {journal}, store {store}, recorder {recorder}.");
    assert!(read("docs/contracts.md").contains(&formats), "docs/contracts.md: {formats}");
}

#[test]
fn counts_are_those_of_the_sources() {
    let catalogue = "crates/device/tests/catalogue";
    let table = read(&format!("{catalogue}/README.md"));
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1).count();
    let drivers = ["receive", "send", "share"].map(|file| read(&format!("{catalogue}/{file}.rs")));
    let drivers: usize = drivers.iter().map(|text| text.matches("#[test]").count()).sum();
    let map = read("capi/libpmem/libpmem.map");
    let functions = map.lines().filter(|line| line.trim().starts_with("pmem_")).count();
    for (page, words) in [
        ("docs/evidence.md", format!("{rows} public bugs")),
        ("docs/evidence.md", format!("{drivers} drivers")),
        ("docs/device-model.md", format!("{rows} public bugs")),
        ("docs/libpmem.md", format!("{functions} functions")),
    ] {
        assert!(read(page).contains(&words), "{page}: {words}");
    }
}

#[test]
fn the_list_of_examples_is_complete() {
    let named = read("examples/Cargo.toml");
    let there = between(&named, "[[example]]\nname = \"", '"').into_iter().map(str::to_owned);
    let there: BTreeSet<_> = there.filter(|name| name != "guide").collect();
    assert_eq!(names("examples/README.md", "# Examples\n"), there);
}

#[test]
fn the_guide_shows_the_driver_in_the_image_of_a_cortex_m7() {
    let program = read("testing/lab/boards/src/cortex_m7.rs").replace("pub(crate) ", "");
    let (_, shown) = program.split_once("\n\n").unwrap();
    assert!(read("docs/drivers.md").contains(shown), "docs/drivers.md differs");
}

#[test]
fn each_page_of_the_guide_is_in_its_summary() {
    let summary = read("docs/SUMMARY.md");
    for page in listed("docs/*.md").iter().filter_map(|path| path.strip_prefix("docs/")) {
        assert!(page == "SUMMARY.md" || summary.contains(&format!("({page})")), "{page}");
    }
}

#[test]
fn each_lane_in_a_document_exists() {
    let list = read("testing/lab/LANES.md");
    let lanes = between(&list, "`", '`');
    let mut count = 0;
    for page in listed("docs/*.md") {
        let text = read(&page);
        let words = text.split(|letter: char| letter.is_whitespace() || letter == '`');
        let kinds = ["cpu/", "flush/", "machine/", "states/", "drive/"];
        for lane in words.filter(|word| kinds.iter().any(|kind| word.starts_with(kind))) {
            let is_there = lanes.iter().any(|known| *known == lane || known.starts_with(lane));
            assert!(is_there, "{page}: no lane is {lane}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} lanes were found");
}

#[test]
fn the_jobs_have_the_steps_that_contributing_names() {
    let jobs = read(".github/workflows/checks.yml");
    let steps: BTreeSet<_> =
        between(&jobs, "\"steps\": \"", '"').into_iter().flat_map(str::split_whitespace).collect();
    let ours: BTreeSet<_> =
        crate::CI.into_iter().flatten().map(|(name, ..)| *name).chain(["full"]).collect();
    let more: Vec<_> = steps.difference(&ours).copied().collect();
    let words = format!("cargo xtask {}", more.join(" "));
    assert!(read("CONTRIBUTING.md").contains(&words), "CONTRIBUTING.md: {words}");
}
