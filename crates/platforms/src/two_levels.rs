//! A model of one line of memory behind two levels of cache, which carries out recorded operations at the latest
//! permitted moment, while lines are evicted and fetched at any time.

use crate::hardware::record::Executed;

/// The addresses of the outer cache's registers.
#[derive(Clone, Copy)]
pub(crate) struct Outer {
    pub(crate) clean: usize,
    pub(crate) clean_invalidate: usize,
    pub(crate) sync: usize,
}

#[derive(Clone, Copy)]
struct Line {
    value: u8,
    is_dirty: bool,
}

/// An operation that was issued; it may drop the line.
#[derive(Clone, Copy, Default)]
struct Issued {
    operation: Option<bool>,
    /// For the outer cache: true once it was told to drain.
    is_waited_for: bool,
}

#[derive(Clone, Copy)]
enum Event {
    EvictInner,
    EvictOuter,
    Fetch,
}

const EVENTS: [Event; 3] = [Event::EvictInner, Event::EvictOuter, Event::Fetch];
const OLD: u8 = 1;
const NEW: u8 = 2;

struct Machine {
    memory: u8,
    inner: Option<Line>,
    outer: Option<Line>,
    issued: [Issued; 2],
    registers: Outer,
}

impl Machine {
    /// Returns a machine on which the CPU has stored [`OLD`].
    fn with_a_dirty_line(registers: Outer) -> Self {
        let inner = Some(Line { value: OLD, is_dirty: true });
        Self { memory: 0, inner, outer: None, issued: Default::default(), registers }
    }

    fn load(&mut self) -> u8 {
        let outer = *self.outer.get_or_insert(Line { value: self.memory, is_dirty: false });
        self.inner.get_or_insert(Line { value: outer.value, is_dirty: false }).value
    }

    fn clean_inner(&mut self) {
        if let Some(line) = &mut self.inner
            && core::mem::take(&mut line.is_dirty)
        {
            self.outer = Some(Line { value: line.value, is_dirty: true });
        }
    }

    fn clean_outer(&mut self) {
        if let Some(line) = &mut self.outer
            && core::mem::take(&mut line.is_dirty)
        {
            self.memory = line.value;
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::EvictInner => {
                self.clean_inner();
                self.inner = None;
            }
            Event::EvictOuter => {
                self.clean_outer();
                self.outer = None;
            }
            Event::Fetch => {
                self.load();
            }
        }
    }

    fn execute(&mut self, executed: Executed) {
        let Outer { clean, clean_invalidate, sync } = self.registers;
        let [inner, outer] = &mut self.issued;
        match executed {
            Executed::Clean(_) => inner.operation = Some(false),
            Executed::CleanInvalidate(_) => inner.operation = Some(true),
            Executed::Store { register, .. } if register == clean => outer.operation = Some(false),
            Executed::Store { register, .. } if register == clean_invalidate => {
                outer.operation = Some(true);
            }
            Executed::Store { register, .. } => outer.is_waited_for = register == sync,
            Executed::Isb => {}
            Executed::Dsb => self.complete(),
            other => unreachable!("Armv7 does not execute {other:?}"),
        }
    }

    /// Carries out the issued operations. The outer cache has not waited for the inner one.
    fn complete(&mut self) {
        let [inner, outer] = self.issued;
        if outer.is_waited_for
            && let Some(is_dropped) = outer.operation
        {
            self.clean_outer();
            if is_dropped {
                self.outer = None;
            }
            self.issued[1] = Issued::default();
        }
        if let Some(is_dropped) = inner.operation {
            self.clean_inner();
            if is_dropped {
                self.inner = None;
            }
            self.issued[0] = Issued::default();
        }
    }
}

/// Returns true if the stored byte is in memory after these operations, for every pair of events.
pub(crate) fn is_released(release: &[Executed], registers: Outer) -> bool {
    at_every_two_events(release.len(), |happen| {
        let mut machine = Machine::with_a_dirty_line(registers);
        for (at, step) in release.iter().enumerate() {
            happen(at, &mut machine);
            machine.execute(*step);
        }
        machine.memory == OLD
    })
}

/// Returns true if the CPU reads the byte that a device has written between these operations, for every pair of events.
pub(crate) fn is_read_back(
    release_to_writer: &[Executed],
    acquire: &[Executed],
    registers: Outer,
) -> bool {
    let before = release_to_writer.len();
    at_every_two_events(before + 1 + acquire.len(), |happen| {
        let mut machine = Machine::with_a_dirty_line(registers);
        for (at, step) in release_to_writer.iter().enumerate() {
            happen(at, &mut machine);
            machine.execute(*step);
        }
        happen(before, &mut machine);
        machine.memory = NEW;
        for (at, step) in acquire.iter().enumerate() {
            happen(before + 1 + at, &mut machine);
            machine.execute(*step);
        }
        machine.load() == NEW
    })
}

/// Runs with each pair of events before each pair of steps. A run gets a function that does what happens before a step.
fn at_every_two_events(steps: usize, run: impl Fn(&dyn Fn(usize, &mut Machine)) -> bool) -> bool {
    let all = || (0..steps).flat_map(|at| EVENTS.map(|event| (at, event)));
    all().all(|first| {
        all().all(|second| {
            run(&|step, machine| {
                for (at, event) in [first, second] {
                    if at == step {
                        machine.happen(event);
                    }
                }
            })
        })
    })
}
