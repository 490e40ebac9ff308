//! Pages with a media error, which `userfaultfd` makes.

use super::{load, numbered, page};
use crate::skip::skip;
use cachemaint::dax::{ErrorKind, FaultHandler};
use core::sync::atomic::Ordering::Relaxed;

/// `userfaultfd(2)`, by which a process can poison its own pages (`include/uapi/linux/userfaultfd.h`).
mod userfaultfd {
    use rustix::io::Errno;
    use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
    use rustix::mm::UserfaultfdFlags;
    use std::os::fd::{AsFd, OwnedFd};

    const USER_MODE_ONLY: u32 = 1;
    const VERSION: u64 = 0xaa;
    /// Missing pages of shared memory, and poison.
    const FEATURES: u64 = (1 << 5) | (1 << 14);
    const MISSING: u64 = 1;

    #[repr(C)]
    struct Api {
        version: u64,
        features: u64,
        ioctls: u64,
    }

    /// The arguments of registering and of poisoning are alike: a range, a mode, an answer.
    #[repr(C)]
    struct Range {
        start: u64,
        len: u64,
        mode: u64,
        answer: u64,
    }

    const API: Opcode = opcode::read_write::<Api>(0xaa, 0x3f);
    const REGISTER: Opcode = opcode::read_write::<Range>(0xaa, 0);
    const POISON: Opcode = opcode::read_write::<Range>(0xaa, 8);

    fn ask<const REQUEST: Opcode, T>(file: impl AsFd, what: &mut T) -> Result<(), Errno> {
        // SAFETY: the structure is the one that the request reads and writes.
        let request = unsafe { Updater::<REQUEST, T>::new(what) };
        // SAFETY: it is about a page of a mapping that the caller has, whose bytes are the file's.
        unsafe { ioctl(file, request) }
    }

    /// Poisons a page of this process that has no entry in the page table (Linux 6.6 and newer), until the
    /// mapping is replaced; why not, if that is refused.
    pub(super) fn poison(page: *mut u8, len: u64) -> Result<OwnedFd, String> {
        let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(USER_MODE_ONLY);
        // SAFETY: it opens a descriptor; what is asked of it is about a page that the caller has.
        let file = unsafe { rustix::mm::userfaultfd(flags) }
            .map_err(|errno| format!("userfaultfd: {errno}"))?;
        let of_page = |mode| Range { start: page.addr() as u64, len, mode, answer: 0 };
        let mut api = Api { version: VERSION, features: FEATURES, ioctls: 0 };
        ask::<API, _>(&file, &mut api).map_err(|errno| format!("UFFDIO_API: {errno}"))?;
        ask::<REGISTER, _>(&file, &mut of_page(MISSING))
            .map_err(|errno| format!("UFFDIO_REGISTER: {errno}"))?;
        ask::<POISON, _>(&file, &mut of_page(0))
            .map_err(|errno| format!("UFFDIO_POISON: {errno}"))?;
        Ok(file)
    }
}

#[test]
fn a_poisoned_page_is_an_error_with_its_place() {
    let guard = FaultHandler::install().unwrap();
    let (_directory, file) = numbered();
    let address = file.as_ptr(5 * page());
    let len = rustix::param::page_size();
    // SAFETY: the bytes are the file's, and are there again at the next access.
    assert_eq!(unsafe { libc::madvise(address.cast(), len, libc::MADV_DONTNEED) }, 0);
    let _poisoned = match userfaultfd::poison(address, page()) {
        Ok(descriptor) => descriptor,
        Err(why) => {
            skip("a_poisoned_page_is_an_error_with_its_place", why);
            return;
        }
    };
    let error = file.catch_faults(guard, |file| file.load(5 * page() + 64, Relaxed)).unwrap_err();
    let ErrorKind::Poisoned { at, len, .. } = *error.kind() else { panic!("{error}") };
    assert_eq!((at, len), (5 * page(), page()));
    let text = error.to_string();
    assert!(text.contains(&format!("{} bytes at offset {}", page(), 5 * page())), "{text}");
    // This poison was the mapping's, which is a new one there now: the file's bytes are seen again.
    assert_eq!(file.catch_faults(guard, |file| load(file, 5)).unwrap(), 6);
    assert_eq!((load(&file, 4), load(&file, 6)), (5, 7));
}
