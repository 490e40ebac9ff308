//! Hooks into the emulator's own functions for DMA, which every device calls.
//!
//! A jump is written over the beginning of each function; the instructions that it replaces are copied to a place from
//! which the rest of the function is reached. QEMU exports these functions for its modules, so their addresses need no
//! debug information. A build whose functions begin otherwise is refused.
//!
//! # Limits
//! Devices that keep memory mapped, such as virtio and AHCI for their rings, make accesses that no function shows.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute_copy;
use core::ptr::{null_mut, with_exposed_provenance};
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::own_process::symbol;
use crate::system::mmap;

unsafe extern "C" {
    fn mprotect(at: *mut c_void, len: usize, access: c_int) -> c_int;
}

/// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC`; `MAP_PRIVATE | MAP_ANONYMOUS` (Linux, `mman-common.h`).
const READ: c_int = 1;
const WRITE: c_int = 2;
const EXECUTE: c_int = 4;
const PRIVATE_ANONYMOUS: c_int = 0x22;
const PAGE: usize = 4096;

/// The bytes that a device accessed, by their address in this process, and true if it wrote them.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) host: usize,
    pub(super) len: u64,
    pub(super) device_writes: bool,
    /// The address of its bus.
    pub(super) space: usize,
}

static IS_PENDING: AtomicBool = AtomicBool::new(false);
static ACCESSES: Mutex<Vec<Access>> = Mutex::new(Vec::new());
/// The copied beginnings of the functions.
static OLD: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
/// `address_space_map`.
static MAP: AtomicUsize = AtomicUsize::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the name of a bus: that of the device, if the bus is the device's own, as on PCI.
pub(super) fn name(space: usize) -> Option<String> {
    // QEMU 10.0 `include/exec/memory.h`: an `AddressSpace` begins with two pointers and that to its name.
    let name = |space: *const c_void| {
        // SAFETY: the structure is longer.
        let name = unsafe { space.cast::<*const c_char>().add(2) };
        // SAFETY: it begins so, as the known one shows before any other is read.
        let name = unsafe { name.read() };
        // SAFETY: null, or a string that lives as long as the bus.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
    };
    let known = symbol(c"address_space_memory");
    let is_known = !known.is_null() && name(known) == Some(c"memory");
    let space = with_exposed_provenance(space);
    let name = if is_known { name(space) } else { None };
    name.filter(|name| *name != c"memory").map(|name| name.to_string_lossy().into_owned())
}

/// Notes an access.
fn note(space: *mut c_void, host: usize, len: u64, device_writes: bool) {
    let space = space.expose_provenance();
    lock(&ACCESSES).push(Access { host, len, device_writes, space });
    IS_PENDING.store(true, Ordering::Release);
}

/// Notes an access by its address on a bus, which need not be the CPUs' address. The emulator is asked where it has this
/// memory, as if for a write: that has no effect on a device that is there instead.
fn note_on_bus(
    space: *mut c_void,
    mut at: u64,
    mut len: u64,
    attributes: u64,
    device_writes: bool,
) {
    let map = MAP.load(Ordering::Acquire);
    // SAFETY: the address of the function with this type, stored before the first hook.
    let map: Map = unsafe { transmute_copy(&map) };
    // SAFETY: (1) function 0 has this type.
    let unmap = unsafe { old::<Unmap>(0) };
    while len != 0 {
        let mut part = len;
        let host = map(space, at, &raw mut part, true, attributes);
        if host.is_null() {
            return;
        }
        unmap(space, host, part, false, 0);
        note(space, host.addr(), part, device_writes);
        (at, len) = (at + part, len - part);
    }
}

/// Returns the accesses since the last call.
pub(super) fn take() -> Vec<Access> {
    if !IS_PENDING.load(Ordering::Acquire) {
        return Vec::new();
    }
    let mut accesses = lock(&ACCESSES);
    IS_PENDING.store(false, Ordering::Release);
    core::mem::take(&mut accesses)
}

// QEMU 10.0 `include/exec/memory.h`. `MemTxAttrs` is passed in one register, and `MemTxResult` is an `uint32_t`.
type Map = extern "C" fn(*mut c_void, u64, *mut u64, bool, u64) -> *mut c_void;
type Unmap = extern "C" fn(*mut c_void, *mut c_void, u64, bool, u64);
type ReadWrite = extern "C" fn(*mut c_void, u64, u64, *mut c_void, u64, bool) -> u32;
type OneWay = extern "C" fn(*mut c_void, u64, u64, *mut c_void, u64) -> u32;

/// # Safety
/// 1. `F` is the type of the function of this number, which is hooked.
unsafe fn old<F: Copy>(number: usize) -> F {
    let at = OLD[number].load(Ordering::Acquire);
    // SAFETY: (1) the copied beginning continues in the function.
    unsafe { transmute_copy(&at) }
}

extern "C" fn unmap(space: *mut c_void, host: *mut c_void, len: u64, is_write: bool, used: u64) {
    // SAFETY: (1) this hook is that of function 0.
    let function = unsafe { old::<Unmap>(0) };
    function(space, host, len, is_write, used);
    // The device has accessed it by now, unless it gave up.
    if used != 0 {
        note(space, host.addr(), used, is_write);
    }
}

extern "C" fn read_write(
    space: *mut c_void,
    at: u64,
    attributes: u64,
    buffer: *mut c_void,
    len: u64,
    is_write: bool,
) -> u32 {
    // SAFETY: (1) this hook is that of function 1.
    let function = unsafe { old::<ReadWrite>(1) };
    let result = function(space, at, attributes, buffer, len, is_write);
    note_on_bus(space, at, len, attributes, is_write);
    result
}

/// The hook of functions that only read, or only write.
extern "C" fn one_way<const NUMBER: usize, const IS_WRITE: bool>(
    space: *mut c_void,
    at: u64,
    attributes: u64,
    buffer: *mut c_void,
    len: u64,
) -> u32 {
    // SAFETY: (1) this hook is made for functions 2 and 3 alone, which have this type.
    let function = unsafe { old::<OneWay>(NUMBER) };
    let result = function(space, at, attributes, buffer, len);
    note_on_bus(space, at, len, attributes, IS_WRITE);
    result
}

/// The length of the jump that replaces a beginning.
const JUMP: usize = 14;

/// Returns `jmp [rip]` and the address (Intel SDM vol. 2A, JMP).
fn jump(to: usize) -> [u8; JUMP] {
    let mut code = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    code[6..].copy_from_slice(&to.to_le_bytes());
    code
}

/// Returns the length of an instruction that can be executed elsewhere; `None` for any that functions do not begin with.
fn length(code: &[u8]) -> Option<usize> {
    let prefix = usize::from(code.first()? & 0xf0 == 0x40);
    let after = match code.get(prefix..)? {
        // PUSH
        [0x50..=0x57, ..] => 1,
        // MOV, XOR, TEST between registers
        [0x89 | 0x8b | 0x31 | 0x33 | 0x85, operands, ..] if operands >> 6 == 3 => 2,
        // SUB RSP
        [0x83, 0xec, ..] => 3,
        [0x81, 0xec, ..] => 6,
        // MOVZX between registers
        [0x0f, 0xb6 | 0xb7, operands, ..] if operands >> 6 == 3 => 3,
        // ENDBR64
        [0xf3, 0x0f, 0x1e, 0xfa, ..] => 4,
        _ => return None,
    };
    Some(prefix + after)
}

/// Returns the length of the whole instructions that a jump replaces.
fn beginning(code: &[u8]) -> Option<usize> {
    let mut len = 0;
    while len < JUMP {
        len += length(&code[len..])?;
    }
    Some(len)
}

/// Follows the emulator's functions from now on.
///
/// # Errors
/// If the emulator's code is not known.
#[expect(clippy::fn_to_numeric_cast_any, reason = "jumps need addresses")]
pub(super) fn install() -> Result<(), String> {
    let map = symbol(c"address_space_map");
    if map.is_null() {
        return Err(String::from(
            "this emulator does not export address_space_map: run without --hooks",
        ));
    }
    MAP.store(map.addr(), Ordering::Release);
    let hooks: [(&CStr, *const ()); 4] = [
        (c"address_space_unmap", unmap as *const ()),
        (c"address_space_rw", read_write as *const ()),
        (c"address_space_read_full", one_way::<2, false> as *const ()),
        (c"address_space_write", one_way::<3, true> as *const ()),
    ];
    let mut found = Vec::new();
    for (name, hook) in hooks {
        let at = symbol(name).cast::<u8>();
        if at.is_null() {
            return Err(format!("this emulator does not export {name:?}: run without --hooks"));
        }
        // SAFETY: no function of these is shorter, and code is readable.
        let code = unsafe { slice::from_raw_parts(at, 32) };
        let len = beginning(code).ok_or_else(|| {
            format!("{name:?} of this emulator begins with unknown code {code:02x?}: run without --hooks")
        })?;
        found.push((at, len, hook));
    }
    // SAFETY: a new mapping, at a place that the kernel finds.
    let copies =
        unsafe { mmap(null_mut(), PAGE, READ | WRITE | EXECUTE, PRIVATE_ANONYMOUS, -1, 0) };
    if copies.addr() == usize::MAX {
        return Err(format!("no memory for hooks: {}", std::io::Error::last_os_error()));
    }
    for (number, (at, len, hook)) in found.into_iter().enumerate() {
        // SAFETY: four copies of at most 32 bytes with a jump fit into the page.
        let copy = unsafe { copies.cast::<u8>().add(number * 64) };
        // SAFETY: as long as was read, and inside the page.
        unsafe { copy.copy_from_nonoverlapping(at, len) };
        let back = jump(at.addr() + len);
        let end = copy.wrapping_add(len);
        // SAFETY: the same page.
        unsafe { end.copy_from_nonoverlapping(back.as_ptr(), JUMP) };
        OLD[number].store(copy.addr(), Ordering::Release);
        let start = at.map_addr(|at| at & !(PAGE - 1)).cast();
        // SAFETY: the pages of the function's beginning, which may lie in two.
        if unsafe { mprotect(start, 2 * PAGE, READ | WRITE | EXECUTE) } != 0 {
            return Err(format!("code cannot be changed: {}", std::io::Error::last_os_error()));
        }
        // SAFETY: the emulator has one thread while it loads plugins, and whole instructions are replaced.
        unsafe { at.copy_from_nonoverlapping(jump(hook.expose_provenance()).as_ptr(), JUMP) };
        // SAFETY: the access that the pages of code had.
        if unsafe { mprotect(start, 2 * PAGE, READ | EXECUTE) } != 0 {
            return Err(format!("code cannot be protected: {}", std::io::Error::last_os_error()));
        }
    }
    Ok(())
}
