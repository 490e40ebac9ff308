//! System calls that fail on demand, by a filter of the kernel's, as those of containers, sandboxes and telephones do.

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

/// A system call: its name, its number, and if it is refused with certain flags alone, the place of the argument and these.
pub type Refused = (&'static str, c_long, Option<(u32, c_int)>);

/// `__O_TMPFILE`, without the bit of `O_DIRECTORY` (`include/uapi/asm-generic/fcntl.h`).
const UNNAMED: c_int = 0o20_000_000;

/// The system calls of files, of their mappings and of the command. Those without which no program starts are left out: the
/// loader opens, reads and maps, and the standard library ends a program that may not `poll`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub const CALLS: &[Refused] = &[
    ("cachestat", 451, None),
    ("clone3", libc::SYS_clone3, None),
    ("copy_file_range", libc::SYS_copy_file_range, None),
    ("fadvise", libc::SYS_fadvise64, None),
    ("fallocate", libc::SYS_fallocate, None),
    ("fchmod", libc::SYS_fchmod, None),
    ("fcntl", libc::SYS_fcntl, None),
    ("fdatasync", libc::SYS_fdatasync, None),
    ("flock", libc::SYS_flock, None),
    ("fstat", libc::SYS_fstat, None),
    ("fstatfs", libc::SYS_fstatfs, None),
    ("fsync", libc::SYS_fsync, None),
    ("ftruncate", libc::SYS_ftruncate, None),
    ("getcwd", libc::SYS_getcwd, None),
    ("getdents64", libc::SYS_getdents64, None),
    ("getrandom", libc::SYS_getrandom, None),
    ("ioctl", libc::SYS_ioctl, None),
    ("linkat", libc::SYS_linkat, None),
    ("lseek", libc::SYS_lseek, None),
    ("madvise", libc::SYS_madvise, None),
    ("mmap of a file", libc::SYS_mmap, Some((3, libc::MAP_SHARED))),
    ("mmap with MAP_SYNC", libc::SYS_mmap, Some((3, libc::MAP_SYNC))),
    ("msync", libc::SYS_msync, None),
    ("newfstatat", libc::SYS_newfstatat, None),
    ("open of an unnamed file", libc::SYS_openat, Some((2, UNNAMED))),
    ("openat2", libc::SYS_openat2, None),
    ("prctl", libc::SYS_prctl, None),
    ("pread64", libc::SYS_pread64, None),
    ("prlimit64", libc::SYS_prlimit64, None),
    ("pwrite64", libc::SYS_pwrite64, None),
    ("readlinkat", libc::SYS_readlinkat, None),
    ("renameat2", libc::SYS_renameat2, None),
    ("rseq", libc::SYS_rseq, None),
    ("rt_sigaction", libc::SYS_rt_sigaction, None),
    ("sched_getaffinity", libc::SYS_sched_getaffinity, None),
    ("sigaltstack", libc::SYS_sigaltstack, None),
    ("socketpair", libc::SYS_socketpair, None),
    ("statfs", libc::SYS_statfs, None),
    ("statx", libc::SYS_statx, None),
    ("syncfs", libc::SYS_syncfs, None),
    ("unlinkat", libc::SYS_unlinkat, None),
    #[cfg(target_arch = "x86_64")]
    ("link", libc::SYS_link, None),
    #[cfg(target_arch = "x86_64")]
    ("open of an unnamed file (open)", libc::SYS_open, Some((1, UNNAMED))),
    #[cfg(target_arch = "x86_64")]
    ("readlink", libc::SYS_readlink, None),
    #[cfg(target_arch = "x86_64")]
    ("rename", libc::SYS_rename, None),
    #[cfg(target_arch = "x86_64")]
    ("unlink", libc::SYS_unlink, None),
];
