//! The place in a driver from which an operation was called.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Return addresses in the innermost function that belongs neither to this crate nor to `cachemaint`, and in its caller: a
/// driver often has one helper for all its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site([usize; 2]);

/// To whom a function belongs.
#[derive(Clone, Copy)]
enum Frame {
    Ours,
    Library,
    /// Copies of one line, as an optimizer makes them, have one address.
    Driver(usize),
}

thread_local! {
    /// The return addresses that were looked up.
    static FRAMES: RefCell<BTreeMap<usize, Frame>> = const { RefCell::new(BTreeMap::new()) };
}

impl Site {
    /// Returns the place from which this crate was called.
    #[inline(never)]
    pub(crate) fn of_the_caller() -> Self {
        let mut found = [0; 2];
        backtrace::trace(|frame| {
            let free = usize::from(found[0] != 0);
            match Frame::of(frame.ip().addr()) {
                Frame::Ours => found[0] == 0,
                Frame::Library => true,
                Frame::Driver(address) => {
                    found[free] = address;
                    free == 0
                }
            }
        });
        Self(found)
    }

    /// Returns the function and its caller, with file and line if the program has debugging information.
    pub(crate) fn describe(self) -> String {
        match self.0 {
            [address, 0] => describe(address),
            [address, caller] => format!("{}, called by {}", describe(address), describe(caller)),
        }
    }
}

impl Frame {
    fn of(address: usize) -> Self {
        if let Some(known) = FRAMES.with_borrow(|frames| frames.get(&address).copied()) {
            return known;
        }
        // Functions that were inlined come first; the last one is that of the frame.
        let mut function = String::new();
        symbols(address, |symbol| function = name(symbol));
        let frame = if is_of(&function, &["backtrace::", "cachemaint::", "cachemaint_device::"]) {
            Self::Ours
        } else if function.is_empty() || is_of(&function, &["core::", "alloc::", "std::"]) {
            Self::Library
        } else {
            Self::Driver(same_line(address).unwrap_or(address))
        };
        FRAMES.with_borrow_mut(|frames| frames.insert(address, frame));
        frame
    }
}

/// Returns an address of the same line that was seen before, if the program has debugging information.
fn same_line(address: usize) -> Option<usize> {
    let text = describe(address);
    let same = |frame: &Frame| match frame {
        Frame::Driver(known) if text.ends_with(')') && describe(*known) == text => Some(*known),
        _ => None,
    };
    FRAMES.with_borrow(|frames| frames.values().find_map(same))
}

fn describe(address: usize) -> String {
    let mut text = String::new();
    symbols(address, |symbol| {
        let function = name(symbol);
        if !text.is_empty() || is_of(&function, &["cachemaint::", "cachemaint_device::"]) {
            return;
        }
        text = function;
        if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
            let here = std::env::current_dir().unwrap_or_default();
            let file = file.strip_prefix(here).unwrap_or(file).display();
            _ = write!(text, " ({file}:{line})");
        }
    });
    if text.is_empty() { format!("code at {address:#x}") } else { text }
}

fn symbols(address: usize, mut each: impl FnMut(&backtrace::Symbol)) {
    // The address is that of the return: the call lies before it.
    let call = std::ptr::without_provenance_mut(address.saturating_sub(1));
    backtrace::resolve(call, |symbol| each(symbol));
}

fn name(symbol: &backtrace::Symbol) -> String {
    symbol.name().map(|name| format!("{name:#}")).unwrap_or_default()
}

fn is_of(function: &str, crates: &[&str]) -> bool {
    let path = function.trim_start_matches(['<', '&']);
    crates.iter().any(|of| path.starts_with(of))
}
