//! Mapped files: `pmem_map_file`, `pmem_unmap` and `pmem_is_pmem`.
//!
//! A file is mapped as PMDK maps it: symbolic links are followed, holes are mapped, no lock is taken, no descriptor is
//! kept, and a forked child has the mapping. Memory is persistent if the kernel maps it synchronously (`MAP_SYNC`) or
//! as a device, and if its medium keeps the lines that this CPU writes back. PMDK only asks the kernel, which also
//! grants `MAP_SYNC` on virtio-pmem and on CPUs that reach no point of persistence.
//!
//! The library uses calls with 64-bit offsets. With the others, a 32-bit program could open neither a file of 2 GiB nor
//! one with a large inode number.

mod length;
#[cfg(test)]
mod tests;

use crate::cancellation;
use crate::device::{self, Device};
use crate::environment;
use crate::failure::{Failure, Path, Reason, errno};
use crate::lock::Lock;
use crate::machine::machine;
use crate::place::place_for;
use crate::ranges::{OutOfMemory, Ranges, boxed};
use crate::system::page_size;
use cachemaint::dax::{Error, Guarantee, probe};
use cachemaint::medium::Granularity;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use length::{file_len, resize};
use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::sync::Arc;

/// The flags of `libpmem.h`.
const CREATE: c_int = 1;
const EXCL: c_int = 1 << 1;
const SPARSE: c_int = 1 << 2;
const TMPFILE: c_int = 1 << 3;
const FLAGS: c_int = CREATE | EXCL | SPARSE | TMPFILE;
const FLAGS_OF_DEVICES: c_int = CREATE | SPARSE;

/// The memory of a directly mapped range.
#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// A file.
    File {
        /// True if lines that are written back are persistent.
        is_persistent: bool,
    },
    /// A device.
    Device(Arc<Guarantee>),
}

impl Memory {
    const fn is_persistent(&self) -> bool {
        matches!(self, Self::File { is_persistent: true } | Self::Device(_))
    }
}

static MAPPED: Lock<Ranges<Memory>> = Lock::new(Ranges::new());

/// Keeps the list of ranges usable in forked children. Nothing is locked before a fork.
pub(crate) fn register_for_forks() {
    extern "C" fn forget_other_threads() {
        // SAFETY: a child has one thread, which has forked and so is not in a change of the list (1).
        unsafe { MAPPED.forget_other_threads() };
    }
    // SAFETY: the function stores a word. Without memory for it a child may wait for ever, as with PMDK.
    unsafe { libc::pthread_atfork(None, None, Some(forget_other_threads)) };
}

/// Returns the first directly mapped part of a range, and its memory.
pub(crate) fn first_in(range: &Range<usize>) -> Option<(Range<usize>, Memory)> {
    MAPPED.read(|ranges| ranges.first_in(range))
}

/// Opens or creates a file and maps all of it for reading and writing. Through the pointers that are not null, stores
/// the length of the mapping, and 1 if it is persistent memory, otherwise 0. Returns null with `errno` on failure.
///
/// # Safety
/// 1. `path` is null or ends with 0.
/// 2. The other pointers are null or can be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_map_file(
    path: *const c_char,
    len: usize,
    flags: c_int,
    mode: libc::mode_t,
    mapped_len: *mut usize,
    is_pmem: *mut c_int,
) -> *mut c_void {
    // SAFETY: it ends with 0 (1).
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) });
    let mapped = cancellation::held_off(|| map_file(path, len, flags, mode));
    let (start, len) = match mapped {
        Ok(mapping) => mapping,
        Err(failure) => return failure.returning(null_mut()),
    };
    if !mapped_len.is_null() {
        // SAFETY: it can be written (2).
        unsafe { mapped_len.write(len) };
    }
    if !is_pmem.is_null() {
        // SAFETY: it can be written (2).
        unsafe { is_pmem.write(pmem_is_pmem(start, len)) };
    }
    start
}

/// Unmaps a range, which can be part of a mapping. Returns 0, or -1 with `errno`.
///
/// # Safety
/// 1. No memory of the range is used any more.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_unmap(start: *mut c_void, len: usize) -> c_int {
    let range = pages(start, len);
    let rest = |ranges: &Ranges<Memory>| without(ranges, &range).map_err(|_full| libc::ENOMEM);
    // This comes after the range has left the list, so that a child forked in between does not take its memory for
    // persistent. A file that is mapped to the same place meanwhile is added after both.
    let unmap = || {
        // SAFETY: nothing of it is used any more (1).
        if unsafe { libc::munmap(start, len) } == 0 { Ok(()) } else { Err(errno()) }
    };
    let unmapped = MAPPED.replace(rest, unmap);
    match unmapped {
        Ok(()) => 0,
        Err(errno) => Failure::new(
            errno,
            format_args!(
                "cannot unmap {len} bytes at {start:p}: {}; pass whole pages of a mapping",
                Reason(errno)
            ),
        )
        .returning(-1),
    }
}

/// Returns the addresses of the whole pages that the kernel maps or unmaps.
fn pages(start: *mut c_void, len: usize) -> Range<usize> {
    let end = start.addr().saturating_add(len).checked_next_multiple_of(page_size());
    start.addr()..end.unwrap_or(usize::MAX)
}

/// Returns 1 if the whole range is persistent memory that `pmem_map_file` has mapped, otherwise 0.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_is_pmem(start: *const c_void, len: usize) -> c_int {
    let forced = forced();
    let is_pmem = match (forced, start.addr().checked_add(len)) {
        _ if len == 0 => false,
        (Some(forced), _) => forced,
        (None, None) => false,
        (None, Some(end)) => {
            MAPPED.read(|ranges| ranges.all(&(start.addr()..end), Memory::is_persistent))
        }
    };
    is_pmem.into()
}

/// Returns the answer from the environment. It is read at the first call, as in PMDK, because programs set it
/// themselves. Threads that arrive first at the same time read the same value, and none waits for another, since a fork
/// or a handler can interrupt it.
fn forced() -> Option<bool> {
    const UNREAD: u8 = 0;
    const UNSET: u8 = 1;
    const NO: u8 = 2;
    const YES: u8 = 3;
    static FORCED: AtomicU8 = AtomicU8::new(UNREAD);
    let mut forced = FORCED.load(Relaxed);
    if forced == UNREAD {
        forced = match environment::int(c"PMEM_IS_PMEM_FORCE") {
            Some(0) => NO,
            Some(1) => YES,
            _ => UNSET,
        };
        FORCED.store(forced, Relaxed);
    }
    (forced != UNSET).then_some(forced == YES)
}

/// Does [`pmem_map_file`]. Returns the start and the length.
fn map_file(
    path: Option<&CStr>,
    len: usize,
    flags: c_int,
    mode: libc::mode_t,
) -> Result<(*mut c_void, usize), Failure> {
    let Some(path) = path else {
        return Err(invalid(format_args!("the path is null; pass the path of a file")));
    };
    let device = device_at(path)?;
    if flags & !FLAGS != 0 {
        return Err(invalid(format_args!(
            "the flags {flags:#x} are not all defined; use those of libpmem.h"
        )));
    }
    let (len, flags) = match device {
        Some(device) => (device_len(path, device, len, flags)?, 0),
        None => (len, checked(path, len, flags)?),
    };
    let file = if flags & TMPFILE != 0 { unnamed(path, flags)? } else { open(path, flags, mode)? };
    let mapped = map_open(path, &file, len, flags, device);
    drop(file);
    if mapped.is_err() && flags & (CREATE | EXCL | TMPFILE) == CREATE | EXCL {
        // SAFETY: the path ends with 0.
        unsafe { libc::unlink(path.as_ptr()) };
    }
    mapped
}

/// Checks the length and flags for a file against each other.
fn checked(path: &CStr, len: usize, flags: c_int) -> Result<c_int, Failure> {
    let (path, creates) = (Path(path), flags & CREATE != 0);
    if creates && libc::off64_t::try_from(len).is_err() {
        return Err(invalid(format_args!(
            "cannot create {path} with {len} bytes: no file can be this long; pass a smaller length"
        )));
    }
    if len != 0 && !creates {
        return Err(invalid(format_args!(
            "cannot map {len} bytes of {path}: a file is always mapped as a whole; pass the length 0, or PMEM_FILE_CREATE to set its length"
        )));
    }
    if len == 0 && creates {
        return Err(invalid(format_args!(
            "cannot create {path} without a length; pass the length of the file"
        )));
    }
    if flags & TMPFILE != 0 && !creates {
        return Err(invalid(format_args!(
            "cannot create an unnamed file in {path} by PMEM_FILE_TMPFILE alone; pass PMEM_FILE_CREATE too"
        )));
    }
    Ok(flags)
}

/// Checks the length and flags for a device. Returns its length.
fn device_len(path: &CStr, device: Device, len: usize, flags: c_int) -> Result<usize, Failure> {
    let (path, size) = (Path(path), device.size);
    if flags & !FLAGS_OF_DEVICES != 0 {
        return Err(invalid(format_args!(
            "the flags {flags:#x} do not apply to the device {path}; pass 0"
        )));
    }
    if len != 0 && len != size {
        return Err(invalid(format_args!(
            "cannot map {len} bytes of {path}: a device is always mapped as a whole; pass the length 0 or {size}"
        )));
    }
    Ok(size)
}

/// Returns the device-DAX device at the path; `None` for a file, a directory or a missing path.
fn device_at(path: &CStr) -> Result<Option<Device>, Failure> {
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the path ends with 0, and the status can be written.
    if unsafe { libc::stat64(path.as_ptr(), status.as_mut_ptr()) } != 0 {
        return match errno() {
            libc::ENOENT => Ok(None),
            errno => Err(failed("find", path, errno, "correct the path, or permit the access")),
        };
    }
    // SAFETY: the call succeeded, so it is written.
    let status = unsafe { status.assume_init() };
    let unsuitable = || {
        let path = Path(path);
        invalid(format_args!(
            "cannot map {path}: it is neither a file nor a device-DAX device; pass one of these"
        ))
    };
    match status.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR => return Ok(None),
        libc::S_IFCHR => {}
        _ => return Err(unsuitable()),
    }
    match device::is_dax(status.st_rdev) {
        Ok(true) => device::read(status.st_rdev).map(Some).ok_or_else(|| {
            let path = Path(path);
            invalid(format_args!(
                "cannot read the size of the device {path} in /sys/dev/char; mount sysfs"
            ))
        }),
        Ok(false) => Err(unsuitable()),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            Err(failed("find the driver of", path, errno, "mount sysfs"))
        }
    }
}

fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> Result<File, Failure> {
    let create = if flags & CREATE == 0 { 0 } else { libc::O_CREAT };
    let exclusive = if flags & EXCL == 0 { 0 } else { libc::O_EXCL };
    let flags = libc::O_RDWR | libc::O_CLOEXEC | create | exclusive;
    // SAFETY: the path ends with 0.
    let descriptor = unsafe { libc::open64(path.as_ptr(), flags, libc::c_uint::from(mode)) };
    let advice = match errno() {
        _ if descriptor >= 0 => "",
        libc::ENOENT if create != 0 => "correct the path, or create its directory first",
        libc::ENOENT => "correct the path, or create the file with PMEM_FILE_CREATE",
        libc::EEXIST => "remove the file, or leave PMEM_FILE_EXCL out",
        libc::EACCES | libc::EPERM | libc::EROFS => "permit this user to read and write it",
        _ => "pass a file that can be read and written",
    };
    file(descriptor).map_err(|errno| failed("open", path, errno, advice))
}

/// Creates an unnamed file in a directory.
fn unnamed(directory: &CStr, flags: c_int) -> Result<File, Failure> {
    let exclusive = if flags & EXCL == 0 { 0 } else { libc::O_EXCL };
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC | exclusive;
    let mode: libc::c_uint = 0o600;
    // SAFETY: the path ends with 0.
    let descriptor = unsafe { libc::open64(directory.as_ptr(), flags, mode) };
    let created = match file(descriptor) {
        Err(libc::EOPNOTSUPP) => removed(directory),
        created => created,
    };
    created.map_err(|errno| {
        failed(
            "create an unnamed file in",
            directory,
            errno,
            "pass a directory that can be written",
        )
    })
}

/// Creates a file in a directory and removes its name, for file systems without unnamed files.
fn removed(directory: &CStr) -> Result<File, c_int> {
    const NAME: &[u8] = b"/pmem.XXXXXX\0";
    let directory = directory.to_bytes();
    let mut path = Vec::new();
    path.try_reserve_exact(directory.len().saturating_add(NAME.len()))
        .map_err(|_full| libc::ENOMEM)?;
    path.extend_from_slice(directory);
    path.extend_from_slice(NAME);
    // SAFETY: the path ends with 0, and its letters X can be written.
    let file = file(unsafe { libc::mkstemp(path.as_mut_ptr().cast()) })?;
    // SAFETY: the path ends with 0.
    if unsafe { libc::unlink(path.as_ptr().cast()) } != 0 {
        return Err(errno());
    }
    Ok(file)
}

fn file(descriptor: c_int) -> Result<File, c_int> {
    if descriptor < 0 {
        return Err(errno());
    }
    // SAFETY: it was opened just now, and belongs to no one else.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Sets the length of an open file, and maps it. Returns the start and the length.
fn map_open(
    path: &CStr,
    file: &File,
    len: usize,
    flags: c_int,
    device: Option<Device>,
) -> Result<(*mut c_void, usize), Failure> {
    let len = match device {
        Some(device) => device.size,
        None if flags & CREATE != 0 => resize(path, file, len, flags)?,
        None => file_len(path, file)?,
    };
    let alignment = device.map_or(1, |device| device.alignment);
    let device_memory = device.map(|_| device_memory(path, file)).transpose()?;
    let (start, is_synchronous) = map(path, file, len, alignment)?;
    let memory = match device_memory {
        None if is_synchronous => Some(file_memory(file)),
        device_memory => device_memory,
    };
    let listed = list(start, len, memory);
    if listed.is_err() {
        // SAFETY: no one else knows the mapping.
        unsafe { libc::munmap(start, len) };
        return Err(failed("list the mapping of", path, libc::ENOMEM, "free some memory"));
    }
    Ok((start, len))
}

/// Adds a mapping to the list, up to the end of its file, unless its memory belongs to other files. An existing mapping
/// in its pages was unmapped without the library's knowledge.
fn list(start: *mut c_void, len: usize, memory: Option<Memory>) -> Result<(), OutOfMemory> {
    let range = start.addr()..start.addr().saturating_add(len);
    let pages = pages(start, len);
    let listed = |ranges: &Ranges<Memory>| match memory {
        Some(memory) => boxed(ranges.without(&pages)?.with(range, memory)?).map(Some),
        None => without(ranges, &pages),
    };
    MAPPED.replace(listed, || Ok(()))
}

/// Returns the list without a range, or `None` if it does not change: a program may unmap because it is out of memory.
fn without(
    ranges: &Ranges<Memory>,
    range: &Range<usize>,
) -> Result<Option<Box<[Ranges<Memory>; 1]>>, OutOfMemory> {
    if ranges.is_apart(range) { Ok(None) } else { boxed(ranges.without(range)?).map(Some) }
}

/// Maps a file, synchronously if the kernel grants it. Returns the start, and true if it was granted.
fn map(
    path: &CStr,
    file: &File,
    len: usize,
    alignment: usize,
) -> Result<(*mut c_void, bool), Failure> {
    let place = place_for(len, alignment)
        .map_err(|errno| failed("find addresses for", path, errno, "map a smaller file"))?;
    let attempt = |flags| {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED a new mapping replaces none. The place is a hint.
        let start = unsafe { libc::mmap64(place, len, access, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(errno()) } else { Ok(start) }
    };
    let result = match attempt(libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC) {
        Ok(start) => return Ok((start, true)),
        Err(libc::EINVAL | libc::EOPNOTSUPP) => attempt(libc::MAP_SHARED),
        Err(errno) => Err(errno),
    };
    let advice =
        if len == 0 { "the file is empty; give it a length" } else { "map a smaller file" };
    result.map(|start| (start, false)).map_err(|errno| failed("map", path, errno, advice))
}

/// Returns the memory of a synchronously mapped file. If its guarantee cannot be determined, it does not count as
/// persistent: the program then persists it with `pmem_msync`.
fn file_memory(file: &File) -> Memory {
    let is_persistent = |guarantee: Guarantee| {
        !matches!(guarantee.granularity, Granularity::Page(_))
            && machine().persists(guarantee.granularity, guarantee.domain)
    };
    Memory::File { is_persistent: guarantee_of(file).is_ok_and(is_persistent) }
}

fn guarantee_of(file: &File) -> Result<Guarantee, Error> {
    probe(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Returns the memory of a device. `pmem_msync` persists nothing on a device, so one whose lines cannot be persisted is
/// an error.
fn device_memory(path: &CStr, file: &File) -> Result<Memory, Failure> {
    let refused = |why: &dyn fmt::Display| {
        let path = Path(path);
        Failure::new(
            libc::ENOTSUP,
            format_args!("cannot map {path}: stores to it could not be made persistent: {why}"),
        )
    };
    let guarantee = guarantee_of(file).map_err(|error| refused(&error))?;
    if !machine().persists(guarantee.granularity, guarantee.domain) {
        return Err(refused(
            &"the regions of this machine keep the caches, so that nothing is written back, and this memory does not; set \
              PMEM_NO_FLUSH=0",
        ));
    }
    Ok(Memory::Device(Arc::new(guarantee)))
}

fn invalid(message: fmt::Arguments<'_>) -> Failure {
    Failure::new(libc::EINVAL, message)
}

fn failed(action: &str, path: &CStr, errno: c_int, advice: &str) -> Failure {
    Failure::new(errno, format_args!("cannot {action} {}: {}; {advice}", Path(path), Reason(errno)))
}
