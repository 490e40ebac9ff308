//! The lanes that prove that the emulator plugin (`lose-lines/plugin`) finds the mistakes that it must.
//!
//! They boot the image `planted` of `tests/lab/freestanding`, which makes mistakes on purpose. A
//! verdict that differs from the table below, in either direction, is a failure; so are an exception,
//! a panic and any end but the image's power-off.

use anyhow::{Context as _, Result, ensure};
use lose_lines::plugin::{Streaming, Verdict};
use lose_lines::temporary::Temporary;

use crate::board::{self, Board};
use crate::cpus::passed;
use crate::freestanding::faults;
use crate::lane::Lane;

/// The numbers of dirty and unfenced lines.
type Left = (u64, u64);

/// A mode of the plugin: the effects of a streaming store and of a locked access.
type Mode = (Streaming, Locked);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locked {
    Ordinary,
    Fence,
}

const MODES: [Mode; 3] = [
    (Streaming::Ordinary, Locked::Ordinary),
    (Streaming::Evicting, Locked::Ordinary),
    (Streaming::Ordinary, Locked::Fence),
];

/// A sequence of the image: its number, its description, and the lines that it must leave in each of [`MODES`].
type Planted = (u64, &'static str, [Left; MODES.len()]);

/// The sequences of every architecture. The watched range has 8 lines.
const PLANTED: [Planted; 16] = [
    (1, "all is written back and fenced", [(0, 0); 3]),
    (2, "one line is not written back", [(1, 0); 3]),
    (3, "one write-back is not fenced", [(0, 1); 3]),
    (4, "two lines are stored to between write-back and fence", [(2, 0); 3]),
    (5, "the write-back comes before the store", [(8, 0); 3]),
    (6, "the fence is one that completes nothing", [(0, 8); 3]),
    (7, "nothing is written back, but fenced", [(8, 0); 3]),
    (13, "two streaming stores are fenced, written back and fenced", [(0, 0); 3]),
    (21, "six lines are stored to by every kind of store", [(6, 0); 3]),
    (23, "all is written back by every form of address, and completed", [(0, 0); 3]),
    (30, "the library's writeback", [(0, 0); 3]),
    (31, "the library's batch", [(0, 0); 3]),
    (32, "the library's unfenced writeback", [(0, 8); 3]),
    (33, "the library's fence after it", [(0, 0); 3]),
    (34, "the library's writeback_invalidate", [(0, 0); 3]),
    (35, "the library's writeback of all but one line", [(1, 0); 3]),
];

/// A CPU, and the sequences whose results depend on it.
#[derive(Debug)]
struct Machine {
    board: Board,
    cpu: &'static str,
    planted: [Planted; 5],
}

/// The CPU `max` has CLWB.
const X86_64: Machine = Machine {
    board: board::X86_64,
    cpu: "max",
    planted: [
        (10, "two streaming stores are fenced", [(2, 0), (0, 0), (2, 0)]),
        (11, "two streaming stores are not fenced", [(2, 0), (0, 2), (2, 0)]),
        (12, "two streaming stores are written back before the fence", [(2, 0), (0, 0), (2, 0)]),
        (20, "two of all write-backs are CLFLUSH, and SFENCE follows", [(0, 2); 3]),
        (22, "a locked access follows the write-backs", [(0, 8), (0, 8), (0, 0)]),
    ],
};

/// Pairs stored with a non-temporal hint are ordinary stores, and atomic accesses complete nothing.
/// Neoverse V1 has DC CVADP and lines of 64 bytes.
const AARCH64: Machine = Machine {
    board: board::AARCH64,
    cpu: "neoverse-v1",
    planted: [
        (10, "two hinted stores are fenced", [(2, 0); 3]),
        (11, "two hinted stores are not fenced", [(2, 0); 3]),
        (12, "two hinted stores are written back before the fence", [(0, 0); 3]),
        (20, "all is written back by every form of address", [(0, 0); 3]),
        (22, "an atomic access follows the write-backs", [(0, 8); 3]),
    ],
};

pub(super) fn lanes() -> Vec<Lane> {
    [&X86_64, &AARCH64].into_iter().map(lane).collect()
}

fn lane(machine: &'static Machine) -> Lane {
    let Machine { board, cpu, .. } = machine;
    let name = format!("flush/selftest/{}", board.architecture);
    Lane::new(name.clone(), move |lab| {
        let plugin = lab.plugin(board.architecture)?;
        let emulator = board.booting(lab, "planted", cpu)?.arg("-no-reboot");
        let verdicts = lab.work().join(format!("{}.verdicts", name.replace('/', "-")));
        Ok(Box::new(move |log| {
            MODES.iter().enumerate().try_for_each(|(number, mode @ (streaming, locked))| {
                let out = Temporary::new(verdicts.clone());
                let [option, mut value] = plugin.arguments(*streaming, cpu, &out);
                if *locked == Locked::Fence {
                    // The last value of an argument counts.
                    value.push_str(",locked=fence");
                }
                let (lines, ending) = board::run(&emulator.clone().args([option, value]), log)?;
                passed(&faults(board, &[], &lines, &ending))
                    .and_then(|()| compare(&Verdict::read(&out)?, machine, number))
                    .with_context(|| format!("in mode {mode:?}"))
            })
        }))
    })
}

/// Returns the lines that a sequence left, by the plugin's count.
fn left_by(verdict: &Verdict) -> Left {
    (verdict.dirty_lines, verdict.unfenced_lines)
}

/// Compares the verdicts with the expected ones. An error names every one that differs.
fn compare(verdicts: &[Verdict], machine: &Machine, mode: usize) -> Result<()> {
    let expected = || PLANTED.iter().chain(&machine.planted);
    let wrong = |(id, what, left): &Planted| {
        let verdict = verdicts.iter().find(|verdict| verdict.id == *id);
        let (found, left) = (verdict.map(left_by), left[mode]);
        (found != Some(left)).then(|| {
            format!("{id}, {what}: {left:?} dirty and unfenced lines were expected, not {found:?}")
        })
    };
    let wrong: Vec<String> = expected().filter_map(wrong).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    let count = expected().count();
    ensure!(verdicts.len() == count, "{} verdicts, not {count}", verdicts.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{X86_64, compare};

    #[test]
    fn a_verdict_that_is_missing_is_an_error() {
        let error = compare(&[], &X86_64, 0).unwrap_err().to_string();
        assert!(error.contains("2, one line is not written back: (1, 0)"), "{error}");
        assert!(error.contains("not None"), "{error}");
    }
}
