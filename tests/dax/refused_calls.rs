//! Each system call of a file is refused in turn, as by an old kernel and by the filter of a container.

use crate::{options, place};
use cachemaint::dax::{Error, PreadFile};
use cachemaint::medium::Readable as _;
use cachemaint_test_support::failing_calls::{CALLS, fail_calls};
use cachemaint_test_support::skip::skip;
use std::path::Path;
use std::thread;

const LEN: u64 = 128 << 10;

/// Uses a file in all ways, and finds the bytes in it that it has stored.
fn use_file(path: &Path) -> Result<(), Error> {
    let is_kept = |bytes: &[u8]| assert_eq!(bytes, b"kept", "after a success");
    let mut file = options().create_new(path, LEN)?;
    file.write(8, b"kept");
    file.persist(8..12)?;
    file.grow(2 * LEN)?;
    file.shrink(LEN)?;
    drop(file);
    let file = options().open_or_create(path, LEN)?;
    let mut bytes = [0; 4];
    file.read(8, &mut bytes)?;
    is_kept(&bytes);
    let view = options().view(path)?;
    view.read(8, &mut bytes)?;
    is_kept(&bytes);
    PreadFile::of(&view)?.read(8, &mut bytes)?;
    is_kept(&bytes);
    // Facts that are not to be had have their reason.
    drop((view.bad_blocks(), view.guarantee().advice));
    Ok(())
}

#[test]
fn a_refused_system_call_has_a_fallback_or_an_error_with_an_action() {
    let test = "a_refused_system_call_has_a_fallback_or_an_error_with_an_action";
    for (name, number, flags) in CALLS {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let (_directory, path) = place();
            let refused = || fail_calls(*number, *flags, errno).then(|| use_file(&path));
            let used = thread::scope(|scope| scope.spawn(refused).join().unwrap());
            let Some(used) = used else {
                return skip(test, "no filter of system calls is to be had");
            };
            let Err(error) = used else { continue };
            let text = error.to_string();
            let rest = text.strip_prefix(&format!("{}: ", path.display()));
            assert!(rest.is_some_and(|rest| rest.contains("; ")), "{name}, {errno}: {text}");
        }
    }
}
