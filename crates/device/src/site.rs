//! The place in a driver from which an operation was called.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The return addresses in the innermost function outside this crate and `cachemaint`, and in its caller, since a
/// driver often has one helper for all its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site([usize; 2]);

/// The owner of a function.
#[derive(Clone, Copy)]
enum Frame {
    Ours,
    Library,
    /// An optimizer's copies of one call have one address.
    Driver(usize),
}

thread_local! {
    /// The return addresses that were already looked up.
    static FRAMES: RefCell<BTreeMap<usize, Frame>> = const { RefCell::new(BTreeMap::new()) };
}

impl Site {
    /// Returns the place that called this crate.
    #[inline(never)]
    pub(crate) fn of_the_caller() -> Self {
        let mut found = [0; 2];
        backtrace::trace(|frame| {
            let is_first = found[0] == 0;
            match Frame::of(frame.ip().addr()) {
                // A working device has another driver below it on the stack.
                Frame::Ours => is_first,
                Frame::Library => true,
                Frame::Driver(address) => {
                    found[usize::from(!is_first)] = address;
                    is_first
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
        // An optimizer inlines functions of the driver into ours, and ours into the driver's.
        let (mut is_ours, mut is_driver) = (false, false);
        symbols(address, |symbol| {
            let function = name(symbol);
            is_ours |= is_of(&function, &["backtrace::", "cachemaint_device::"]);
            is_driver |= is_of_driver(&function);
        });
        let frame = match (is_driver, is_ours) {
            (true, _) => Self::Driver(same_call(address).unwrap_or(address)),
            (false, true) => Self::Ours,
            (false, false) => Self::Library,
        };
        FRAMES.with_borrow_mut(|frames| frames.insert(address, frame));
        frame
    }
}

/// Returns an earlier address of the same call, if the program has debugging information.
fn same_call(address: usize) -> Option<usize> {
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
        if !text.is_empty() || !is_of_driver(&function) {
            return;
        }
        text = function;
        if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
            let here = std::env::current_dir().unwrap_or_default();
            let file = file.strip_prefix(here).unwrap_or(file).display();
            let column = symbol.colno().map(|column| format!(":{column}")).unwrap_or_default();
            _ = write!(text, " ({file}:{line}{column})");
        }
    });
    if text.is_empty() { format!("code at {address:#x}") } else { text }
}

fn symbols(address: usize, mut each: impl FnMut(&backtrace::Symbol)) {
    // The address is the return address; the call precedes it.
    let call = std::ptr::without_provenance_mut(address.saturating_sub(1));
    backtrace::resolve(call, |symbol| each(symbol));
}

fn name(symbol: &backtrace::Symbol) -> String {
    symbol.name().map(|name| format!("{name:#}")).unwrap_or_default()
}

/// Returns true for a function of a driver. The standard library and `cachemaint` belong to neither side: a driver
/// calls them, and they call it.
fn is_of_driver(function: &str) -> bool {
    let others =
        ["backtrace::", "cachemaint_device::", "cachemaint::", "core::", "alloc::", "std::"];
    !function.is_empty() && !is_of(function, &others)
}

fn is_of(function: &str, crates: &[&str]) -> bool {
    let path = function.trim_start_matches(['<', '&']).trim_start_matches("dyn ");
    crates.iter().any(|of| path.starts_with(of))
}
