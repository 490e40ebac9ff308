//! The table of the readers' costs, and the contract.

use std::io::{self, Write};

use super::process::{Cost, LIMIT};

/// The classes of contents.
const CLASSES: [&str; 3] = ["intact", "damaged", "crafted"];
/// Milliseconds of CPU time for each MiB of an intact file, for a reader that prints neither events nor records.
const INTACT: f64 = 2.0;
/// The same for damaged and crafted files, and any reader.
const OTHERS: f64 = 50.0;
/// Milliseconds for the start of a process. It is little beside the reading of files of this size in MiB.
const START: f64 = 20.0;
const LARGE: u32 = 16;
/// The most that a MiB of a larger file may cost, as a multiple of that of the first large one, and milliseconds for noise.
const GROWTH: f64 = 1.5;
const NOISE: f64 = 0.1;
/// The most memory, in MiB.
const MEMORY: f64 = 16.0;

/// The costs of a reader.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) format: &'static str,
    pub(super) reader: &'static str,
    /// True if it prints each event or record.
    prints: bool,
    /// By class and size: the most of all contents of the class.
    costs: [Vec<Cost>; CLASSES.len()],
    /// Unexpected ends.
    pub(super) endings: Vec<String>,
}

impl Row {
    pub(super) fn new(
        format: &'static str,
        (reader, prints): (&'static str, bool),
        sizes: usize,
    ) -> Self {
        let costs = CLASSES.map(|_class| vec![Cost::NONE; sizes]);
        Self { format, reader, prints, costs, endings: Vec::new() }
    }

    pub(super) fn add(&mut self, class: usize, size: usize, cost: Cost) {
        let most = &mut self.costs[class][size];
        *most = most.most(cost);
    }

    /// Returns the parts of the contract that the reader breaks.
    fn complaints(&self, sizes: &[u32]) -> String {
        let mut found = self.endings.clone();
        for (class, costs) in CLASSES.iter().zip(&self.costs) {
            let limit = match *class {
                "intact" if self.prints => f64::INFINITY,
                "intact" => INTACT,
                _ => OTHERS,
            };
            let each = || costs.iter().zip(sizes.iter().copied());
            let mut large =
                each().filter(|(_, mib)| *mib >= LARGE).map(|(cost, mib)| cost.of_a_mib(mib));
            let most = large.next().map_or(f64::INFINITY, |first| GROWTH * first + NOISE);
            if costs.iter().any(|cost| cost.is_slow()) {
                found.push(format!("{class}: more than {} s", LIMIT.as_secs()));
            } else if each().any(|(cost, mib)| cost.cpu * 1e3 > limit * f64::from(mib) + START) {
                found.push(format!("{class}: more than {limit} ms"));
            } else if large.any(|later| later > most) {
                found.push(format!("{class}: not linear"));
            }
            if costs.iter().any(|cost| cost.mib > MEMORY) {
                found.push(format!("{class}: more than {MEMORY} MiB of memory"));
            }
        }
        found.join("; ")
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) heading: String,
    pub(super) sizes: Vec<u32>,
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Returns a line for each reader that breaks the contract.
    pub(super) fn complaints(&self) -> String {
        let lines = self.rows.iter().map(|row| (row, row.complaints(&self.sizes)));
        let lines = lines.filter(|(_, found)| !found.is_empty());
        let lines = lines.map(|(row, found)| format!("{} ({}): {found}", row.reader, row.format));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Prints the table as Markdown.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}\n", self.heading)?;
        write!(out, "| reader | file |")?;
        self.sizes.iter().try_for_each(|mib| write!(out, " {mib} MiB |"))?;
        writeln!(out, " seconds | memory | beyond the contract |")?;
        writeln!(out, "|---|---|{}---|---|---|", "---|".repeat(self.sizes.len()))?;
        for row in &self.rows {
            write!(out, "| `{}` | {} |", row.reader, row.format)?;
            for (size, mib) in self.sizes.iter().enumerate() {
                let costs = row.costs.each_ref().map(|costs| figure(costs[size].of_a_mib(*mib)));
                write!(out, " {} |", costs.join(" / "))?;
            }
            let wall = row.costs.each_ref().map(|costs| figure(costs[self.sizes.len() - 1].wall));
            let memory = row.costs.iter().flatten().fold(0.0, |most: f64, cost| most.max(cost.mib));
            let found = row.complaints(&self.sizes);
            writeln!(out, " {} | {} | {found} |", wall.join(" / "), figure(memory))?;
        }
        Ok(())
    }
}

/// Returns a number with two digits or more.
fn figure(number: f64) -> String {
    match number {
        f64::INFINITY => format!("> {} s", LIMIT.as_secs()),
        10.0.. => format!("{number:.0}"),
        1.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Row};

    const SIZES: [u32; 3] = [1, 16, 64];

    /// Returns the complaints about a reader of intact files that takes so many milliseconds, and so many MiB.
    fn complaints(mut row: Row, milliseconds: [f64; 3], mib: f64) -> String {
        for (size, cpu) in milliseconds.into_iter().enumerate() {
            row.add(0, size, Cost { cpu: cpu / 1e3, wall: 0.0, mib });
        }
        row.complaints(&SIZES)
    }

    #[test]
    fn a_reader_within_its_contract_is_not_named() {
        let row = || Row::new("journal", ("stat", false), 3);
        assert_eq!(complaints(row(), [21.9, 31.0, 127.0], 16.0), "");
        // A MiB may cost one and a half times as much.
        assert_eq!(complaints(row(), [2.0, 10.0, 60.0], 3.0), "");
    }

    #[test]
    fn each_limit_that_is_exceeded_is_named() {
        let row = || Row::new("journal", ("stat", false), 3);
        assert_eq!(complaints(row(), [22.1, 32.0, 128.0], 3.0), "intact: more than 2 ms");
        assert_eq!(complaints(row(), [2.0, 10.0, 70.0], 3.0), "intact: not linear");
        assert_eq!(
            complaints(row(), [2.0, 10.0, 40.0], 17.0),
            "intact: more than 16 MiB of memory"
        );
        let late = [2.0, 10.0, f64::INFINITY];
        assert_eq!(complaints(row(), late, 3.0), "intact: more than 60 s");
        let mut crafted = row();
        crafted.add(2, 2, Cost { cpu: 3.23, ..Cost::NONE });
        assert_eq!(crafted.complaints(&SIZES), "crafted: more than 50 ms");
    }

    #[test]
    fn a_reader_that_prints_has_no_limit_for_intact_files_but_is_linear() {
        let row = || Row::new("recording", ("dump", true), 3);
        assert_eq!(complaints(row(), [90.0, 1600.0, 6400.0], 3.0), "");
        assert_eq!(complaints(row(), [90.0, 1600.0, 9700.0], 3.0), "intact: not linear");
    }
}
