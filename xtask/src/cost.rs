//! The cost of child processes: their CPU time, and the part of it that went into compiling.
//!
//! Each thread has an account. A command that ends is charged to the account of the thread that waited for it, so lanes
//! that run side by side have separate costs. The kernel counts a child's own time, and that of every descendant that
//! was waited for (proc(5), `/proc/PID/stat`). A process that was left behind is not counted. Without such a file the
//! cost is zero.

use core::cell::Cell;
use core::ops::{Add, AddAssign};
use core::time::Duration;
use std::fs;
use std::io;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The cost of all commands.
    pub(crate) cpu: Duration,
    /// The cost of commands that compile.
    pub(crate) compiling: Duration,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, rhs: Self) -> Self {
        Self { cpu: self.cpu + rhs.cpu, compiling: self.compiling + rhs.compiling }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl Cost {
    /// Returns the cost since `earlier`, a value of the same account.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            compiling: self.compiling.saturating_sub(earlier.compiling),
        }
    }
}

thread_local! {
    static ACCOUNT: Cell<Cost> = const { Cell::new(Cost { cpu: Duration::ZERO, compiling: Duration::ZERO }) };
}

/// Returns the cost of every command that this thread has waited for.
pub(crate) fn account() -> Cost {
    ACCOUNT.get()
}

/// Waits for a child and charges its cost to this thread.
pub(crate) fn wait(child: &mut Child, compiles: bool) -> io::Result<ExitStatus> {
    // A process that has ended keeps its counters until it is waited for.
    let pid = Pid::from_child(child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let cpu = cpu_time(&stat).unwrap_or_default();
    let compiling = if compiles { cpu } else { Duration::ZERO };
    ACCOUNT.set(account() + Cost { cpu, compiling });
    child.wait()
}

/// Returns the fields `utime`, `stime`, `cutime` and `cstime` of `/proc/PID/stat`, summed.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name of the program may hold blanks and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    // `state` is field 3 of proc(5), and now number 0.
    let times: Vec<&str> = fields.split(' ').skip(11).take(4).collect();
    let ticks: u64 = times.iter().map(|ticks| ticks.parse::<u64>()).sum::<Result<_, _>>().ok()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    (times.len() == 4).then(|| Duration::from_secs(ticks) / per_second)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::process::Command;

    use super::{Cost, account, cpu_time, wait};

    #[test]
    fn times_are_found_behind_a_name_with_blanks() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!(
            "17 (a (b) c) Z 1 17 17 0 -1 4 0 0 0 0 {} {} {} {} 20 0",
            ticks,
            2 * ticks,
            4 * ticks,
            8 * ticks
        );
        assert_eq!(cpu_time(&stat), Some(Duration::from_secs(15)));
        assert_eq!(cpu_time("17 (true) Z 1"), None);
        assert_eq!(cpu_time(""), None);
    }

    #[test]
    fn a_grandchild_is_charged_to_the_thread_that_waited() {
        let before = account();
        let busy = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; true";
        let mut child = Command::new("sh").args(["-c", busy]).spawn().unwrap();
        assert!(wait(&mut child, true).unwrap().success());
        let spent = account().since(before);
        assert!(spent.cpu > Duration::ZERO, "{spent:?}");
        assert_eq!(spent.compiling, spent.cpu);
        let elsewhere = std::thread::spawn(account).join().unwrap();
        assert_eq!(elsewhere, Cost::default());
    }
}
