//! The readers of the command: CPU time, wall time and memory by the content and the size of a file.
//!
//! The benchmark `readers` makes the files, with the library's own writers. Each reader is a process of its own, whose
//! output is discarded. The files are in the page cache.

mod process;
mod table;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::command::Cmd;
use crate::host::Host;
use crate::output::Output;
use crate::plot::machine;
use crate::report::{Finding, Report, Tests};
use process::Cost;
use table::{Row, Table};

/// Sizes of the files in MiB.
const SIZES: [u32; 5] = [1, 16, 64, 256, 1024];

/// The crafted files of a format, and its readers: arguments of the command before the file.
struct Format {
    name: &'static str,
    crafted: &'static [&'static str],
    /// Those that print each event or record.
    printing: &'static [&'static str],
    others: &'static [&'static str],
}

const FORMATS: [Format; 4] = [
    Format {
        name: "journal",
        crafted: &["candidates", "nested", "random"],
        printing: &["journal read", "journal salvage"],
        others: &["stat", "journal verify"],
    },
    Format {
        name: "recording",
        crafted: &["small candidates", "large candidates", "idle shards", "random"],
        printing: &["dump", "dump --json"],
        // An opening changes the file, so it is the last one. Standard input is empty.
        others: &["stat", "record"],
    },
    Format {
        name: "names",
        crafted: &["many names"],
        printing: &["dump", "dump --json"],
        others: &["stat"],
    },
    Format {
        name: "store",
        crafted: &["one blob", "overlaps"],
        printing: &[],
        others: &["stat", "preserve verify", "preserve list"],
    },
];

#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Measure this command, of another state of the tree for example, and build none.
    #[arg(long, value_name = "PATH")]
    command: Option<PathBuf>,
    /// Make the files by this build of the benchmark `readers`, for a command that reads other versions of the formats.
    #[arg(long, value_name = "PATH")]
    maker: Option<String>,
    /// The size of the largest files in MiB: 1, 16, 64, 256 or 1024. There is one file at a time.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    largest: u32,
}

/// Runs each reader on each small file.
pub(crate) fn quick(host: &Host, report: &mut Report) -> Result<()> {
    run(host, report, &Request { command: None, maker: None, largest: 1 })
}

pub(crate) fn run(host: &Host, report: &mut Report, request: &Request) -> Result<()> {
    report.check("contract", "no reader takes more time or memory than it may", || {
        let measurement = Measurement::new(host, request)?;
        let medium = Cmd::new("stat").words("-f -c %T").arg(measurement.path()).read()?;
        let load = fs::read_to_string("/proc/loadavg")?;
        let heading = format!(
            "{}; files in the page cache of {}; load before the run: {}",
            machine::processor_and_kernel()?,
            medium.trim(),
            load.split(' ').next().unwrap_or_default(),
        );
        let table = measurement.table(heading)?;
        table.print(&mut Output)?;
        Ok(Finding::of(Tests::default(), table.complaints()))
    })
}

struct Measurement {
    command: PathBuf,
    maker: Cmd,
    file: PathBuf,
    sizes: Vec<u32>,
}

impl Measurement {
    fn new(host: &Host, request: &Request) -> Result<Self> {
        let built = || -> Result<PathBuf> {
            Cmd::cargo("build --release -p cachemaint-cli").read()?;
            Ok(host.target_dir("release").join("cachemaint"))
        };
        let command = request.command.clone().map_or_else(built, Ok)?;
        let maker = match &request.maker {
            Some(maker) => Cmd::new(maker),
            None => Cmd::cargo("bench -q -p cachemaint-benches --bench readers --"),
        };
        let file = host.target_dir("readers");
        fs::write(&file, [])?;
        // The file, and as much for others.
        let found = rustix::fs::statvfs(&file)?;
        let largest = (found.f_bavail * found.f_frsize) >> 21;
        let wanted = SIZES.into_iter().filter(|mib| *mib <= request.largest);
        let (sizes, others): (Vec<_>, Vec<_>) = wanted.partition(|mib| u64::from(*mib) <= largest);
        for mib in others {
            writeln!(Output, "left out: {mib} MiB, for which {} has no space", file.display())?;
        }
        ensure!(!sizes.is_empty(), "no size is left: 1 MiB is the smallest one");
        Ok(Self { command, maker, file, sizes })
    }

    fn path(&self) -> String {
        self.file.display().to_string()
    }

    fn table(self, heading: String) -> Result<Table> {
        let mut rows = Vec::new();
        for format in &FORMATS {
            let printing = format.printing.iter().map(|reader| (*reader, true));
            let readers = printing.chain(format.others.iter().map(|reader| (*reader, false)));
            let row = |reader| Row::new(format.name, reader, self.sizes.len());
            let mut of_format: Vec<_> = readers.map(row).collect();
            self.measure(&mut of_format, 0, "intact")?;
            self.measure(&mut of_format, 1, "damaged")?;
            for content in format.crafted {
                self.measure(&mut of_format, 2, content)?;
            }
            rows.append(&mut of_format);
        }
        fs::remove_file(&self.file)?;
        Ok(Table { heading, sizes: self.sizes, rows })
    }

    /// Runs the readers on a content of each size. A reader that was too slow does not get larger files.
    fn measure(&self, rows: &mut [Row], class: usize, content: &str) -> Result<()> {
        writeln!(Output, "{} {content}", rows[0].format)?;
        let mut slow = vec![false; rows.len()];
        for (size, mib) in self.sizes.iter().enumerate() {
            let make = self.maker.clone().args(["--make", rows[0].format, content]);
            make.arg(mib.to_string()).arg(self.path()).read()?;
            for (row, slow) in rows.iter_mut().zip(&mut slow) {
                let (mut cost, mut ending) = (Cost::SLOW, None);
                if !*slow {
                    (cost, ending) = process::cost(&self.command, row.reader, &self.file)?;
                }
                *slow = cost.is_slow();
                row.add(class, size, cost);
                // 1 reports damage.
                let most = i32::from(content != "intact");
                if let Some(ending) = ending
                    && ending.code().is_none_or(|code| code > most)
                {
                    row.endings.push(format!("{content}, {mib} MiB: {ending}"));
                }
            }
        }
        Ok(())
    }
}
