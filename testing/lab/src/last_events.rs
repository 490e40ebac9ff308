//! The image `last_events` of `testing/lab/freestanding`: a kernel's ring buffer in RAM, on machines that lose lines.
//!
//! The CPUs record until one of them panics. Its handler writes the recording back, by one CPU, prints the number of
//! events that each shard had recorded, and resets the machine. The reset loses every line that was not written back.
//! The image that starts next prints the events that it finds.

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::emulator::value;
use lose_lines_machine::losses::{self, Files, Losses, Memory, RESET_OF_PC};
use lose_lines_machine::transcript::Transcript;
use lose_lines_plugin::policy::Policy;

use crate::board::{self, Board};
use crate::lane::Lane;

/// A board with several CPUs.
struct Machine {
    board: Board,
    cpu: &'static str,
    /// The address of the RAM, and that of the first instruction after a reset.
    ram: u64,
    reset: u64,
}

const CPUS: usize = 4;
/// The RAM, and the part of it that has the recording, in bytes. The image knows them too.
const RAM: u64 = 128 << 20;
const PLACE: u64 = 64 << 20;
const SIZE: u64 = 256 << 10;

const MACHINES: [Machine; 2] = [
    Machine { board: board::X86_64, cpu: "max", ram: 0, reset: RESET_OF_PC },
    // QEMU starts an image at its own entry (`testing/lab/freestanding/src/image/aarch64/virt.ld`).
    Machine {
        board: board::AARCH64,
        cpu: "cortex-a53",
        ram: 1 << 30,
        reset: (1 << 30) + (2 << 20),
    },
];

pub(super) fn lanes() -> Vec<Lane> {
    let lane = |machine: &'static Machine| {
        let name = format!("freestanding/{}/last-events", machine.board.architecture);
        Lane::new(name.clone(), move |lab| {
            let plugin = lab.plugin(machine.board.architecture)?;
            let emulator = machine.board.booting(lab, "last_events", machine.cpu)?;
            let work = lab.work().to_path_buf();
            Ok(Box::new(move |log| {
                let name = name.replace('/', "-");
                let memory = Memory::Ram { ram: RAM, offset: PLACE };
                let losses = Losses {
                    reset: machine.reset,
                    policy: Policy::None,
                    // RAM is behind it.
                    more: vec![String::from("point=coherency")],
                    ..Losses::new(memory, machine.ram + PLACE, SIZE)
                };
                let files = Files::new(&losses, &work, &name)?;
                let path = value(files.live.display());
                let ram = format!("memory-backend-file,id=ram,share=on,mem-path={path},size={RAM}");
                let emulator = emulator
                    .args(["-machine", "memory-backend=ram", "-object", &ram])
                    .args(["-smp", &CPUS.to_string()])
                    .args(plugin.with(&losses.arguments(&name, machine.cpu, &files)));
                let (lines, ending) = board::run(&emulator, log)?;
                let report = fs::read_to_string(&files.out).context("the plugin's lines")?;
                drop(fs::remove_file(&files.out));
                let faults = machine.board.wrong_end(&lines, &ending);
                let last = lines.last().map_or("no line", String::as_str);
                ensure!(faults.is_empty(), "{}, after: {last}", faults.join("; "));
                losses::check(&report)?;
                judge(&lines, &report, log)
            }))
        })
    };
    MACHINES.iter().map(lane).collect()
}

/// Each shard has at least the events that were recorded when the handler began.
fn judge(lines: &[String], report: &str, log: &mut Transcript) -> Result<()> {
    let [recorded, found] = [numbers(lines, "recorded")?, numbers(lines, "found")?];
    writeln!(log, "{} lines lost", losses::lost_lines(report))?;
    ensure!(recorded.len() == CPUS && found.len() == CPUS, "{recorded:?}, {found:?}");
    for (shard, (recorded, found)) in recorded.iter().zip(&found).enumerate() {
        ensure!(*recorded > 0, "shard {shard} has recorded nothing");
        ensure!(recorded <= found, "of {recorded} events of shard {shard}, {found} are found");
    }
    Ok(())
}

/// Returns the numbers in the line that begins with a word.
fn numbers(lines: &[String], word: &str) -> Result<Vec<u64>> {
    let line = lines.iter().find_map(|line| line.strip_prefix(word));
    let line = line.with_context(|| format!("the image has not printed {word}"))?;
    line.split_whitespace().map(|number| Ok(number.parse()?)).collect()
}
