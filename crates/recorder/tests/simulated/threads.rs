//! Shards that two threads write or write back.

use super::Note::{Begun, Recorded, WrittenBack};
use super::{BYTES, Note, claim_second, judge, open, record, with_recording, work};
use cachemaint_recorder::{Durability, Recorder};
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation};
use core::sync::atomic::Ordering;

/// One thread records, and another one writes back the events that it has seen finished.
pub(super) fn another_thread_writes_back(simulation: &Simulation) -> Exploration {
    by_two_threads(simulation, |_, _| ())
}

/// Another thread writes back. In the end everything is written back, including what was recorded in the meantime.
fn all_is_written_back_at_last(simulation: &Simulation) -> Exploration {
    by_two_threads(simulation, |recorder, notes| {
        recorder.write_back_all().unwrap();
        notes.add(WrittenBack(1));
    })
}

fn by_two_threads(
    simulation: &Simulation,
    at_last: fn(&Recorder<'_, &SimMedium>, &Notes<'_, Note>),
) -> Exploration {
    use cachemaint_sim::sync::AtomicU64;
    with_recording(simulation).preemptions(1).explore(
        |medium, notes: &Notes<'_, Note>| {
            let recorder = open(medium, Durability::OnRequest).unwrap().0;
            let finished = AtomicU64::new(0);
            let records = || {
                let writer = recorder.claim().unwrap();
                for event in 0..2 {
                    notes.add(Begun(event));
                    record(&writer, event).unwrap();
                    finished.store(event + 1, Ordering::Release);
                }
            };
            let writes_back = || {
                let before = finished.load(Ordering::Acquire);
                recorder.write_back_all().unwrap();
                if let Some(last) = before.checked_sub(1) {
                    notes.add(WrittenBack(last));
                }
            };
            medium.run_threads(&[&records, &writes_back]);
            at_last(&recorder, notes);
        },
        |medium: &SimMedium, notes| judge(medium, notes, Durability::OnRequest),
    )
}

/// A thread records and returns its shard. The next owner writes the full sub-buffer back.
pub(super) fn another_thread_takes_the_shard_up(simulation: &Simulation) -> Exploration {
    use cachemaint_sim::sync::{AtomicBool, spin_loop};
    with_recording(simulation).preemptions(1).explore(
        |medium, notes: &Notes<'_, Note>| {
            let recorder = open(medium, Durability::SubBuffer).unwrap().0;
            let _second = claim_second(&recorder);
            let is_free = AtomicBool::new(false);
            let first = || {
                work(&recorder, 0..1, |note| notes.add(note)).unwrap();
                is_free.store(true, Ordering::Release);
            };
            let second = || {
                while !is_free.load(Ordering::Acquire) {
                    spin_loop();
                }
                work(&recorder, 1..3, |note| notes.add(note)).unwrap();
            };
            medium.run_threads(&[&first, &second]);
        },
        |medium: &SimMedium, notes| judge(medium, notes, Durability::SubBuffer),
    )
}

/// A thread records and sends its writer to another thread, which writes the full sub-buffer back.
pub(super) fn a_writer_is_sent_to_another_thread(simulation: &Simulation) -> Exploration {
    use cachemaint_sim::sync::{AtomicBool, spin_loop};
    use std::sync::Mutex;
    with_recording(simulation).preemptions(1).explore(
        |medium, notes: &Notes<'_, Note>| {
            let recorder = open(medium, Durability::SubBuffer).unwrap().0;
            let (sent, is_sent) = (Mutex::new(None), AtomicBool::new(false));
            let first = || {
                let writer = recorder.claim().unwrap();
                notes.add(Begun(0));
                record(&writer, 0).unwrap();
                notes.add(Recorded(0));
                *sent.lock().unwrap() = Some(writer);
                is_sent.store(true, Ordering::Release);
            };
            let second = || {
                while !is_sent.load(Ordering::Acquire) {
                    spin_loop();
                }
                let writer = sent.lock().unwrap().take().unwrap();
                for event in 1..3 {
                    notes.add(Begun(event));
                    record(&writer, event).unwrap();
                    notes.add(Recorded(event));
                }
            };
            medium.run_threads(&[&first, &second]);
        },
        |medium: &SimMedium, notes| judge(medium, notes, Durability::SubBuffer),
    )
}

/// With eADR the simulation would require a fence of the writer, because it does not see the handover between the
/// threads outside the medium. On x86, a thread that sees the handover also sees the earlier stores (TSO). The neutral
/// model has every crash of x86 and arm64, as a test of the simulator shows.
#[test]
fn events_written_back_by_another_thread_survive() {
    for model in [Model::NEUTRAL, Model::PAGES] {
        let simulation = Simulation::new(model, BYTES).zeros();
        for scenario in [
            another_thread_writes_back,
            all_is_written_back_at_last,
            another_thread_takes_the_shard_up,
            a_writer_is_sent_to_another_thread,
        ] {
            let exploration = scenario(&simulation);
            exploration.assert_safe();
            assert!(exploration.is_exhaustive());
        }
    }
}
