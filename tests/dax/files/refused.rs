//! Calls that the system refuses for a reason that its error number alone does not tell.

use super::{LEN, refusal};
use crate::options;
use cachemaint::dax::{ErrorKind, probe};
use cachemaint_test_support::own_mount::with_mount;
use std::fs;

#[test]
fn a_file_system_without_free_inodes_is_named_although_it_has_space() {
    let name = "a_file_system_without_free_inodes_is_named_although_it_has_space";
    with_mount(name, "tmpfs", c"size=8m,nr_inodes=4", |directory| {
        let mut number = 0;
        while fs::File::create(directory.join(number.to_string())).is_ok() {
            number += 1;
        }
        let path = directory.join("new");
        let error = options().create_new(&path, LEN).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        assert!(refusal(&path, Err::<(), _>(error)).contains("no free inode"));
        let text = refusal(directory, probe(directory));
        assert!(text.contains("df -i"), "{text}");
    });
}
