//! `cachemaint guard`: files that other programs store to and never flush are written back, again and again or once.
//!
//! | module | contents |
//! |---|---|
//! | `trees` | a look at a tree |
//! | `files` | the files of all trees, and the passes over them |

#[expect(unsafe_code, reason = "writes the lines of a mapping back")]
mod files;
mod trees;

use super::text::{self, heading, row, thousands};
use crate::failure::os;
use crate::signals;
use anyhow::{Context as _, bail};
use cachemaint::dax::{self, ErrorKind, FaultHandler};
use cachemaint::family::limits::{self, Limit};
use cachemaint::medium::Granularity;
use cachemaint_inspect::FileReport;
use cachemaint_inspect::survival::{Event, Stage, Survival};
use core::time::Duration;
use files::{Guard, Pass, Statistics};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Instant, UNIX_EPOCH};
use trees::Root;

/// Write back files of other programs that never flush them
///
/// The guard maps the files below PATH for reading, and writes all their cache lines back every few milliseconds. A reset
/// then loses only the stores of that time, for example of a tracer that never flushes. The program needs no changes. The
/// guard looks for new files once a second, and does not follow symbolic links.
///
/// SIGINT, SIGTERM and SIGHUP end it after a last pass. It then prints the bound that it kept: the longest time for which
/// stored bytes of a file were not written back. For a new file, the time starts with the last scan that did not find it,
/// so its first interval is about a second. Signals that were ignored at the start, as with nohup, stay ignored.
///
/// The exit code is 1 if a PATH is missing at the end, or if none of the files found could be written back. A file that
/// cannot be written back is reported once, and the bound does not apply to it. If a PATH is moved, removed, unmounted or
/// replaced by a link, the guard reports it, and guards it again once it is back.
///
/// TIME is a goal: the bound is longer on a busy machine, with a small CPU share or with many files. Standard error reports
/// the first interval longer than TIME, and then each one twice as long as the last reported. A real-time priority
/// (chrt(1)) shortens the bound.
///
/// With --once it makes a single pass, for example before a reboot. When it ends, everything stored before it began is on
/// the medium. The exit code is 1 if this failed for a file, if there is no file, or if nothing promises that files of a
/// PATH survive a reboot or a kexec, as on tmpfs or on an overlay.
///
/// Files in the page cache are refused, because a reset loses the whole page cache. With --page-cache they are synced
/// instead.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct Arguments {
    /// Files, or directories with files on the same mount. Name anything mounted below them as a separate PATH
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Make a single pass
    #[arg(long, conflicts_with_all = ["within", "cpu", "lock_memory"])]
    once: bool,
    /// The bound to aim for, such as 10ms or 1s: the longest time that stored bytes stay without write-back
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = text::period)]
    within: Duration,
    /// Use at most this share of one CPU, even if the bound is then missed
    #[arg(long, default_value = "100%", value_name = "PERCENT", value_parser = cpu_share)]
    cpu: f64,
    /// Also accept files in the page cache, and sync them
    #[arg(long)]
    page_cache: bool,
    /// Keep the guard's own memory from being swapped out
    #[arg(long)]
    lock_memory: bool,
    /// Print one JSON document at the end
    #[arg(short, long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.once { run_once(arguments) } else { run_until_told(arguments) }
}

fn run_until_told(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (tell, told) = channel();
    // The handler is set before anything is mapped: a program that sees the mappings may send a signal. A guard that has
    // ended is not told.
    signals::handle(move |_| tell.send(()).unwrap_or(()))?;
    let mut guard = guard_of(&arguments.paths, arguments.page_cache)?;
    if arguments.lock_memory {
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        mlockall(flags).context("cannot lock memory; raise the limit (ulimit -l)")?;
    }
    if !arguments.json
        && let Err(error) = text::report(|out| print_worth(out, &arguments.paths))
    {
        text::tell!("the guard runs, but cannot print its report: {error}");
    }
    let (since, within) = (Instant::now(), arguments.within);
    let mut longest = Longest::new(within);
    let mut pass = |guard: &mut Guard, is_last| {
        let pass = guard.pass(is_last);
        tell_problems(&pass);
        if let Some(long) = pass.interval.and_then(|interval| longest.add(interval)) {
            text::tell!("an interval took {long:?}; the goal is {within:?}");
        }
        pass
    };
    loop {
        let Pass { began, took, cpu, .. } = pass(&mut guard, false);
        let next = next(within, arguments.cpu, took, cpu);
        if told.recv_timeout(next.saturating_sub(began.elapsed())).is_ok() {
            break;
        }
    }
    pass(&mut guard, true);
    let (statistics, gone) = (guard.statistics(), guard.gone());
    let is_in_vain = (statistics.files, statistics.bytes) == (0, 0) && statistics.outside > 0;
    if gone > 0 {
        text::tell!("{gone} of the paths are missing at the end, and were not guarded");
    } else if is_in_vain {
        text::tell!("nothing was guarded: none of the files found could be written back");
    }
    let share = statistics.cpu.as_secs_f64() / since.elapsed().as_secs_f64();
    let at = longest.ended.and_then(|ended| {
        Some(format!("{}.{:03}Z", text::utc(ended.as_secs())?, ended.subsec_millis()))
    });
    let mut facts = json!(statistics);
    facts["schema"] = text::SCHEMA.into();
    facts["within_ns"] = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX).into();
    facts["cpu_share"] = share.into();
    facts["gone"] = gone.into();
    facts["longest_interval_at"] = json!(at);
    text::print(arguments.json, &facts, |out| {
        print(out, &statistics, share, at.as_deref(), within)
    })?;
    Ok(if is_in_vain || gone > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_once(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut guard = guard_of(&arguments.paths, arguments.page_cache)?;
    let pass = guard.pass(true);
    let statistics = guard.statistics();
    tell_problems(&pass);
    if statistics.files == 0 {
        text::tell!("nothing was written back: no file with bytes was found");
    }
    let (mut survives, mut is_lost) = (Vec::new(), false);
    for path in &arguments.paths {
        let report = FileReport::at(path).ok();
        let of = |event| Some(report.as_ref()?.survives(Stage::Persisted, event).answer);
        let (kexec, warm_reboot) = (of(Event::Kexec), of(Event::WarmReboot));
        let is_kept = |kept: &Option<_>| matches!(kept, Some(Survival::Yes | Survival::If(_)));
        if let Some(report) = &report
            && ![kexec, warm_reboot].iter().any(is_kept)
        {
            is_lost = true;
            let says = match [kexec, warm_reboot] {
                [Some(Survival::No), Some(Survival::No)] => {
                    "no reboot and no kexec keeps its files"
                }
                _ => "nothing promises that a reboot or a kexec keeps its files",
            };
            text::tell!(
                "{}: {says}: {}; copy them to a disk or to persistent memory before",
                path.display(),
                report.reason
            );
        }
        survives.push(
            json!({"path": path.to_string_lossy(), "kexec": kexec, "warm_reboot": warm_reboot}),
        );
    }
    let mut facts = json!(statistics);
    facts["schema"] = text::SCHEMA.into();
    facts["survives"] = survives.into();
    text::print(arguments.json, &facts, |out| {
        row(out, "files", thousands(statistics.files))?;
        print_written(out, &statistics, "")?;
        row(out, "took", format!("{:?}", pass.took))
    })?;
    let is_done = pass.problems.is_empty() && statistics.files > 0 && !is_lost;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the time from the beginning of a pass to the beginning of the next one, which should end in time unless its share
/// of a CPU is too small.
fn next(within: Duration, cpu_share: f64, took: Duration, cpu: Duration) -> Duration {
    // A quarter more, as none takes exactly as long as the one before.
    let in_time = within.saturating_sub(took + took / 4);
    in_time.max(cpu.div_f64(cpu_share)).max(took)
}

/// The longest interval, which is reported while the guard runs: after a reset no other report is there.
struct Longest {
    interval: Duration,
    /// When it ended, since 1970.
    ended: Option<Duration>,
    within: Duration,
    reported: Duration,
}

impl Longest {
    const fn new(within: Duration) -> Self {
        Self { interval: Duration::ZERO, ended: None, within, reported: Duration::ZERO }
    }

    /// Notes an interval that has ended now. Returns it if it is to be reported.
    fn add(&mut self, interval: Duration) -> Option<Duration> {
        if interval > self.interval {
            (self.interval, self.ended) = (interval, UNIX_EPOCH.elapsed().ok());
        }
        let is_due = interval > self.within && interval >= self.reported.saturating_mul(2);
        is_due.then(|| {
            self.reported = interval;
            interval
        })
    }
}

/// Reads percent of one CPU's time as a share.
fn cpu_share(text: &str) -> Result<f64, &'static str> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let percent = percent.filter(|percent| (0.01..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or("write a share such as 5% or 0.5%, at most 100%")
}

/// The most files that are kept: as many as a process can have open by the hard limit that systemd gives (systemd.exec(5),
/// `LimitNOFILE=`).
const MOST_FILES: u64 = 524_288;

/// The limit with which the kernel starts (`include/uapi/linux/fs.h`, `INR_OPEN_CUR`), for one that cannot be asked.
const COMMON_LIMIT: u64 = 1024;

/// Returns a guard of these paths, all of which it must be able to guard.
fn guard_of(paths: &[PathBuf], page_cache: bool) -> anyhow::Result<Guard> {
    let open_files = raise_open_files();
    if FaultHandler::install().is_err() {
        bail!("a guard cannot run on this architecture: a truncated file would crash it");
    }
    let roots = paths.iter().map(|path| root(path, page_cache)).collect::<Result<_, _>>()?;
    Ok(Guard::new(roots, page_cache, open_files))
}

/// Raises the limit of open files as far as this process may, and returns it.
fn raise_open_files() -> u64 {
    let Some(Limit { current, maximum }) = limits::open_files() else { return COMMON_LIMIT };
    let wanted = maximum.map_or(MOST_FILES, |maximum| maximum.min(MOST_FILES));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(_) => current.unwrap_or(MOST_FILES),
    }
}

fn root(path: &Path, page_cache: bool) -> anyhow::Result<Root> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        bail!("{}: is a symbolic link; name its target", path.display());
    }
    match dax::probe(path) {
        Ok(guarantee) if matches!(guarantee.granularity, Granularity::Page(_)) && !page_cache => {
            bail!(refusal(path, &guarantee.reason))
        }
        // A directory in which this user can create no file to ask about: each file is asked about when it is found.
        Err(_) if fs::read_dir(path).is_ok() => {}
        probed => drop(probed?),
    }
    Root::new(path).map_err(|error| os(path, "stat", &error.into()))
}

/// Returns the text about a file that cannot be guarded. It names the option with which one of the page cache is accepted.
fn refused(error: &dax::Error) -> String {
    match error.kind() {
        ErrorKind::PageGranular(guarantee) => refusal(error.path(), &guarantee.reason),
        _ => error.to_string(),
    }
}

/// The report on the file says more than the refusal.
fn refusal(path: &Path, reason: &str) -> String {
    let report = FileReport::at(path);
    let reason = report.as_ref().map_or(reason, |report| &report.reason);
    format!(
        "{}: can only be made persistent in whole pages: {}; name a file on persistent memory, or sync it instead \
         (--page-cache)",
        path.display(),
        reason
    )
}

fn tell_problems(pass: &Pass) {
    pass.problems.iter().for_each(|problem| text::tell!("not guarded: {problem}"));
}

/// Prints the guarantees of the files, with a write-back and without.
fn print_worth(out: &mut impl Write, paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        heading(out, &text::printable(path.display()))?;
        match FileReport::at(path) {
            Ok(report) => {
                row(out, "granularity", report.granularity)?;
                row(out, "because", &report.reason)?;
                writeln!(out)?;
                text::survival(out, &report)?;
            }
            // A directory in which this user cannot create a file is guarded all the same.
            Err(error) => {
                row(out, "granularity", "that of each file; `cachemaint inspect FILE` shows it")?;
                let why = format!("no new file can be probed: {error}");
                row(out, "because", text::printable(why))?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print(
    out: &mut impl Write,
    statistics: &Statistics,
    share: f64,
    longest_at: Option<&str>,
    within: Duration,
) -> io::Result<()> {
    let Statistics { passes, files, bytes, longest_interval, longest_pass, outside, .. } =
        *statistics;
    row(out, "passes", thousands(passes))?;
    row(out, "files", format!("{} in the last pass", thousands(files)))?;
    print_written(out, statistics, " in all passes")?;
    row(out, "a pass", format!("took at most {longest_pass:?}"))?;
    row(out, "of a CPU", format!("{:.2} %", share * 100.0))?;
    let held = match longest_at {
        _ if (files, bytes) == (0, 0) => "none".to_owned(),
        None => "unknown".to_owned(),
        Some(_) => format!("{longest_interval:?}"),
    };
    row(out, "bound", format!("{held}; the goal was {within:?}"))?;
    if let Some(time) = longest_at {
        row(out, "longest", format!("the interval that ended at {time}"))?;
    }
    if outside > 0 {
        let outside = thousands(outside);
        row(
            out,
            "outside",
            format!("{outside} files or directories, to which the bound does not apply"),
        )?;
    }
    Ok(())
}

/// Prints the extent of the work. Files that are synced have no lines.
fn print_written(out: &mut impl Write, written: &Statistics, passes: &str) -> io::Result<()> {
    let Statistics { bytes, lines, .. } = *written;
    let of_bytes = format!("{} bytes{passes}", thousands(bytes));
    if lines == 0 && bytes > 0 {
        return row(out, "synced", of_bytes);
    }
    row(out, "written", format!("{} lines, {of_bytes}, dirty or not", thousands(lines)))
}

#[cfg(test)]
mod tests {
    use super::{Longest, cpu_share, next};
    use core::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_pass_ends_in_time_unless_its_share_is_too_small() {
        // 2 ms, and a quarter as a reserve: 7.5 ms after the beginning of the last.
        assert_eq!(next(10 * MS, 1.0, 2 * MS, 2 * MS), MS * 15 / 2);
        // A pass that takes longer than there is time follows at once.
        assert_eq!(next(10 * MS, 1.0, 20 * MS, MS), 20 * MS);
        assert_eq!(next(10 * MS, 0.05, 2 * MS, 2 * MS), 40 * MS);
    }

    #[test]
    fn shares_are_read() {
        assert_eq!((cpu_share("5%"), cpu_share("0.5")), (Ok(0.05), Ok(0.005)));
        for wrong in ["", "%", "0%", "101%", "-1", "NaN", "inf"] {
            assert!(cpu_share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_reported_if_it_is_longer_than_asked_for_and_twice_the_last_one() {
        let mut longest = Longest::new(10 * MS);
        let reported = [10, 11, 21, 22, 43, 700].map(|time| longest.add(time * MS));
        let expected = [None, Some(11), None, Some(22), None, Some(700)];
        assert_eq!(reported, expected.map(|time| time.map(|time| time * MS)));
    }
}
