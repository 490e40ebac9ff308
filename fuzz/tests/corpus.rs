//! The corpora, replayed without libFuzzer.

#![expect(clippy::unwrap_used, reason = "a failure here is a finding")]

use cachemaint_fuzz::TARGETS;
use std::fs;
use std::path::Path;

#[test]
fn no_input_of_the_corpora_breaks_a_format() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{} has no inputs", folder.display());
        for path in files {
            // Shown if the test fails.
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
        }
    }
}
