//! One command rewrites every golden: the machine code, and the files that tests compare, and write if `BLESS` is set.

use anyhow::Result;
use xtask::command::Cmd;
use xtask::host::Host;

use crate::asm;
use crate::run::Run;

/// The files with a test that writes goldens, and cargo's words for it.
const GOLDENS: [(&str, &str); 4] = [
    ("cli/tests/command/outcomes.rs", "-p cachemaint-cli --test command outcomes::"),
    ("xtask/src/figures.rs", "-p xtask --bin xtask page_shows"),
    ("xtask/tests/figures.rs", "-p xtask --test figures"),
    ("xtask/tests/interface.rs", "-p xtask --test interface"),
];

/// Rewrites all of them.
pub(crate) fn bless(host: &Host, run: &mut Run) -> Result<()> {
    asm::bless(host, run)?;
    GOLDENS.into_iter().try_for_each(|(_file, tests)| {
        run.tests(&Cmd::cargo("test").words(tests).env("BLESS", "1")).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::GOLDENS;
    use std::path::Path;
    use xtask::command::Cmd;

    #[test]
    fn every_test_that_writes_a_golden_is_reached() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let reading = format!("var_os({:?})", "BLESS");
        let found = Cmd::new("git")
            .words("-c safe.directory=* grep --untracked --files-with-matches --fixed-strings")
            .args([reading.as_str(), "--", "*.rs"])
            .folder(tree)
            .read()
            .unwrap();
        let listed = GOLDENS.map(|(file, _)| file);
        assert_eq!(found.lines().collect::<Vec<_>>(), listed);
    }
}
