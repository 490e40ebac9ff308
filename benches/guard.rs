//! A guard: a pass over 10 MiB against one write-back of the same mapping, and the cost of LTTng-UST's events beside a
//! guard.
//!
//! The guard makes a pass every 10 ms on another core, if LTTng-UST is installed.
//!
//! The file is in the directory for temporary files (`TMPDIR`), LTTng-UST's buffers are below `/dev/shm`. A guard
//! refuses files that cannot be written back by lines; then the measurements that need it are skipped with the reason.
//! Before each pass all lines are dirty in the caches of the CPU that makes it.
//!
//! After criterion's figures the ratios are printed, from interleaved blocks, with their 95 % intervals.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("skipped: a guard (this system does not have it)");
}

#[cfg(target_os = "linux")]
mod linux {
    use cachemaint::dax::guard::Guard;
    use cachemaint::dax::{self, DaxFile, FaultHandler};
    use cachemaint_benches::Outcome;
    use cachemaint_benches::contenders::{Case, Contender, run_cases};
    use cachemaint_benches::lttng::Lttng;
    use cachemaint_cli::measure::blocks::{Blocks, Loop};
    use cachemaint_cli::measure::clock::Clock;
    use cachemaint_cli::measure::pinning;
    use core::cell::Cell;
    use core::error::Error;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::time::Duration;
    use std::io::{self, Write};
    use std::process::ExitCode;
    use std::sync::{Mutex, PoisonError};
    use std::thread;
    use tempfile::TempDir;

    /// The default size of the buffers on a machine with two CPUs.
    const BYTES: usize = 10 << 20;
    /// The goal for a pass relative to a bare write-back of the same lines.
    const PASS: f64 = 1.1;
    /// Events of a block: enough for some passes beside them.
    const EVENTS: u32 = 1 << 20;
    const WITHIN: Duration = Duration::from_millis(10);

    pub(super) fn main() -> ExitCode {
        run_cases(Bench::new(), "a guard", Blocks::at_least(51), |bench, then| {
            bench.for_each_case(then)
        })
    }

    struct Bench {
        clock: Clock,
        /// The cores that this process may use, before its thread was pinned to one.
        cores: Vec<usize>,
        installed: FaultHandler,
        file: Result<DaxFile, dax::Error>,
        _directory: TempDir,
        lttng: Option<Lttng>,
    }

    impl Bench {
        fn new() -> Result<Self, Box<dyn Error>> {
            let directory = TempDir::new()?;
            let file = dax::Options::new().create_new(directory.path().join("file"), BYTES as u64);
            if let Err(why) = &file {
                writeln!(io::stderr(), "skipped: a pass ({why})")?;
            }
            Ok(Self {
                clock: Clock::new(),
                cores: pinning::available()?,
                installed: FaultHandler::install()?,
                file,
                _directory: directory,
                lttng: Lttng::if_installed()?,
            })
        }

        fn for_each_case(&self, mut then: impl FnMut(Case<'_>) -> Outcome) -> Outcome {
            if let Ok(file) = &self.file {
                let contenders = vec![self.pass(file)?, self.bare(file)];
                let name = format!("a pass over {} MiB", BYTES >> 20);
                then(Case { name, operations: 1, goal_ns: None, contenders })?;
            }
            if let Some(lttng) = &self.lttng {
                self.events(lttng, &mut then)?;
            }
            Ok(())
        }

        /// Makes the contender of a pass over a file whose lines are all dirty.
        fn pass<'a>(&'a self, file: &'a DaxFile) -> Result<Contender<'a>, Box<dyn Error>> {
            let mut guard = Guard::new(self.installed);
            guard.add(file.path())?;
            let block_ns = move || {
                soil(file);
                let mut lines = 0;
                let ns = self.clock.time_completed(|| lines = guard.pass().lines);
                assert_eq!(lines, (BYTES / 64) as u64, "all of it is guarded");
                ns
            };
            Ok(contender("guard", Box::new(block_ns)))
        }

        fn bare<'a>(&'a self, file: &'a DaxFile) -> Contender<'a> {
            let block_ns = move || {
                soil(file);
                let mut persisted = Ok(());
                let ns = self.clock.time_completed(|| persisted = file.persist(0..BYTES as u64));
                assert!(persisted.is_ok(), "it is written back by lines");
                ns
            };
            let name = "one persist of all lines".to_owned();
            Contender { name, goal: Some(PASS), block_ns: Box::new(block_ns) }
        }

        fn events(&self, lttng: &Lttng, then: &mut impl FnMut(Case<'_>) -> Outcome) -> Outcome {
            let mut guard = Guard::new(self.installed);
            if let Err(why) = guard.add(lttng.buffers()) {
                return Ok(writeln!(io::stderr(), "skipped: events beside a guard ({why})")?);
            }
            let own = pinning::available()?;
            let is_apart = |cpu: &usize| {
                !own.contains(cpu)
                    && own.iter().all(|own| pinning::one_of_each_core(&[*own, *cpu]).len() == 2)
            };
            let Some(other) = self.cores.iter().copied().find(is_apart) else {
                return Ok(writeln!(io::stderr(), "skipped: events beside a guard (one core)")?);
            };
            let (guard, next) = (Mutex::new(guard), Cell::new(1_u64));
            let record = || {
                let first = next.replace(next.get() + u64::from(EVENTS));
                let ns = self.clock.time_completed(|| lttng.record(first, EVENTS.into()));
                assert!(lttng.is_enabled(), "LTTng-UST has ceased to record");
                ns / f64::from(EVENTS)
            };
            let beside = || {
                let stop = AtomicBool::new(false);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        assert!(pinning::pin(other).is_ok(), "the guard has core {other}");
                        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
                        guard.run(WITHIN, &stop, |pass| assert!(pass.problems.is_empty()));
                    });
                    let ns = record();
                    stop.store(true, Ordering::Relaxed);
                    ns
                })
            };
            let contenders = vec![
                contender("beside a guard", Box::new(beside)),
                contender("alone", Box::new(record)),
            ];
            let name = "an event of LTTng-UST".to_owned();
            then(Case { name, operations: EVENTS as usize, goal_ns: None, contenders })
        }
    }

    fn contender<'a>(name: &str, block_ns: Loop<'a, f64>) -> Contender<'a> {
        Contender { name: name.to_owned(), goal: None, block_ns }
    }

    /// Stores to each line.
    fn soil(file: &DaxFile) {
        for at in (0..BYTES as u64).step_by(64) {
            file.store(at, at | 1, Ordering::Relaxed);
        }
    }
}
