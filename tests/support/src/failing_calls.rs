//! System calls that fail on demand, by a filter of the kernel's.

use core::ffi::{c_int, c_long};

/// Has each of these calls of this thread fail from now on (seccomp(2)). With `flags` only those that have one of them in an
/// argument, which is given by its place. Returns false if that is not possible here.
#[must_use]
pub fn fail_calls(number: c_long, flags: Option<(u32, c_int)>, errno: c_int) -> bool {
    let statement = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let word = |number: c_int| number.cast_unsigned();
    let skipped = if flags.is_some() { 3 } else { 1 };
    let mut filter = vec![
        statement(0x20, 0, 0), // BPF_LD | BPF_W | BPF_ABS
        // No call has the greatest number.
        statement(0x15, skipped, u32::try_from(number).unwrap_or(u32::MAX)), // BPF_JMP | BPF_JEQ | BPF_K
    ];
    if let Some((argument, flags)) = flags {
        // A filter is given the number of the call, and from the 16th byte on the arguments, of 8 bytes each.
        let low = 16 + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 };
        filter.push(statement(0x20, 0, low)); // BPF_LD | BPF_W | BPF_ABS
        filter.push(statement(0x45, 1, word(flags))); // BPF_JMP | BPF_JSET | BPF_K
    }
    filter.push(statement(0x06, 0, libc::SECCOMP_RET_ERRNO | word(errno))); // BPF_RET | BPF_K
    filter.push(statement(0x06, 0, libc::SECCOMP_RET_ALLOW)); // BPF_RET | BPF_K
    // The kernel refuses a program without instructions.
    let len = u16::try_from(filter.len()).unwrap_or(0);
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: it takes rights from this thread, and reads nothing.
    let is_limited = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0;
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program has as many instructions, and the kernel copies it.
    is_limited && unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } == 0
}
