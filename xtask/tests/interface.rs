//! The public interface: the items that a user of the library can name on Linux, with every feature.
//!
//! `tests/interface.txt` lists them, so that a change is on purpose and its diff is reviewed. `cargo xtask bless` rewrites it. The
//! list is made from rustdoc's JSON, which changes with the compiler: another compiler than the one that the first line
//! names is not compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The packages, each with the file of its list.
const PACKAGES: [(&str, &str); 9] = [
    ("cachemaint", "tests/interface.txt"),
    ("cachemaint-boots", "crates/boots/tests/interface.txt"),
    ("cachemaint-device", "crates/device/tests/interface.txt"),
    ("cachemaint-inspect", "crates/inspect/tests/interface.txt"),
    ("cachemaint-journal", "crates/journal/tests/interface.txt"),
    ("cachemaint-platforms", "crates/platforms/tests/interface.txt"),
    ("cachemaint-store", "crates/store/tests/interface.txt"),
    ("cachemaint-recorder", "crates/recorder/tests/interface.txt"),
    ("cachemaint-sim", "crates/sim/tests/interface.txt"),
];

#[test]
fn the_public_items_are_those_that_were_reviewed() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let compiler = output(Command::new("rustc").arg("--version"))?;
    let first_line = format!("# {} for {TARGET}\n", compiler.trim());
    for (package, file) in PACKAGES {
        let golden = root.join(file);
        let reviewed = fs::read_to_string(&golden).unwrap_or_default();
        let is_blessing = std::env::var_os("BLESS").is_some();
        if !is_blessing && !reviewed.starts_with(&first_line) {
            println!("skipped: {file}: it was not made by this compiler: {}", compiler.trim());
            continue;
        }
        let text = first_line.clone() + &items(root, package)?;
        if is_blessing {
            fs::write(&golden, text)?;
        } else if text != reviewed {
            let [old, new] = [&reviewed, &text].map(|list| list.lines().collect::<Vec<_>>());
            let gone =
                old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
            let more =
                new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
            let changes: Vec<String> = gone.chain(more).collect();
            panic!("{file}: review, then `cargo xtask bless`:\n{}", changes.join("\n"));
        }
    }
    Ok(())
}

/// Returns the public items of a package, one a line.
fn items(root: &Path, package: &str) -> Result<String> {
    // The command would replace the documentation in the usual folder.
    let folder = root.join("target/interface");
    output(
        Command::new("cargo")
            .args(["rustdoc", "--lib", "--all-features", "--target", TARGET, "-p", package])
            .args(["--", "-Zunstable-options", "--output-format=json"])
            // The JSON is unstable; the variable permits it for this crate alone.
            .env("RUSTC_BOOTSTRAP", package.replace('-', "_"))
            .env("CARGO_TARGET_DIR", &folder)
            .current_dir(root),
    )?;
    let json = format!("{TARGET}/doc/{}.json", package.replace('-', "_"));
    let interface = public_api::Builder::from_rustdoc_json(folder.join(json))
        .omit_blanket_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    let mut lines: Vec<String> = interface.items().map(|item| format!("{item}\n")).collect();
    // An item of a trait is listed below its type, too.
    let mut seen = BTreeSet::new();
    lines.retain(|line| !is_usual(line) && seen.insert(line.clone()));
    Ok(lines.concat())
}

/// Returns true for an auto trait, unless threads cannot send or share the type.
fn is_usual(line: &str) -> bool {
    let is_auto =
        ["core::marker::", "core::panic::unwind_safe::"].iter().any(|path| line.contains(path));
    let is_unusual =
        ["!core::marker::Send", "!core::marker::Sync"].iter().any(|no| line.contains(no));
    line.starts_with("impl") && is_auto && !is_unusual
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
