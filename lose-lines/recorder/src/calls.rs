//! The system calls that change files, and the filter that stops a program at them.

use core::ffi::c_long;

use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE, sock_filter};

/// The condition under which a call is stopped.
#[derive(Clone, Copy, Debug)]
enum If {
    Always,
    /// An argument has one of these bits.
    Bits(u32, u32),
    /// An argument has one of these values.
    Is(u32, &'static [u32]),
}

/// Opening with these flags may change a file or make one. The last is the bit that only `O_TMPFILE` has.
const CREATES: u32 = libc::O_CREAT.cast_unsigned() | libc::O_TRUNC.cast_unsigned() | 0o20_000_000;

/// Requests of ioctl(2) that share the bytes of two files: `FICLONE` and `FICLONERANGE` (linux/fs.h).
const REFLINKS: &[u32] = &[0x4004_9409, 0x4020_940d];

macro_rules! calls {
    ($($name:ident $condition:expr;)*) => { [$((stringify!($name), libc::$name, $condition)),*] };
}

#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: [(&str, c_long, If); 8] = calls! {
    SYS_open If::Bits(1, CREATES); SYS_creat If::Always; SYS_rename If::Always; SYS_link If::Always;
    SYS_unlink If::Always; SYS_mkdir If::Always; SYS_rmdir If::Always; SYS_symlink If::Always;
};
#[cfg(target_arch = "aarch64")]
const OF_ARCHITECTURE: [(&str, c_long, If); 0] = [];

const CALLS: [(&str, c_long, If); 33] = calls! {
    SYS_openat If::Bits(2, CREATES); SYS_openat2 If::Always; SYS_tee If::Always; SYS_write If::Always;
    SYS_pwrite64 If::Always; SYS_writev If::Always; SYS_pwritev If::Always; SYS_pwritev2 If::Always;
    SYS_sendfile If::Always; SYS_copy_file_range If::Always; SYS_splice If::Always; SYS_ftruncate If::Always;
    SYS_truncate If::Always; SYS_fallocate If::Always; SYS_renameat If::Always; SYS_renameat2 If::Always;
    SYS_linkat If::Always; SYS_unlinkat If::Always; SYS_mkdirat If::Always; SYS_symlinkat If::Always;
    SYS_mknodat If::Always; SYS_fsync If::Always; SYS_fdatasync If::Always; SYS_sync If::Always;
    SYS_sync_file_range If::Always; SYS_syncfs If::Always; SYS_msync If::Always; SYS_munmap If::Always;
    SYS_mmap If::Bits(3, libc::MAP_SHARED.cast_unsigned()); SYS_ioctl If::Is(1, REFLINKS);
    SYS_io_uring_setup If::Always; SYS_io_setup If::Always; SYS_vmsplice If::Always;
};

fn all() -> impl Iterator<Item = (&'static str, c_long, If)> {
    CALLS.into_iter().chain(OF_ARCHITECTURE)
}

/// Returns the name of a call.
pub(super) fn name(call: c_long) -> &'static str {
    let found = all().find(|(_, number, _)| *number == call);
    found.map_or("call", |(name, _, _)| name.strip_prefix("SYS_").unwrap_or(name))
}

/// The architecture in the kernel's audit (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const AUDIT: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT: u32 = 0xc000_00b7;

/// Returns the filter. A program for 32 bits gets errors: its calls have other numbers.
pub(super) fn filter() -> Vec<sock_filter> {
    let instruction = |code: u32, k: u32, jt: u8, jf: u8| sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let is = |k, jt, jf| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, jt, jf);
    let has = |k, jt, jf| instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, k, jt, jf);
    let give = |what| instruction(libc::BPF_RET | libc::BPF_K, what, 0, 0);
    let no_call = SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    // `struct seccomp_data`: the number, the architecture, the instruction's address, six arguments.
    let mut filter = vec![load(4), is(AUDIT, 1, 0), give(no_call), load(0)];
    for (_, number, condition) in all() {
        let mut body = Vec::new();
        match condition {
            If::Always => {}
            If::Bits(argument, bits) => {
                body.extend([load(16 + 8 * argument), has(bits, 1, 0), give(SECCOMP_RET_ALLOW)]);
            }
            If::Is(argument, values) => {
                body.push(load(16 + 8 * argument));
                for (place, value) in values.iter().enumerate() {
                    // Over the other values and the instruction that allows.
                    body.push(is(*value, u8::try_from(values.len() - place).unwrap_or(0), 0));
                }
                body.push(give(SECCOMP_RET_ALLOW));
            }
        }
        body.push(give(SECCOMP_RET_TRACE));
        filter.push(is(
            u32::try_from(number).unwrap_or(0),
            0,
            u8::try_from(body.len()).unwrap_or(0),
        ));
        filter.extend(body);
    }
    filter.push(give(SECCOMP_RET_ALLOW));
    filter
}
