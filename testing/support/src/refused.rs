//! CPUs, real or emulated, that refuse cache maintenance.

use cachemaint::cache::Missing;
use cachemaint::{Cache, Point};

/// Returns the handle of this machine. If the CPU refuses it, asserts that no way leads to a handle, and that each says
/// the same reason.
#[must_use]
pub fn host_or_refused() -> Option<Cache> {
    let why = match Cache::host() {
        Ok(cache) => return Some(cache),
        Err(why) => why,
    };
    let expected = [Missing::Operation, Missing::Instruction, Missing::Permission];
    assert!(expected.contains(&why.missing), "{why}");
    for &point in Point::ALL {
        assert_eq!(Cache::builder().point(point).build(), Err(why), "{point}");
    }
    let accepting = Cache::builder().point(Point::Persistence).accept_coherency_as_persistence();
    assert_eq!(accepting.build(), Err(why));
    None
}
