//! Runs a function on every CPU through the caller, and proves that each CPU took part.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A CPU that has to take part in an operation on whole caches. A kernel has one for each online CPU.
#[derive(Debug)]
pub struct Participant {
    /// The number of the CPU.
    pub number: u32,
    ran: AtomicBool,
}

impl Participant {
    /// Returns the participant for the CPU with this number. On x86 that is the x2APIC ID (CPUID leaf 0BH, EDX), or the
    /// initial APIC ID of a CPU without that leaf (CPUID leaf 1, EBX\[31:24\]). The number stays the same if the APIC
    /// gets another ID.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self { number, ran: AtomicBool::new(false) }
    }

    /// Returns the participant for the executing CPU. Each CPU can make its own when it comes up. Costs two to three
    /// CPUID. On architectures other than x86 the number is 0, since no operation there has participants.
    #[must_use]
    pub fn here() -> Self {
        Self::new(crate::cpu::number())
    }
}

/// The CPUs that executed an operation on whole caches were not exactly the participants, so it promises nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOnAllCpus {
    /// A participant has not executed it; this is the first such. If two participants have the same number, one always
    /// counts as missing.
    #[non_exhaustive]
    Missing {
        /// The number of the CPU.
        number: u32,
    },
    /// A CPU that is not a participant has called or executed it, so the participants are not all CPUs.
    #[non_exhaustive]
    Unknown {
        /// The number of the CPU.
        number: u32,
    },
    /// A call began on one CPU and ended on another one. Either or both may still have lines.
    #[non_exhaustive]
    Moved {
        /// The number of the CPU on which it ended.
        number: u32,
    },
}

impl core::fmt::Display for NotOnAllCpus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing { number } => write!(
                f,
                "CPU {number} has not executed an operation on whole caches, and may still have lines; run it on \
                 every online CPU, name each once, and prevent CPU hotplug meanwhile"
            ),
            Self::Unknown { number } => write!(
                f,
                "CPU {number} has executed an operation on whole caches, but is not among the participants; name all \
                 online CPUs"
            ),
            Self::Moved { number } => write!(
                f,
                "an operation on whole caches was moved to CPU {number} before it had ended; run it with \
                 preemption off"
            ),
        }
    }
}

debug_is_display!(NotOnAllCpus);

impl core::error::Error for NotOnAllCpus {}

/// A kind of fault, with the number of the last CPU that met it.
struct Met {
    is_met: AtomicBool,
    number: AtomicU32,
}

impl Met {
    const fn new() -> Self {
        Self { is_met: AtomicBool::new(false), number: AtomicU32::new(0) }
    }

    fn note(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
        self.is_met.store(true, Ordering::Relaxed);
    }

    fn number(&self) -> Option<u32> {
        self.is_met.load(Ordering::Relaxed).then(|| self.number.load(Ordering::Relaxed))
    }
}

/// Makes `on_all_cpus` call `operation` on every CPU, and records the participants that executed it. `number` returns
/// the number of the executing CPU.
pub(super) fn run(
    participants: &mut [Participant],
    on_all_cpus: impl FnOnce(&(dyn Fn() + Sync)),
    number: impl Fn() -> u32 + Sync,
    operation: impl Fn() + Sync,
) -> Result<(), NotOnAllCpus> {
    for participant in participants.iter_mut() {
        *participant.ran.get_mut() = false;
    }
    let participants = &*participants;
    let participant = |number| participants.iter().find(|known| known.number == number);
    let own = number();
    if participant(own).is_none() {
        return Err(NotOnAllCpus::Unknown { number: own });
    }
    // A caller that waits for the calls has synchronised with them, so the records need no ordering of their own. A
    // caller that does not wait may miss one and get an error.
    let (moved, unknown) = (Met::new(), Met::new());
    on_all_cpus(&|| {
        let before = number();
        operation();
        let after = number();
        if before != after {
            moved.note(after);
            return;
        }
        match participant(after) {
            Some(participant) => participant.ran.store(true, Ordering::Relaxed),
            None => unknown.note(after),
        }
    });
    let missing = participants.iter().find(|participant| !participant.ran.load(Ordering::Relaxed));
    match (moved.number(), unknown.number(), missing) {
        (Some(number), ..) => Err(NotOnAllCpus::Moved { number }),
        (_, Some(number), _) => Err(NotOnAllCpus::Unknown { number }),
        (.., Some(&Participant { number, .. })) => Err(NotOnAllCpus::Missing { number }),
        (None, None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{NotOnAllCpus, Participant, run};
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    use std::sync::Mutex;

    /// The CPUs of a simulated machine: one thread each, whose operation empties its cache. They have odd numbers.
    struct Machine {
        full: Vec<Mutex<bool>>,
        participants: Vec<Participant>,
    }

    std::thread_local! {
        static CPU: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }

    fn number_of(cpu: usize) -> u32 {
        u32::try_from(2 * cpu + 1).unwrap()
    }

    fn number() -> u32 {
        number_of(CPU.get())
    }

    impl Machine {
        fn with(cpus: usize) -> Self {
            let participants = (0..cpus).map(|cpu| Participant::new(number_of(cpu))).collect();
            Self { full: (0..cpus).map(|_| Mutex::new(true)).collect(), participants }
        }

        fn full(&self) -> Vec<usize> {
            let is_full = |cpu: &usize| *self.full[*cpu].lock().unwrap();
            (0..self.full.len()).filter(is_full).collect()
        }

        fn empty(&mut self, cpus: &[usize]) -> Result<(), NotOnAllCpus> {
            let Self { full, participants } = self;
            let operation = || empty_own_cache(full);
            run(participants, |function| call(cpus, function), number, operation)
        }
    }

    /// Empties the cache of this CPU, as every CPU does: each knows only itself.
    fn empty_own_cache(full: &[Mutex<bool>]) {
        *full[CPU.get()].lock().unwrap() = false;
    }

    /// Calls a function on these CPUs, as the kernel's interprocessor call does: returns when all have returned.
    fn call(cpus: &[usize], function: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for cpu in cpus.iter().copied() {
                scope.spawn(move || {
                    CPU.set(cpu);
                    function();
                });
            }
        });
    }

    #[test]
    fn all_caches_are_empty_if_it_ran_on_all_cpus() {
        for cpus in [1, 2, 5] {
            let mut machine = Machine::with(cpus);
            let all: Vec<usize> = (0..cpus).collect();
            assert_eq!(machine.empty(&all), Ok(()));
            assert!(machine.full().is_empty());
        }
    }

    #[test]
    fn a_cpu_that_was_left_out_is_named() {
        let mut machine = Machine::with(4);
        let error = machine.empty(&[0, 1, 3]).unwrap_err();
        assert_eq!(error, NotOnAllCpus::Missing { number: 5 });
        assert_eq!(machine.full(), [2]);
        assert!(error.to_string().contains("CPU 5 has not"), "{error}");
        // The error names the first of several CPUs.
        assert_eq!(machine.empty(&[0]), Err(NotOnAllCpus::Missing { number: 3 }));
        // A kernel whose call does nothing (no other CPU is up, or it failed).
        let mut machine = Machine::with(1);
        assert_eq!(machine.empty(&[]), Err(NotOnAllCpus::Missing { number: 1 }));
        // Again, with all, is right.
        assert_eq!(machine.empty(&[0]), Ok(()));
    }

    /// As many calls as CPUs prove nothing: one CPU ran it twice in the place of another.
    #[test]
    fn a_call_in_the_place_of_another_does_not_count_for_it() {
        let mut machine = Machine::with(3);
        assert_eq!(machine.empty(&[0, 1, 1]), Err(NotOnAllCpus::Missing { number: 5 }));
        assert_eq!(machine.full(), [2]);
        assert_eq!(machine.empty(&[0, 1, 1, 2]), Ok(()));
    }

    /// The notes of a former operation say nothing of the next one.
    #[test]
    fn each_operation_is_proved_anew() {
        let mut machine = Machine::with(2);
        assert_eq!(machine.empty(&[0, 1]), Ok(()));
        assert_eq!(machine.empty(&[0]), Err(NotOnAllCpus::Missing { number: 3 }));
    }

    #[test]
    fn a_cpu_that_is_not_a_participant_is_named() {
        let mut machine = Machine::with(3);
        machine.participants.truncate(2);
        assert_eq!(machine.empty(&[0, 1, 2]), Err(NotOnAllCpus::Unknown { number: 5 }));
        // The caller's own: without it nothing would be missing.
        machine.participants.remove(0);
        assert_eq!(machine.empty(&[1]), Err(NotOnAllCpus::Unknown { number: 1 }));
        machine.participants.clear();
        assert_eq!(machine.empty(&[]), Err(NotOnAllCpus::Unknown { number: 1 }));
    }

    /// Two CPUs that show one number look alike, so the call of one must not count for both.
    #[test]
    fn two_participants_with_one_number_are_never_complete() {
        let mut machine = Machine::with(2);
        machine.participants.push(Participant::new(number_of(1)));
        let error = machine.empty(&[0, 1, 1]).unwrap_err();
        assert_eq!(error, NotOnAllCpus::Missing { number: 3 });
        assert!(error.to_string().contains("name each once"), "{error}");
    }

    #[test]
    fn a_call_that_was_moved_counts_for_no_cpu() {
        let Machine { full, mut participants } = Machine::with(2);
        let operation = || {
            empty_own_cache(&full);
            CPU.set(1);
        };
        let moved = run(&mut participants, |function| function(), number, operation);
        CPU.set(0);
        assert_eq!(moved, Err(NotOnAllCpus::Moved { number: 3 }));
    }

    /// Nothing may take the unwinding for a success, and no call may outlive the frame.
    #[test]
    fn a_panic_of_the_caller_goes_through() {
        let mut machine = Machine::with(2);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let Machine { full, participants } = &mut machine;
            let call = |function: &(dyn Fn() + Sync)| {
                call(&[0], function);
                panic!("no interrupt was acknowledged");
            };
            run(participants, call, number, || empty_own_cache(full))
        }));
        assert!(unwound.is_err());
        assert_eq!(machine.full(), [1]);
    }
}
