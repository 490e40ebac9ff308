//! The shell commands of the guide and of the README, as a reader types them. A block that begins with a comment `# Needs …`
//! is left out: it needs root, other hardware or a reboot. One that needs a checkout takes minutes, and has a test of its own,
//! as the README has.

use crate::{ran, stderr};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const README: &str = "README.md";

#[test]
fn the_commands_of_the_guide_succeed() {
    let is_quick =
        |page: &Path, block: &str| !page.ends_with(README) && !block.starts_with("# Needs");
    for (page, commands) in pages(is_quick) {
        let directory = tempfile::tempdir().unwrap();
        let command = Path::new(env!("CARGO_BIN_EXE_cachemaint")).parent().unwrap();
        succeed(&page, shell(&commands, command).current_dir(&directory));
    }
}

#[test]
#[ignore = "builds for minutes, and downloads an emulator"]
fn the_commands_of_a_checkout_succeed() {
    let homes = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];
    let real = env::home_dir().unwrap();
    // Programs are installed there, in place of the reader's own home.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let is_long = |page: &Path, block: &str| {
        page.ends_with(README) || block.starts_with("# Needs a checkout")
    };
    for (page, commands) in pages(is_long) {
        let mut shell = shell(&commands, &home.join("bin"));
        for (name, folder) in homes.into_iter().filter(|(name, _)| env::var_os(name).is_none()) {
            shell.env(name, real.join(folder));
        }
        shell.env("HOME", &home).env("CARGO_INSTALL_ROOT", &home).current_dir(CHECKOUT);
        succeed(&page, &mut shell);
    }
}

/// Returns the pages that have such blocks, with the commands of all these blocks.
fn pages(is_taken: impl Fn(&Path, &str) -> bool) -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(Path::new(CHECKOUT).join("docs")).unwrap();
    let files = files.map(|file| file.unwrap().path()).chain([Path::new(CHECKOUT).join(README)]);
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let blocks =
            text.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
        let taken: Vec<_> = blocks.filter(|block| is_taken(&path, block)).collect();
        (path, taken.join("\n"))
    });
    let pages: Vec<_> = pages.filter(|(_, commands)| !commands.is_empty()).collect();
    assert!(!pages.is_empty(), "no page has such a block");
    pages
}

/// Returns a shell that ends at the first command that fails. It finds the programs of a folder first.
fn shell(commands: &str, programs: &Path) -> Command {
    let others = env::var_os("PATH").unwrap();
    let path = [programs.to_owned()].into_iter().chain(env::split_paths(&others));
    let mut shell = Command::new("bash");
    shell.args(["-e", "-u", "-o", "pipefail", "-c", commands]);
    shell.env("PATH", env::join_paths(path).unwrap());
    shell
}

#[track_caller]
fn succeed(page: &Path, shell: &mut Command) {
    let ran = ran(shell, "");
    assert!(ran.0.status.success(), "{}: {}", page.display(), stderr(&ran));
}
