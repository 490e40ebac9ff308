//! The callbacks of machines that lose lines.

use core::ffi::{c_uint, c_void};
use core::sync::atomic::Ordering;
use std::path::PathBuf;

use super::emulator::{
    Access, Code, Translation, physical, qemu_plugin_mem_size_shift, read_around, read_memory,
};
use super::own_process::end_at_once;
use super::{
    END, FENCES_MATTER, Operands, Plugin, START, give_up, is_fence, is_followed, with_plugin,
};
use crate::decode::{Action, Decoder, Mark, Return};
use crate::losses::model::Half;
use crate::losses::options::Options;
use crate::losses::words::{LINE, Memories};
use crate::losses::{Losses, Site};

/// The memory that loses lines, and the emulator's translation of addresses into it.
pub(super) struct Lossy {
    losses: Losses,
    translation: Translation,
    reset: u64,
}

impl Lossy {
    /// Maps the memories. Returns the file for the plugin's lines too.
    pub(super) fn new(arguments: &[&str]) -> Result<(Self, PathBuf), String> {
        let Options { live, offset, persisted, base, size, reset, is_resumed, out, model } =
            Options::parse(arguments)?;
        let translation = Translation::find().ok_or(
            "this emulator does not translate addresses for plugins: QEMU 10.0 or later is needed",
        )?;
        let memories = Memories::open(&live, offset, &persisted, size)?;
        START.store(base, Ordering::Relaxed);
        END.store(base + size, Ordering::Relaxed);
        let mut losses = Losses::new(model, base, size, memories);
        if is_resumed {
            losses.reset();
        }
        Ok((Self { losses, translation, reset }, out))
    }

    /// Returns the callback for the stores of an instruction, if they matter.
    pub(super) fn on_stores(&self, is_streaming: bool, half: Half) -> Option<Access> {
        let on: Access = if is_streaming { on_streaming_store } else { on_store };
        self.losses.model().follows(is_streaming, half).then_some(on)
    }

    /// Returns the site of an instruction that needs a callback of its own.
    pub(super) fn site(
        &self,
        action: Action,
        half: Half,
        at: u64,
        code: Code,
    ) -> Option<super::Site> {
        let has_effect = match action {
            Action::Streaming => false,
            Action::Locked => self.losses.model().promises(half).is_locked_fence,
            // The kernel of riscv64 calls its firmware.
            Action::Call => half == Half::Lower,
            _ => true,
        };
        // One site stands for all fences of the kernel.
        let at = if half == Half::Upper && is_fence(action) { 0 } else { at };
        let code = if at == 0 { Code::default() } else { code };
        has_effect.then_some((action, half, at, code))
    }
}

impl Plugin {
    /// Returns true if the first instruction after a reset is at this address.
    pub(super) fn is_reset(&self, at: u64) -> bool {
        self.lossy.reset == at
    }

    pub(super) fn perform(&mut self, cpu: c_uint, (action, half, at, code): super::Site) {
        let site = self.place(cpu, half, at, code);
        let Operands { address, arguments } = self.operands(action);
        let Decoder { call, changing, .. } = self.decoder;
        let is_change = action == Action::Call && changing.contains(&self.read(call));
        let Lossy { losses, translation, .. } = &mut self.lossy;
        let place = address.and_then(|address| translation.physical(cpu, address));
        match action {
            // A CPU first maps the page through a fault. An emulator executes nothing.
            Action::Writeback(by, _) => {
                if let Some(place) = place {
                    learn_code(losses, site);
                    losses.writeback(site, by, place);
                }
            }
            Action::Fence(fence) => losses.fence(site, fence),
            Action::Locked => losses.locked(site),
            Action::Call => {
                if is_change {
                    losses.call(site);
                }
            }
            // User mode would get a fault.
            Action::WholeCache if half == Half::Upper => losses.whole_cache(),
            Action::Discard(_) if place.is_some() => losses.unmodelled(site, place),
            Action::Unmodelled => losses.unmodelled(site, None),
            Action::Mark(mark) => {
                let lines = |len| lines(losses, *translation, cpu, arguments[0], len);
                match mark {
                    Mark::Trial => {
                        let lines = lines(arguments[1]);
                        losses.begin_trial(lines);
                    }
                    Mark::Witness => {
                        let lines = lines(arguments[1]);
                        losses.witness(&lines);
                    }
                    Mark::CrashAt => losses.crash_at(arguments[0], arguments[1]),
                    Mark::Lose => losses.lose(),
                    Mark::Omit => losses.omit(arguments[0]),
                    Mark::Watch => {
                        self.watched = arguments;
                        let lines = mapped(losses, *translation, cpu, arguments);
                        losses.watch(&lines);
                    }
                    Mark::Left => {
                        let lines = mapped(losses, *translation, cpu, self.watched);
                        losses.tell_left(arguments[0], &lines);
                    }
                }
            }
            Action::Discard(_) | Action::WholeCache | Action::Streaming => {}
        }
        self.pass_on();
    }

    /// Returns the place of an instruction of this CPU.
    fn place(&self, cpu: c_uint, half: Half, at: u64, code: Code) -> Site {
        let is_thread = half == Half::Lower && self.shows(self.decoder.thread);
        let thread = if is_thread { self.read(self.decoder.thread) } else { cpu.into() };
        Site { half, thread, at, code: code.0 as u64 }
    }

    /// Returns the return address in user mode, if lines are reported; 0 if it cannot be read.
    fn caller(&self, half: Half) -> u64 {
        if !self.lossy.losses.model().tells_lines || half == Half::Upper {
            return 0;
        }
        match self.decoder.return_address {
            Return::In(register) => self.read(register),
            Return::At(register) => {
                let bytes = read_memory(self.read(register), 8).unwrap_or_default();
                bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
            }
        }
    }

    /// Passes on the lines for the host, and cuts the power when it is time.
    pub(super) fn pass_on(&mut self) {
        let losses = &mut self.lossy.losses;
        FENCES_MATTER.store(losses.is_pending(), Ordering::Relaxed);
        let (told, is_cut) = (losses.told(), losses.is_cut());
        if !told.is_empty() {
            self.write(&told);
        }
        if is_cut {
            give_up(&format!("the power cannot be cut: {}", end_at_once()));
        }
    }

    /// Writes the last counts.
    pub(super) fn exit(&mut self) {
        self.lossy.losses.tell_dirty();
        self.lossy.losses.tell_counts();
        self.pass_on();
    }
}

/// Returns the lines of a range of a program's memory, page by page.
fn lines(losses: &Losses, translation: Translation, cpu: c_uint, start: u64, len: u64) -> Vec<u32> {
    let line = |address: u64| {
        let place = translation.physical(cpu, address);
        place.and_then(|place| losses.line(place)).unwrap_or_else(|| {
            give_up(&format!(
                "a mark names {len} bytes from {start:#x}: {address:#x} is not of the memory"
            ))
        })
    };
    (start / LINE..(start + len).div_ceil(LINE)).map(|number| line(number * LINE)).collect()
}

/// Returns the lines of a range of a program's memory that are mapped, and in the memory that loses lines.
fn mapped(
    losses: &Losses,
    translation: Translation,
    cpu: c_uint,
    [start, len]: [u64; 2],
) -> Vec<u32> {
    let line = |number| losses.line(translation.physical(cpu, number * LINE)?);
    (start / LINE..(start + len).div_ceil(LINE)).filter_map(line).collect()
}

/// The instruction at the reset vector is executed.
pub(super) extern "C" fn on_reset(cpu: c_uint, _data: *mut c_void) {
    with_plugin(|plugin| {
        let lossy = &mut plugin.lossy;
        // After a reset there is no translation; a program may have mapped its own code there.
        if lossy.translation.physical(cpu, lossy.reset) == Some(lossy.reset) {
            lossy.losses.reset();
            plugin.pass_on();
        }
    });
}

/// Reads the code around an instruction of user mode, if it must be reported and is not known.
fn learn_code(losses: &mut Losses, site: Site) {
    if site.half == Half::Lower && losses.lacks_code(site.code) {
        let code = usize::try_from(site.code).map(Code).unwrap_or_default();
        let (start, bytes) = code.around();
        losses.add_code(site.code, start, &bytes);
    }
}

/// Reads the code around a return address of user mode.
fn learn_caller(losses: &mut Losses, caller: u64) {
    if losses.lacks_code(caller) {
        let (start, bytes) = read_around(caller);
        losses.add_code(caller, start, &bytes);
    }
}

/// The bit that distinguishes stores of the kernel in the data of a callback: no process has such addresses.
pub(super) const KERNEL: usize = 1 << 63;

extern "C" fn on_store(cpu: c_uint, info: u32, address: u64, data: *mut c_void) {
    followed(cpu, info, address, data, false);
}

extern "C" fn on_streaming_store(cpu: c_uint, info: u32, address: u64, data: *mut c_void) {
    followed(cpu, info, address, data, true);
}

fn followed(cpu: c_uint, info: u32, address: u64, data: *mut c_void, is_streaming: bool) {
    let len = 1 << qemu_plugin_mem_size_shift(info);
    let Some(place) = physical(info, address).filter(|place| is_followed(*place, len)) else {
        return;
    };
    with_plugin(|plugin| {
        let data = data.addr();
        let half = if data & KERNEL == 0 { Half::Lower } else { Half::Upper };
        let site = plugin.place(cpu, half, 0, Code(data & !KERNEL));
        let caller = plugin.caller(half);
        let losses = &mut plugin.lossy.losses;
        if losses.model().follows(false, half) {
            learn_code(losses, site);
            learn_caller(losses, caller);
            losses.store(site, place, len, caller);
        }
        if is_streaming {
            losses.streaming_store(site, place, len);
        }
        plugin.pass_on();
    });
}
