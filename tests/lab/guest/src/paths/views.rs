//! Views that write back the stores of other programs. The plugin knows lines by their addresses, so a view must be mapped
//! at the same address as in the program that stores.

use super::{LEN, Names, range};
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::{DaxView, Options};
use lose_lines_mark as mark;
use std::fs;
use std::io::{Error, Write as _};
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::ptr::without_provenance;

/// The beginning of the kernel's half of the address space, or a lower address.
const KERNEL: usize = 1 << 47;
/// Bytes that are left free for the stack, in which the kernel maps nothing else.
const STACK: usize = 16 << 20;
/// The greatest number of new starts of a program to get another address for its mappings.
const MOST_STARTS: u64 = 200;

/// Checks a view on the stores of a program that never persists and is gone.
pub(super) fn on_view(path: &str, names: &mut Names) -> Result<()> {
    let file = Options::new().create_new(path, LEN)?;
    let place = range(&file, 0..LEN);
    mark::watch(place.clone());
    file.write(70, &[11; 3000]);
    file.write((1 << 20) - 8, &[11; 16]);
    file.write(LEN - 1, &[11; 1]);
    drop(file);
    write_back(&view(path, place.start.addr())?)?;
    names.on_file("view: what others have stored");
    Ok(())
}

/// Views a file, which must be mapped at this address. Its pages are mapped too: in an emulator the write-back of any other
/// page does nothing.
fn view(path: &str, start: usize) -> Result<DaxView> {
    let view = Options::new().populate().view(path)?;
    let at = view.as_ptr(0).addr();
    ensure!(at == start, "mapped at {at:#x}, not at {start:#x}");
    Ok(view)
}

/// Makes all persistent that others have stored, as a pass of `cachemaint guard` does.
fn write_back(view: &DaxView) -> Result<()> {
    view.order_observed();
    Ok(view.persist(0..view.len())?)
}

/// Views a file that another program has mapped at `start`. After the line `watch` the plugin watches that range. Each
/// other line asks for a write-back between two verdicts. Each line is its own answer.
pub(crate) fn view_at(path: &str, start: &str, starts: &str) -> Result<ExitCode> {
    let first = usize::from_str_radix(start, 16).context("the address is not a number")?;
    let place = first..first + usize::try_from(fs::metadata(path)?.len())?.next_multiple_of(4096);
    // With the first file the library maps a page of its own.
    drop(Options::new().view(path)?);
    if !leave_no_other_place(&place)? {
        let starts = crate::number(starts)? + 1;
        ensure!(starts <= MOST_STARTS, "in {starts} starts no mapping began at {start}");
        let mut again = Command::new("/proc/self/exe");
        return Err(again.args(["view-at", path, start, &starts.to_string()]).exec().into());
    }
    let view = view(path, first)?;
    let words: Range<*const u8> = without_provenance(place.start)..without_provenance(place.end);
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "watch" {
            mark::watch(words.clone());
        } else {
            mark::verdict(0);
            write_back(&view)?;
            mark::verdict(1);
        }
        writeln!(std::io::stdout(), "{line}").context("cannot answer")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fills the free address space from the end of this range on. Returns true if the kernel maps the range next, because
/// it maps at the highest free address (mmap(2) of Linux, `arch_get_unmapped_area_topdown`).
fn leave_no_other_place(place: &Range<usize>) -> Result<bool> {
    let mut free = place.end;
    for (taken, name) in mappings()?.iter().filter(|(taken, _)| taken.start < KERNEL) {
        let room = if name == "[stack]" { STACK } else { 0 };
        let len = taken.start.saturating_sub(room).saturating_sub(free);
        if len > 0 {
            map(Some(free), len)?;
        }
        free = free.max(taken.end);
    }
    let next = map(None, place.len())?;
    if next != place.start {
        return Ok(false);
    }
    #[expect(unsafe_code, reason = "gives the place back")]
    // SAFETY: it was mapped just now, and nothing was done with it.
    let unmapped = unsafe { libc::munmap(std::ptr::without_provenance_mut(next), place.len()) };
    ensure!(unmapped == 0, "munmap: {}", Error::last_os_error());
    Ok(true)
}

/// Reserves a part of the address space.
fn map(at: Option<usize>, len: usize) -> Result<usize> {
    let fixed = if at.is_some() { libc::MAP_FIXED_NOREPLACE } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed;
    let at = std::ptr::without_provenance_mut(at.unwrap_or(0));
    #[expect(unsafe_code, reason = "reserves addresses")]
    // SAFETY: nothing that is there is replaced, and nothing can be accessed there.
    let base = unsafe { libc::mmap(at, len, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        bail!("mmap of {len} bytes: {}", Error::last_os_error());
    }
    Ok(base.addr())
}

/// Returns the mappings of this process, in ascending order, with their files.
fn mappings() -> Result<Vec<(Range<usize>, String)>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    maps.lines().map(|line| mapping(line).with_context(|| format!("a mapping: {line}"))).collect()
}

fn mapping(line: &str) -> Option<(Range<usize>, String)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16));
    Some((start.ok()?..end.ok()?, words.nth(4).unwrap_or_default().to_owned()))
}
