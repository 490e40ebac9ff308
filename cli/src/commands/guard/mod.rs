//! `cachemaint guard` and `cachemaint writeback`: files that other programs store to and never flush are written back,
//! again and again or once.
//!
//! # JSON
//! With `--json` each prints one object when it ends, with `"schema": 1`. Names may be added within a schema; the
//! meaning of an existing name does not change. Times are in nanoseconds.
//!
//! | name | what |
//! |---|---|
//! | `passes`, `files` | the number of passes; files in the last one |
//! | `lines`, `bytes` | written back by all passes, dirty or not |
//! | `problems` | the number of problems: each is reported on standard error, as long as that is read |
//! | `outside` | the most files and directories in one pass that it could not write back or look at: the bound does not hold for them |
//! | `longest_interval_ns` | the bound that was held for all others: from the beginning of a pass to the end of the next one. A new file counts from the last pass, or look at directories, without it |
//! | `longest_interval_at` | of `guard`: the time at which the longest interval with a file ended (RFC 3339, UTC), or `null` if none has |
//! | `longest_pass_ns`, `passes_ns`, `cpu_ns` | the longest pass; all of them; the CPU's time in them |
//! | `gone` | of `guard`: the PATHs that were not there any more in the last pass |
//! | `survives` | of `writeback`: list of `path`, `kexec` and `warm_reboot`: if bytes of its files that were written back survive these, as `survival` of `inspect`, or `null` if that is not known |
//! | `within_ns`, `cpu_share` | of `guard`: the goal; the share of one CPU's time that passes took |

mod asked;
mod longest;
mod messages;
mod once;
#[expect(unsafe_code, reason = "asks for real-time priority, which no crate here does")]
mod scheduling;

pub(crate) use once::{Arguments as OnceArguments, run as run_once};

use super::text::{self, heading, row, thousands};
use crate::interrupts;
use anyhow::{Context as _, anyhow};
use asked::{Cpu, Within};
use cachemaint::dax::guard::{Guard, Pass, Statistics};
use cachemaint::dax::{self, ErrorKind, FaultHandler};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use longest::{Longest, since_1970};
use messages::Messages;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Write back, again and again, files that other programs store to and never flush
///
/// It maps the files below PATH for reading and writes all their cache lines back every few milliseconds. A reset then
/// takes only the stores of that time from a program that never flushes: a tracer's last events, say. The program need
/// not be changed. Files that come, grow, shrink and go are followed. Links are not followed, even if a part of the
/// tree is exchanged for one.
///
/// It ends by SIGINT, SIGTERM or SIGHUP, with a last pass, and prints the bound that was held: the longest time for
/// which stored bytes of a file were not written back. A file that is new counts from the last pass without it. Files
/// that cannot be written back are reported, and the bound does not include them. If it found such files, and wrote
/// back no other, the exit code is 1. The guard cannot know which lines were dirty. A signal that it was started to
/// ignore, as by nohup, stays ignored.
///
/// A PATH that is moved, removed, unmounted or replaced by a link is reported, and guarded again when it is back. The
/// bound does not include it meanwhile. If one is missing in the last pass, the exit code is 1.
///
/// TIME is a goal: a loaded machine, a small share of the CPU or many files make the bound longer. The first interval
/// that is longer than TIME is reported on standard error when it ends. A later one is reported if it is at least twice
/// as long as the last one reported in the hour before.
///
/// Each file needs a descriptor. The command sets its own limit of open files to the hard one (ulimit -H -n), and to no
/// more than 524288. It reports the first 4096 files beyond it, and one directory for the others there.
///
/// Files of the page cache are refused, since a reset takes the page cache as a whole. With --page-cache they are
/// synced instead, which costs much more. If one file system has more than 16 of them, they are synced with all
/// other files there.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files, and directories of files in the same mount. A file system or directory that is mounted below one is another
    /// PATH
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The bound to aim at, such as 10ms or 1s: the longest time for which stored bytes may not have been written back
    #[arg(long, default_value = "10ms", value_name = "TIME")]
    within: Within,
    /// Take no more than this share of one CPU, even if the bound cannot be held then
    #[arg(long, default_value = "100%", value_name = "PERCENT")]
    cpu: Cpu,
    /// Write back at most this many MiB a second, so that other programs have some of the memory's bandwidth if all
    /// lines are dirty
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    bandwidth: Option<u32>,
    /// Take files of the page cache too, and sync them
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
    // Before this thread has another priority, which a new one would inherit.
    let mut messages = Messages::start().context("a thread cannot be started")?;
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
    let Within(within) = arguments.within;
    guard = guard.cpu_share(arguments.cpu.share());
    if let Some(bandwidth) = arguments.bandwidth {
        guard = guard.bytes_per_second(f64::from(bandwidth) * f64::from(1 << 20));
    }
    let since = Instant::now();
    let mut longest = Longest::new(within);
    let mut gone = 0;
    guard.run(within, &stop, |pass| {
        tell_problems(pass, |message| messages.tell(message));
        gone = pass.gone;
        let interval = pass.interval.filter(|_| pass.files > 0);
        if let Some(long) = interval.and_then(|interval| longest.add(interval, since_1970())) {
            messages.tell(format!("an interval of {long:?} has ended, {within:?} asked for"));
        }
    });
    let statistics = guard.statistics();
    let is_in_vain = (statistics.files, statistics.bytes) == (0, 0) && statistics.outside > 0;
    if gone > 0 {
        messages.tell(format!("not there in the last pass, and not guarded: {gone} of the paths"));
    } else if is_in_vain {
        messages.tell("nothing was guarded: no file there could be written back".to_owned());
    }
    messages.finish();
    let cpu_share = statistics.cpu.as_secs_f64() / since.elapsed().as_secs_f64();
    let within_ns = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    let longest_interval_at = longest.time();
    let document =
        Document { schema: 1, within_ns, cpu_share, gone, longest_interval_at, statistics };
    text::print(arguments.json, &document, |out| {
        print(out, &statistics, within, cpu_share, document.longest_interval_at.as_deref())
    })?;
    Ok(if is_in_vain || gone > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn stop_when_told() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    interrupts::handle(move || told.store(true, Ordering::Relaxed))?;
    Ok(stop)
}

/// Returns a guard of these paths, all of which it must be able to guard.
fn guard_of(paths: &[PathBuf], page_cache: bool) -> anyhow::Result<Guard> {
    scheduling::raise_open_files().context("the limit of open files cannot be raised")?;
    let installed = FaultHandler::install().context(
        "files that are cut meanwhile would end this command, and cannot be kept from it here",
    )?;
    let mut guard = Guard::new(installed);
    if page_cache {
        guard = guard.allow_page_granularity();
    }
    for path in paths {
        guard.add(path).map_err(|error| match page_granular(&error) {
            Some(text) => anyhow!(text),
            None => error.into(),
        })?;
    }
    Ok(guard)
}

/// Returns the text about a file that is persisted in pages: it names the option with which the file is accepted.
fn page_granular(error: &dax::Error) -> Option<String> {
    let ErrorKind::PageGranular(guarantee) = error.kind() else { return None };
    Some(format!(
        "{}: can be made persistent in whole pages only: {}; name a file on persistent memory, or sync it instead \
         (--page-cache)",
        error.path().display(),
        guarantee.reason
    ))
}

fn tell_problems(pass: &Pass, mut tell: impl FnMut(String)) {
    for problem in &pass.problems {
        let why = page_granular(problem).unwrap_or_else(|| problem.to_string());
        tell(format!("not guarded: {}", text::printable(why)));
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

fn print(
    out: &mut impl Write,
    statistics: &Statistics,
    within: Duration,
    cpu_share: f64,
    longest_at: Option<&str>,
) -> io::Result<()> {
    let Statistics { passes, files, lines, bytes, longest_interval, longest_pass, outside, .. } =
        *statistics;
    row(out, "passes", thousands(passes))?;
    row(out, "files", format!("{} in the last pass", thousands(files)))?;
    written(out, lines, bytes, " in all passes")?;
    row(out, "a pass", format!("took {longest_pass:?} at most"))?;
    row(out, "of a CPU", format!("{:.2} %", cpu_share * 100.0))?;
    let held = match passes {
        _ if (files, bytes) == (0, 0) => "none".to_owned(),
        0..2 => "unknown".to_owned(),
        _ => format!("{longest_interval:?}"),
    };
    row(out, "bound", format!("{held} held, {within:?} asked for"))?;
    if let Some(time) = longest_at.filter(|_| (files, bytes) != (0, 0)) {
        row(out, "longest", format!("the interval that ended at {time}"))?;
    }
    if outside > 0 {
        let outside = thousands(outside);
        row(out, "outside", format!("the bound is not that of {outside} files or directories"))?;
    }
    Ok(())
}

/// Prints the extent of the work. Files of the page cache are synced, and have no lines.
fn written(out: &mut impl Write, lines: u64, bytes: u64, passes: &str) -> io::Result<()> {
    let of_bytes = format!("{} bytes{passes}", thousands(bytes));
    if lines == 0 && bytes > 0 {
        return row(out, "synced", of_bytes);
    }
    row(out, "written", format!("{} lines, {of_bytes}, dirty or not", thousands(lines)))
}

#[cfg(test)]
mod tests {
    use super::{Statistics, print};
    use core::time::Duration;

    fn printed(of_each: impl FnOnce(&mut Statistics)) -> String {
        let mut statistics = Statistics::default();
        (statistics.passes, statistics.longest_interval) = (440, Duration::from_millis(16));
        of_each(&mut statistics);
        let mut out = Vec::new();
        let at = Some("2001-09-09T01:46:40.123Z");
        print(&mut out, &statistics, Duration::from_millis(10), 0.01, at).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn files_of_the_page_cache_are_synced_and_have_no_lines() {
        let synced = printed(|it| (it.files, it.bytes) = (1, 1_320));
        assert!(synced.contains("synced      1,320 bytes in all passes\n"), "{synced}");
        let written = printed(|it| (it.files, it.lines, it.bytes) = (1, 880, 56_320));
        assert!(
            written.contains("880 lines, 56,320 bytes in all passes, dirty or not"),
            "{written}"
        );
        let bound = "bound       16ms held, 10ms asked for\n\
                     longest     the interval that ended at 2001-09-09T01:46:40.123Z\n";
        assert!(written.contains(bound), "{written}");
    }

    #[test]
    fn without_a_file_no_bound_is_held() {
        let nothing = printed(|_| ());
        assert!(nothing.ends_with("bound       none held, 10ms asked for\n"), "{nothing}");
    }
}
