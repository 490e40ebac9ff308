//! `cachemaint guard` and `cachemaint writeback`: files that other programs store to and never flush are written back,
//! again and again or once.
//!
//! # JSON
//! With `--json` each prints one object when it ends, with `"schema": 1`. Names may be added within a schema; the
//! meaning of an existing name does not change. Times are in nanoseconds.
//!
//! | name | what |
//! |---|---|
//! | `passes`, `files` | the number of passes; files that the last one has written back |
//! | `lines`, `bytes` | written back by all passes, dirty or not |
//! | `problems` | the number of problems: each is reported on standard error, as long as that is read |
//! | `outside` | the most files and directories in one pass that it could not write back or look at: the bound does not hold for them |
//! | `longest_interval_ns` | the bound that was held for all others: from the beginning of a pass to the end of the next one. A new file counts from the last look without it |
//! | `longest_interval_at` | of `guard`: the time at which the longest interval ended (RFC 3339, UTC), or `null` if none has |
//! | `longest_pass_ns`, `passes_ns`, `cpu_ns` | the longest pass; all of them; the CPU's time in them |
//! | `gone` | of `guard`: the PATHs that were not there any more at the last look |
//! | `survives` | of `writeback`: list of `path`, `kexec` and `warm_reboot`: if bytes of its files that were written back survive these, as `survival` of `inspect`, or `null` if that is not known |
//! | `within_ns`, `cpu_share` | of `guard`: the goal; the share of one CPU's time that passes took |
//!
//! | module | contents |
//! |---|---|
//! | `trees` | a look at a tree |
//! | `file` | one file or file system, and its write-back |
//! | `guard` | the files of all trees, and the passes over them |
//! | `clock` | the beginnings of passes |
//! | `once` | `cachemaint writeback` |

mod clock;
#[expect(unsafe_code, reason = "writes the lines of a mapping back")]
mod file;
#[expect(clippy::module_inception, reason = "the type stands in a file of its name")]
mod guard;
mod once;
#[expect(unsafe_code, reason = "asks for real-time priority, which no crate here does")]
mod scheduling;
mod trees;

pub(crate) use once::{Arguments as OnceArguments, run as run_once};

use super::text::{self, heading, row, thousands};
use super::time;
use crate::interrupts;
use anyhow::{Context as _, bail};
use cachemaint::dax::{self, ErrorKind, FaultHandler, Guarantee};
use cachemaint::medium::Granularity;
use clock::Pace;
use core::time::Duration;
use file::Written;
use guard::{Guard, Pass, Statistics};
use jiff::Timestamp;
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Instant, UNIX_EPOCH};
use trees::Root;

/// Write back, again and again, files that other programs store to and never flush
///
/// It maps the files below PATH for reading and writes all their cache lines back every few milliseconds. A reset then
/// takes only the stores of that time from a program that never flushes: a tracer's last events, say. The program need
/// not be changed. The guard cannot know which lines were dirty. It looks for new files once a second, and does not follow
/// links.
///
/// It ends by SIGINT, SIGTERM or SIGHUP, with a last pass, and prints the bound that was held: the longest time for
/// which stored bytes of a file were not written back. A file that is new counts from the last look without it: its first
/// interval is about a second. Files that cannot be written back are reported once, and the bound does not include them. If
/// it found such files, and wrote back no other, the exit code is 1. A signal that it was started to ignore, as by nohup,
/// stays ignored.
///
/// A PATH that is moved, removed, unmounted or replaced by a link is reported, and guarded again when it is back.
/// If one is missing at the end, the exit code is 1.
///
/// TIME is a goal: a loaded machine, a small share of the CPU or many files make the bound longer. The first interval
/// that is longer than TIME is reported on standard error when it ends, and each later one that is twice as long as the
/// last reported one.
///
/// Files of the page cache are refused, since a reset takes the page cache as a whole. With --page-cache their file systems
/// are synced instead, with all other files there.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files, and directories of files in the same mount. A file system or directory that is mounted below one is another
    /// PATH
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The bound to aim at, such as 10ms or 1s: the longest time for which stored bytes may not have been written back
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = within)]
    within: Duration,
    /// Take no more than this share of one CPU, even if the bound cannot be held then
    #[arg(long, default_value = "100%", value_name = "PERCENT", value_parser = cpu_share)]
    cpu: f64,
    /// Take files of the page cache too, and sync their file systems
    #[arg(long)]
    page_cache: bool,
    /// Run at this real-time priority, before all ordinary threads: the bound is only as good as the scheduler
    #[arg(long, value_name = "PRIORITY", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(1..=99))]
    real_time: Option<u8>,
    /// Keep the guard's own memory from being swapped out, as far as it is used
    #[arg(long)]
    lock_memory: bool,
    /// Print one JSON document at the end
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    within_ns: u64,
    cpu_share: f64,
    gone: u64,
    longest_interval_at: Option<String>,
    #[serde(flatten)]
    statistics: Statistics,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // The handler is set before anything is mapped: a program that sees the mappings may send a signal.
    let stop = stop_when_told()?;
    let mut guard = guard_of(&arguments.paths, arguments.page_cache)?;
    if arguments.lock_memory {
        scheduling::lock_memory().context("the memory cannot be locked (RLIMIT_MEMLOCK)")?;
    }
    if let Some(priority) = arguments.real_time {
        scheduling::be_real_time(priority)
            .context("the real-time priority cannot be set (CAP_SYS_NICE, RLIMIT_RTPRIO)")?;
    }
    if !arguments.json
        && let Err(error) = print_worth(&arguments.paths)
    {
        text::tell!("cachemaint: guarding, without this report: {error}");
    }
    let (since, within) = (Instant::now(), arguments.within);
    let mut longest = Longest::new(within);
    let pace = Pace { within, cpu_share: arguments.cpu };
    pass_until(&stop, &pace, &mut guard, |pass| {
        tell_problems(pass);
        if let Some(long) = pass.interval.and_then(|interval| longest.add(interval)) {
            text::tell!("cachemaint: an interval of {long:?} has ended, {within:?} asked for");
        }
    });
    let (statistics, gone) = (guard.statistics(), guard.gone());
    let is_in_vain = (statistics.files, statistics.bytes) == (0, 0) && statistics.outside > 0;
    if gone > 0 {
        text::tell!("cachemaint: not there at the end, and not guarded: {gone} of the paths");
    } else if is_in_vain {
        text::tell!("cachemaint: nothing was guarded: no file there could be written back");
    }
    let document = Document {
        schema: 1,
        within_ns: u64::try_from(within.as_nanos()).unwrap_or(u64::MAX),
        cpu_share: statistics.cpu.as_secs_f64() / since.elapsed().as_secs_f64(),
        gone,
        longest_interval_at: longest.ended.map(|ended| format!("{ended:.3}")),
        statistics,
    };
    text::print(arguments.json, &document, |out| print(out, &document, within))?;
    Ok(if is_in_vain || gone > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes passes until it is told to stop, and a last one.
fn pass_until(stop: &Receiver<()>, pace: &Pace, guard: &mut Guard, mut each: impl FnMut(&Pass)) {
    loop {
        let pass = guard.pass(false);
        each(&pass);
        let next = pace.next(pass.took, pass.cpu);
        if stop.recv_timeout(next.saturating_sub(pass.began.elapsed())).is_ok() {
            return each(&guard.pass(true));
        }
    }
}

fn stop_when_told() -> anyhow::Result<Receiver<()>> {
    let (tell, told) = channel();
    // A guard that has ended is not told again.
    interrupts::handle(move || tell.send(()).unwrap_or(()))?;
    Ok(told)
}

/// The longest interval, which is reported while the guard runs: after a reset no other report is there.
struct Longest {
    interval: Duration,
    ended: Option<Timestamp>,
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
            (self.interval, self.ended) = (interval, now());
        }
        let is_due = interval > self.within && interval >= self.reported.saturating_mul(2);
        is_due.then(|| {
            self.reported = interval;
            interval
        })
    }
}

fn now() -> Option<Timestamp> {
    let since_1970 = UNIX_EPOCH.elapsed().ok()?;
    Timestamp::from_nanosecond(since_1970.as_nanos().try_into().ok()?).ok()
}

fn within(text: &str) -> Result<Duration, &'static str> {
    time::parse(text).ok_or("say a time such as 10ms or 1s")
}

/// Reads percent of one CPU's time as a share.
fn cpu_share(text: &str) -> Result<f64, &'static str> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let percent = percent.filter(|percent| (0.01..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or("say a share such as 5% or 0.5%, of 100% at most")
}

/// Returns a guard of these paths, all of which it must be able to guard.
fn guard_of(paths: &[PathBuf], page_cache: bool) -> anyhow::Result<Guard> {
    let open_files =
        scheduling::raise_open_files().context("the limit of open files cannot be raised")?;
    FaultHandler::install().context(
        "files that are cut meanwhile would end this command, and cannot be kept from it here",
    )?;
    if page_cache && !scheduling::syncfs_reports_failures() {
        bail!("--page-cache needs Linux 5.8: a sync of a file system reports no failure before");
    }
    let roots = paths.iter().map(|path| root(path, page_cache)).collect::<Result<_, _>>()?;
    Ok(Guard::new(roots, page_cache, open_files))
}

fn root(path: &Path, page_cache: bool) -> anyhow::Result<Root> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        bail!("{}: is a symbolic link; name its target", path.display());
    }
    match dax::probe(path) {
        Ok(guarantee) if page_cache && guarantee.file_system.starts_with("fuse") => bail!(
            "{}: a sync of a FUSE file system does not reach its server; call fsync in the program itself",
            path.display()
        ),
        Ok(guarantee) if matches!(guarantee.granularity, Granularity::Page(_)) && !page_cache => {
            bail!(refusal(path, &guarantee))
        }
        // A directory in which this user can create no file to ask about: each file is asked about when it is found.
        Err(_) if fs::read_dir(path).is_ok() => {}
        probed => drop(probed?),
    }
    Root::new(path).with_context(|| path.display().to_string())
}

/// Returns the text about a file that is persisted in pages: it names the option with which the file is accepted.
fn page_granular(error: &dax::Error) -> Option<String> {
    let ErrorKind::PageGranular(guarantee) = error.kind() else { return None };
    Some(refusal(error.path(), guarantee))
}

fn refusal(path: &Path, guarantee: &Guarantee) -> String {
    format!(
        "{}: can be made persistent in whole pages only: {}; name a file on persistent memory, or sync it instead \
         (--page-cache)",
        path.display(),
        guarantee.reason
    )
}

fn tell_problems(pass: &Pass) {
    for problem in &pass.problems {
        text::tell!("cachemaint: not guarded: {}", text::printable(problem));
    }
}

/// Prints the guarantees of the files, with a write-back and without.
fn print_worth(paths: &[PathBuf]) -> io::Result<()> {
    let out = &mut anstream::stdout().lock();
    for path in paths {
        heading(out, &text::printable(path.display()))?;
        match dax::probe(path) {
            Ok(guarantee) => {
                row(out, "granularity", guarantee.granularity)?;
                row(out, "because", &guarantee.reason)?;
                writeln!(out)?;
                text::survival(out, &guarantee)?;
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
    // A reader at the other end of a pipe must see it now.
    out.flush()
}

fn print(out: &mut impl Write, document: &Document, within: Duration) -> io::Result<()> {
    let Statistics { passes, files, longest_interval, longest_pass, outside, .. } =
        document.statistics;
    let written = Written { bytes: document.statistics.bytes, lines: document.statistics.lines };
    row(out, "passes", thousands(passes))?;
    row(out, "files", format!("{} in the last pass", thousands(files)))?;
    print_written(out, written, " in all passes")?;
    row(out, "a pass", format!("took {longest_pass:?} at most"))?;
    row(out, "of a CPU", format!("{:.2} %", document.cpu_share * 100.0))?;
    let held = match &document.longest_interval_at {
        _ if (files, written.bytes) == (0, 0) => "none".to_owned(),
        None => "unknown".to_owned(),
        Some(_) => format!("{longest_interval:?}"),
    };
    row(out, "bound", format!("{held} held, {within:?} asked for"))?;
    if let Some(time) = &document.longest_interval_at {
        row(out, "longest", format!("the interval that ended at {time}"))?;
    }
    if outside > 0 {
        let outside = thousands(outside);
        row(out, "outside", format!("the bound is not that of {outside} files or directories"))?;
    }
    Ok(())
}

/// Prints the extent of the work. Files that are synced have no lines.
fn print_written(out: &mut impl Write, written: Written, passes: &str) -> io::Result<()> {
    let Written { bytes, lines } = written;
    let of_bytes = format!("{} bytes{passes}", thousands(bytes));
    if lines == 0 && bytes > 0 {
        return row(out, "synced", of_bytes);
    }
    row(out, "written", format!("{} lines, {of_bytes}, dirty or not", thousands(lines)))
}

#[cfg(test)]
mod tests {
    use super::{Document, Longest, Statistics, cpu_share, print, within};
    use core::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn times_and_shares_are_read() {
        assert_eq!(within("10ms"), Ok(10 * MS));
        assert_eq!((cpu_share("5%"), cpu_share("0.5")), (Ok(0.05), Ok(0.005)));
        for wrong in ["", "%", "0%", "0ms", "101%", "-1", "NaN", "inf"] {
            assert!(within(wrong).is_err() && cpu_share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interval_is_reported_if_it_is_longer_than_asked_for_and_twice_the_last_one() {
        let mut longest = Longest::new(10 * MS);
        let reported = [10, 11, 21, 22, 43, 700].map(|time| longest.add(time * MS));
        let expected = [None, Some(11), None, Some(22), None, Some(700)];
        assert_eq!(reported, expected.map(|time| time.map(|time| time * MS)));
    }

    #[test]
    fn a_bound_is_printed_if_one_was_held() {
        let printed = |at: Option<&str>, bytes| {
            let longest_interval = 16 * MS;
            let files = u64::from(bytes > 0);
            let statistics = Statistics { files, bytes, longest_interval, ..Statistics::default() };
            let longest_interval_at = at.map(str::to_owned);
            let document = Document {
                schema: 1,
                within_ns: 0,
                cpu_share: 0.01,
                gone: 0,
                longest_interval_at,
                statistics,
            };
            let mut out = Vec::new();
            print(&mut out, &document, 10 * MS).unwrap();
            String::from_utf8(out).unwrap()
        };
        let held = printed(Some("2001-09-09T01:46:40.123Z"), 1_320);
        assert!(held.contains("synced      1,320 bytes in all passes\n"), "{held}");
        let bound = "bound       16ms held, 10ms asked for\n\
                     longest     the interval that ended at 2001-09-09T01:46:40.123Z\n";
        assert!(held.ends_with(bound), "{held}");
        let unknown = printed(None, 1_320);
        assert!(unknown.ends_with("bound       unknown held, 10ms asked for\n"), "{unknown}");
        let nothing = printed(None, 0);
        assert!(nothing.ends_with("bound       none held, 10ms asked for\n"), "{nothing}");
    }
}
