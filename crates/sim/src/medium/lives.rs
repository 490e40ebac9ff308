//! The lives of successive processes that use a medium.

use super::SimMedium;
use super::state::{Death, Process};
use crate::crash::choices::Choices;
use crate::crash::image::Image;
use crate::machine::Machine;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A moment in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The number of events of the machine, including those of earlier processes.
    pub(crate) events: u32,
    /// The number of stores, write-backs, fences and notes of this process.
    pub(crate) changes: u64,
}

impl SimMedium {
    /// Continues with the machine of a killed process.
    pub(crate) fn continuing(self, machine: Machine) -> Self {
        self.state().machine = machine;
        self
    }

    /// Lets the process die when it attempts more than `changes` stores, write-backs, fences and notes.
    pub(crate) fn dying_after(self, changes: u64) -> Self {
        *self.state().process() = Process::new(changes);
        self
    }

    /// Ends the process: only its own code sees its further stores, such as those of destructors.
    pub(crate) fn die(&self) {
        self.state().die(Death::Ended);
    }

    /// Returns true if the process was killed within an operation.
    pub(crate) fn is_killed(&self) -> bool {
        self.state().process().death == Some(Death::Killed)
    }

    pub(crate) fn moment(&self) -> Moment {
        let mut state = self.state();
        Moment { events: state.machine.history().now(), changes: state.process().changes }
    }

    /// Returns the machine, the image, the choices among its states, and those of the order of threads.
    pub(crate) fn into_parts(mut self) -> (Machine, Image, Choices, Vec<u32>) {
        let turns = self.turns.take().and_then(Arc::into_inner);
        let schedule = turns.map(|turns| turns.into_choices().0.taken()).unwrap_or_default();
        let state = self.into_state();
        (state.machine, state.image, state.choices, schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::SimMedium;
    use crate::crash::choices::{Choices, Way};
    use crate::crash::image::Image;
    use crate::machine::model::Model;
    use cachemaint::medium::Medium as _;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_dead_process_is_not_killed_again() {
        let (image, choices) = (Image::new([0; 8].into()), Choices::new(Way::All));
        let medium = SimMedium::new(Model::X86, image, choices, 10).dying_after(1);
        medium.store(0, 1, Relaxed);
        medium.store(0, 2, Relaxed);
        assert!(medium.is_killed());
        let death = medium.moment();
        medium.killed();
        assert_eq!(medium.moment(), death);
    }
}
