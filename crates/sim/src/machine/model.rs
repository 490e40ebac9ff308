//! Models of the states that a crash may leave, as the architectures promise them.

use cachemaint::family;
use cachemaint::medium::Granularity;
use core::fmt;

/// The size of a word in bytes.
pub(crate) const WORD: u64 = family::WORD as u64;

/// The order in which stores of one line become persistent. Stores of different lines never wait for each other; stores
/// of one word always become persistent in order (coherence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// In the order in which they reached memory: x86.
    Total,
    /// In an order that barriers, releases and acquires set: arm64.
    Partial,
    /// In no order.
    None,
}

/// The condition under which a store is sure to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// A write-back of its line, completed by a fence of the thread that issued it.
    Completed,
    /// The store's visibility to other CPUs: the caches survive, the CPU's store buffer does not.
    Visible,
    /// The store's execution: the machine goes on.
    Executed,
}

impl Durable {
    /// Returns true if stores survive once they are in the caches.
    pub(crate) const fn keeps_caches(self) -> bool {
        matches!(self, Self::Visible | Self::Executed)
    }
}

/// The place of a streaming (non-temporal) store's bytes once a fence has completed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// In memory: the line has left the caches.
    Evicts,
    /// In a cache, as an ordinary store would: a write-back is needed too.
    Stays,
}

/// A persistency model: the states that a crash may leave after a sequence of stores, write-backs and fences.
///
/// | model | for | stores of one line | sure to survive |
/// |---|---|---|---|
/// | [`X86`](Self::X86) | power loss with ADR; a reset that keeps RAM | in the order of memory | written back, then a fence of that thread |
/// | [`ARM64`](Self::ARM64) | the same | where release, acquire or a barrier orders them | `DC CVAP`, then a `DSB` of that thread |
/// | [`NEUTRAL`](Self::NEUTRAL) | every architecture | each word on its own | written back itself, then a fence of that thread |
/// | [`X86_EADR`](Self::X86_EADR) | power loss with eADR | in the order of memory, across lines too | a fence |
/// | [`X86_EADR_RESET`](Self::X86_EADR_RESET) | a reset of that machine | in the order of memory | as under `X86` |
/// | [`PAGES`](Self::PAGES) | files persisted by `msync` | each word on its own | its page written back, then a fence of that thread |
/// | [`CACHES_KEPT`](Self::CACHES_KEPT) | process crash, kexec, kdump | all are there | it was executed, and its copy has returned |
///
/// In all models an aligned word of 8 bytes is old or new, never a mix, and the stores of one word become persistent in
/// order. A line may be written back at any time, requested or not, so bytes that were not written back are *perhaps*
/// persistent.
///
/// # Sources
/// For the order between lines, and the effect of write-backs and fences: Cho, Lee, Raad, Kang, *Revamping Hardware
/// Persistency Models*, PLDI 2021, for x86 and Armv8. Its axioms and published outcomes are the litmus tests in
/// `tests/simulator/litmus.rs` of this crate. It reviews Raad, Wickerson, Neiger, Vafeiadis, *Persistency Semantics of
/// the Intel-x86 Architecture*, POPL 2020 (Px86); Khyzha, Lahav, *Taming x86-TSO Persistency*, POPL 2021; Raad,
/// Wickerson, Vafeiadis, *Weak Persistency Semantics from the Ground Up*, OOPSLA 2019. Intel SDM vol. 2A, CLFLUSH,
/// CLFLUSHOPT, CLWB, and vol. 1, 10.4.6.2 for streaming stores; Arm ARM, D7.5.9 and B2.6 for `DC CVAP`. No outcome was
/// measured on a machine that lost power: these are promises.
///
/// Within a line the papers only order the stores to one location. The models [`X86`](Self::X86) and
/// [`ARM64`](Self::ARM64) also let the stores of a *line* become persistent in the order in which others see them. This
/// assumes that a line is written back as it was at one moment, which no manual says; PMFS's journal, Jaaru (ASPLOS
/// 2021) and In-Cache-Line Logging (Cohen et al., ASPLOS 2019) rely on it. For code that must not rely on it there is
/// [`NEUTRAL`](Self::NEUTRAL), which promises less than either: each word may survive on its own, as in the storage
/// model of the verified logs of `microsoft/verified-storage`.
///
/// # Limits
/// An ordinary store enters memory's order when it is executed, so a load never overtakes an earlier store of its
/// thread (store buffering). Loads see the latest store even under [`ARM64`](Self::ARM64). Use loom for both. If
/// threads write back the stores of others, a missing release before these stores is not found: see [the
/// limits](crate#limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    pub(crate) name: &'static str,
    pub(crate) order: Order,
    pub(crate) durable: Durable,
    pub(crate) streaming: Streaming,
    /// The granularity that the medium reports.
    pub(crate) granularity: Granularity,
    /// The line size in bytes.
    line: u64,
    /// The number of bytes that one write-back writes back: a page, a line, or a word if no more is promised.
    unit: u64,
}

impl Model {
    /// The model of x86 with the persistence domain at the memory controller (ADR). Also a reset that keeps RAM
    /// and drops the caches.
    ///
    /// Ordinary stores happen in program order, as compilers emit them. Rust allows a compiler to swap two relaxed
    /// ones. Code that relies on that order fails under [`ARM64`](Self::ARM64) and [`NEUTRAL`](Self::NEUTRAL).
    pub const X86: Self = Self {
        name: "x86",
        order: Order::Total,
        durable: Durable::Completed,
        streaming: Streaming::Evicts,
        granularity: Granularity::Line(64),
        line: 64,
        unit: 64,
    };

    /// The model of x86 with the caches in the persistence domain (eADR). Stores that are still in a CPU's store buffer
    /// are lost, so a fence is needed before anything is acknowledged. A crash that loses such a store loses everything
    /// after it, including stores of other threads, up to the next note of one of these.
    ///
    /// A `write` or copy that has not returned may lack any words, except those that another thread has loaded. Once it
    /// returns, it counts as one store at that moment.
    ///
    /// On other architectures with such caches, stores survive in order only after a fence or a release, and no model
    /// shows a missing one. Code that writes nothing back on a medium with byte granularity must fence between such
    /// stores.
    pub const X86_EADR: Self = Self {
        granularity: Granularity::Byte,
        ..Self::X86.named("x86 with eADR", Durable::Visible)
    };

    /// The model of a reset through firmware on a machine with eADR. The machine uses its stored energy only at power
    /// loss, so the reset drops the caches. A medium with byte granularity writes back only by
    /// [`deep_persist`](cachemaint::medium::Medium::deep_persist). Use [`X86`](Self::X86) for one that writes lines
    /// back, such as [`Memory`](cachemaint::medium::Memory).
    pub const X86_EADR_RESET: Self =
        Self::X86_EADR.named("x86 with eADR, reset", Durable::Completed);

    /// The model of arm64 with a point of persistence: `DC CVAP`, completed by `DSB`.
    ///
    /// Two stores of one line become persistent in order if the architecture makes them observable in order. Neither
    /// DMB nor acquire or release completes a write-back, and an acquire does not order a write-back of another line. A
    /// thread that writes back the stores of another calls
    /// [`order_observed`](cachemaint::medium::Medium::order_observed) first.
    pub const ARM64: Self =
        Self { order: Order::Partial, ..Self::X86.named("arm64", Durable::Completed) };

    /// The model of the promises that all architectures share. Code that is right here is right on each of them, unless
    /// it behaves differently on a medium with byte granularity: for that, see [`X86_EADR`](Self::X86_EADR).
    ///
    /// A write-back includes only the words of its range, since the bytes around them may lie in other lines of memory.
    pub const NEUTRAL: Self =
        Self { order: Order::None, unit: WORD, ..Self::X86.named("neutral", Durable::Completed) };

    /// The model of a file that the operating system writes back in pages of 4096 bytes (`msync`). Any word of a dirty
    /// page may reach the medium at any time. A written page is durable after the fence, which
    /// [`Medium`](cachemaint::medium::Medium#rules-for-implementations) promises, and not at the return of the call.
    ///
    /// The drive keeps or replaces each word. A weaker drive may lose the whole sector that it was writing, including
    /// persistent bytes in it: [`Simulation::damage`](crate::Simulation::damage) shows that.
    pub const PAGES: Self = Self {
        granularity: Granularity::Page(4096),
        unit: 4096,
        ..Self::NEUTRAL.named("pages", Durable::Completed).streaming_stores_stay()
    };

    /// The model of an event that keeps the caches' content: a killed process, kexec, kdump. All executed stores are
    /// there, and nothing else. A `write` or copy that has not returned may lack any words, except those that another
    /// thread has loaded, so this model tests a kill within one. The machine is that of [`X86`](Self::X86).
    #[doc(alias = "kexec")]
    pub const CACHES_KEPT: Self = Self::X86.named("caches kept", Durable::Executed);

    /// Returns the model of another machine or event.
    const fn named(self, name: &'static str, durable: Durable) -> Self {
        Self { name, durable, ..self }
    }

    /// Returns the same model with lines of another size. Under [`NEUTRAL`](Self::NEUTRAL) only the reported granularity
    /// changes.
    ///
    /// # Panics
    /// If `bytes` is not a power of two from 8 to 4096.
    #[must_use]
    pub const fn with_line(self, bytes: usize) -> Self {
        let line = bytes as u64;
        assert!(
            line.is_power_of_two() && line >= WORD && line <= 4096,
            "the size of a line must be a power of two from 8 to 4096 bytes"
        );
        match self.granularity {
            Granularity::Page(_) => Self { line, ..self },
            Granularity::Byte => Self { line, unit: line, ..self },
            Granularity::Line(_) => {
                let unit = if matches!(self.order, Order::None) { WORD } else { line };
                Self { line, unit, granularity: Granularity::Line(bytes), ..self }
            }
        }
    }

    /// Returns the same model on a CPU whose streaming (non-temporal) stores stay in a cache, like ordinary stores:
    /// after a fence has completed them, a write-back is needed too. Measured on AMD family 26 (Zen 5), for lines in
    /// L1. In all other models a streaming store evicts the line.
    #[must_use]
    pub const fn streaming_stores_stay(self) -> Self {
        Self { streaming: Streaming::Stays, ..self }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn words(&self) -> usize {
        (self.line / WORD) as usize
    }

    /// Returns true if a medium with this granularity writes anything back when it persists. With byte granularity it
    /// only fences.
    pub(crate) const fn writes_back(&self) -> bool {
        !matches!(self.granularity, Granularity::Byte)
    }

    /// Returns true if a write-back includes only the words of its range.
    pub(crate) const fn is_exact(&self) -> bool {
        self.unit < self.line
    }

    /// Returns the bytes that a write-back of these bytes writes back; they are not empty.
    pub(crate) const fn written_back(&self, start: u64, end: u64) -> core::ops::Range<u64> {
        start & !(self.unit - 1)..((end - 1) | (self.unit - 1)) + 1
    }

    /// Returns the lines that a write-back of these bytes writes back at least in part; they are not empty.
    pub(crate) const fn lines(&self, start: u64, end: u64) -> core::ops::Range<usize> {
        let line = self.line.trailing_zeros();
        let bytes = self.written_back(start, end);
        (bytes.start >> line) as usize..((bytes.end - 1) >> line) as usize + 1
    }

    /// Returns the end of the line of a byte, or of its page if pages are written back.
    pub(crate) const fn end_of_line(&self, at: u64) -> u64 {
        let step = if self.is_exact() { self.line } else { self.unit };
        (at | (step - 1)) + 1
    }

    /// Returns the line of a word and its place in it; `at` is its offset in bytes. Sizes are powers of two, and this
    /// is on the path of every access: no division.
    #[inline]
    pub(crate) const fn place(&self, at: u64) -> (usize, usize) {
        let line = at >> self.line.trailing_zeros();
        (line as usize, ((at & (self.line - 1)) / WORD) as usize)
    }

    /// Returns the offset in bytes of a word.
    pub(crate) const fn offset(&self, line: usize, word: usize) -> u64 {
        line as u64 * self.line + word as u64 * WORD
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
