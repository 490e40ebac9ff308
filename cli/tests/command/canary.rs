//! `cachemaint canary`.

use crate::{Ran, cachemaint, json, ran, stderr, stdout, unwrapped};
use std::path::Path;

fn canary(command: &str, directory: &Path) -> Ran {
    ran(cachemaint().args(["canary", command]).arg(directory), "")
}

#[test]
fn a_canary_is_planted_once_and_proves_nothing_in_its_own_boot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let missing = stderr(&canary("show", path).code(3));
    assert!(missing.contains("cachemaint-canary: there is no canary; plant one"), "{missing}");
    let planted =
        json(&ran(cachemaint().args(["canary", "plant", "--json"]).arg(path), "").success());
    assert_eq!(
        (&planted["state"], &planted["persisted"]["bytes"]),
        (&"same_boot".into(), &16_384.into())
    );
    let text = stdout(&canary("show", path).success());
    assert!(unwrapped(&text).contains("nothing is proved yet"), "{text}");
    let again = canary("plant", path).code(3);
    let error = stderr(&again);
    assert!(error.contains("cachemaint-canary: already exists"), "{error}");
    assert!(stdout(&again).is_empty());
    canary("plant", &path.join("cachemaint-canary")).code(3);
}

#[test]
fn a_damaged_canary_is_shown_and_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    canary("plant", directory.path()).success();
    let file = directory.path().join("cachemaint-canary");
    let mut bytes = std::fs::read(&file).unwrap();
    // The persisted pattern begins at 65536; a word has 8 bytes.
    bytes[65_544] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let text = unwrapped(&stdout(&canary("show", directory.path()).code(1)));
    let lost = "8 of 16384 bytes ARE LOST OR DAMAGED (8 other bytes; the first at offset 65544)";
    assert!(text.contains(lost), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    bytes.fill(0);
    std::fs::write(&file, bytes).unwrap();
    assert!(stderr(&canary("show", directory.path()).code(1)).contains("has a damaged header"));
}
