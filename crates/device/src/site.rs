//! The place in a driver from which an operation was called.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The return address in the innermost function that belongs neither to this crate nor to `cachemaint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Site(usize);

thread_local! {
    /// The site of each return address that was looked up; none if the function is ours.
    static SITES: RefCell<BTreeMap<usize, Option<Site>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Site {
    /// Returns the place from which this crate was called.
    #[inline(never)]
    pub(crate) fn of_the_caller() -> Self {
        let mut site = Self(0);
        backtrace::trace(|frame| match Self::of(frame.ip().addr()) {
            Some(found) => {
                site = found;
                false
            }
            None => true,
        });
        site
    }

    /// Returns the site of a return address, unless it is in a function of ours. Copies of one line, as an optimizer
    /// makes them, are one site.
    fn of(address: usize) -> Option<Self> {
        if let Some(known) = SITES.with_borrow(|sites| sites.get(&address).copied()) {
            return known;
        }
        // Functions that were inlined come first; the last one is that of the frame.
        let mut function = String::new();
        Self(address).symbols(|symbol| function = name(symbol));
        let is_ours = function.is_empty() || belongs_to_us(&function);
        let site = (!is_ours).then(|| Self::line(address).unwrap_or(Self(address)));
        SITES.with_borrow_mut(|sites| sites.insert(address, site));
        site
    }

    /// Returns the site of the same line that was seen before, if the program has debugging information.
    fn line(address: usize) -> Option<Self> {
        let text = Self(address).describe();
        let same = |site: &Self| text.ends_with(')') && site.describe() == text;
        SITES.with_borrow(|sites| sites.values().flatten().copied().find(same))
    }

    /// Returns the function, with file and line if the program has debugging information.
    pub(crate) fn describe(self) -> String {
        let mut text = String::new();
        self.symbols(|symbol| {
            let function = name(symbol);
            if !text.is_empty() || belongs_to_us(&function) {
                return;
            }
            text = function;
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                let here = std::env::current_dir().unwrap_or_default();
                let file = file.strip_prefix(here).unwrap_or(file).display();
                _ = write!(text, " ({file}:{line})");
            }
        });
        if text.is_empty() { format!("code at {:#x}", self.0) } else { text }
    }

    fn symbols(self, mut each: impl FnMut(&backtrace::Symbol)) {
        // The address is that of the return: the call lies before it.
        let call = std::ptr::without_provenance_mut(self.0.saturating_sub(1));
        backtrace::resolve(call, |symbol| each(symbol));
    }
}

fn name(symbol: &backtrace::Symbol) -> String {
    symbol.name().map(|name| format!("{name:#}")).unwrap_or_default()
}

fn belongs_to_us(function: &str) -> bool {
    let path = function.trim_start_matches(['<', '&']);
    ["backtrace::", "cachemaint::", "cachemaint_device::"].iter().any(|of| path.starts_with(of))
}
