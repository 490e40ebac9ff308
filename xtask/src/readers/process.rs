//! The cost of one process.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time of a process.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// The time between two looks at the memory of a process.
const PAUSE: Duration = Duration::from_millis(1);

/// The cost of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Seconds of CPU time, in user mode and in the kernel.
    pub(super) cpu: f64,
    /// Seconds from the start to the end.
    pub(super) wall: f64,
    /// The most MiB of memory without the pages of files.
    pub(super) mib: f64,
}

impl Cost {
    pub(super) const NONE: Self = Self { cpu: 0.0, wall: 0.0, mib: 0.0 };
    /// The cost of a process that took longer than [`LIMIT`].
    pub(super) const SLOW: Self = Self { cpu: f64::INFINITY, wall: f64::INFINITY, mib: 0.0 };

    /// Returns the milliseconds of CPU time for each MiB of a file.
    pub(super) fn of_a_mib(self, mib: u32) -> f64 {
        self.cpu * 1e3 / f64::from(mib)
    }

    pub(super) fn is_slow(self) -> bool {
        self.cpu == f64::INFINITY
    }

    /// Returns the most of each value.
    pub(super) fn most(self, other: Self) -> Self {
        let Self { cpu, wall, mib } = other;
        Self { cpu: self.cpu.max(cpu), wall: self.wall.max(wall), mib: self.mib.max(mib) }
    }
}

/// Runs a command with some words and a file, without output. Returns its cost, and its end unless the time was up.
///
/// Memory is sampled: the peak that the kernel keeps has the mapped pages of the file, too.
pub(super) fn cost(
    command: &Path,
    words: &str,
    file: &Path,
) -> io::Result<(Cost, Option<ExitStatus>)> {
    let began = Instant::now();
    let mut command = Command::new(command);
    command
        .args(words.split(' '))
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut mib = 0.0_f64;
    loop {
        if let Some((status, cpu)) = ended(&child, libc::WNOHANG)? {
            let wall = began.elapsed().as_secs_f64();
            return Ok((Cost { cpu: cpu.as_secs_f64(), wall, mib }, Some(status)));
        }
        if began.elapsed() > LIMIT {
            child.kill()?;
            let _ended = ended(&child, 0)?;
            return Ok((Cost { mib, ..Cost::SLOW }, None));
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        mib = mib.max(anonymous(&status).unwrap_or_default());
        thread::sleep(PAUSE);
    }
}

/// Returns the MiB of `RssAnon` in `/proc/PID/status`.
fn anonymous(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(f64::from(kib) / 1024.0)
}

/// Returns the end and the CPU time of a child, if it has ended.
#[expect(unsafe_code, reason = "the standard library does not return the CPU time of a child")]
fn ended(child: &Child, options: libc::c_int) -> io::Result<Option<(ExitStatus, Duration)>> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: the kernel writes a status and a usage, to values of these types that live until it returns.
    let found = unsafe { libc::wait4(pid, &raw mut status, options, usage.as_mut_ptr()) };
    match found {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => {
            // SAFETY: each field is an integer, and zeros are valid integers.
            let usage = unsafe { usage.assume_init() };
            let of = |time: libc::timeval| {
                let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
                let micros = u64::try_from(time.tv_usec).unwrap_or_default();
                Duration::from_secs(seconds) + Duration::from_micros(micros)
            };
            let cpu = of(usage.ru_utime) + of(usage.ru_stime);
            Ok(Some((ExitStatus::from_raw(status), cpu)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{anonymous, cost};
    use std::path::Path;

    #[test]
    fn memory_of_files_is_not_counted() {
        let status =
            "VmHWM:\t  9000 kB\nVmRSS:\t  8000 kB\nRssAnon:\t    1280 kB\nRssFile:\t 6766 kB\n";
        assert_eq!(anonymous(status), Some(1.25));
        assert_eq!(anonymous("State:\tZ (zombie)\n"), None);
    }

    /// A program that is busy for longer than a tick of the kernel's clock.
    #[test]
    fn time_and_end_of_a_child_are_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("busy");
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3";
        std::fs::write(&program, busy).unwrap();
        let (cost, ending) = cost(Path::new("sh"), "-e", &program).unwrap();
        assert_eq!(ending.unwrap().code(), Some(3));
        assert!(cost.cpu > 0.001 && cost.wall > 0.001 && cost.mib > 0.0, "{cost:?}");
    }
}
