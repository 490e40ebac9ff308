//! Events of a recording, with each durability. A recording has one life. The next one is created over it.

use super::{Chance, Witness, Work};
use crate::records::{number_of, record};
use anyhow::{Result, ensure};
use cachemaint::dax::DaxFile;
use cachemaint_lab_protocol::recording::{OF_A_SUB_BUFFER, SUB_BUFFERS, oldest_of};
use cachemaint_recorder::{Durability, ErrorKind, Event, FormatError, Found, Options, Reader};

/// The kind of the events.
const EVENT: u16 = 6;
/// The number of events in a life: at most one and a half laps.
const EVENTS: u64 = 270;
/// The number of events after which a recording with durability on request is written back.
const AT_ONCE: u64 = 17;

/// The acknowledgements: the recording exists, and, plus the number of promised events, it has events.
const CREATED: u64 = 1;
const BEGUN: u64 = 2;

/// The events that must exist.
pub(super) struct Recording {
    chance: Chance,
    /// The seed of the events of this life.
    seed: u64,
}

impl Recording {
    pub(super) const fn new(chance: Chance) -> Self {
        Self { chance, seed: 0 }
    }
}

impl Work for Recording {
    fn live(&mut self, file: &DaxFile, witness: &Witness) -> Result<()> {
        self.seed = self.chance.next();
        let durabilities = [Durability::OnRequest, Durability::SubBuffer, Durability::EachAppend];
        let durability = durabilities[self.chance.len(3)];
        let options = Options::new().shards(1).sub_buffers(SUB_BUFFERS).durability(durability);
        let (recorder, _) = options.create_new(file).map_err(|failed| failed.error)?;
        witness.acknowledge(CREATED);
        let writer = recorder.claim()?;
        for number in 0..self.chance.below(EVENTS) {
            if number == 0 {
                witness.acknowledge(BEGUN);
            }
            writer.record(EVENT, &record(self.seed, number))?;
            let all = number + 1;
            match durability {
                Durability::EachAppend => witness.acknowledge(BEGUN + all),
                // The first event of the next sub-buffer has written back the one before.
                Durability::SubBuffer if number % OF_A_SUB_BUFFER == 0 => {
                    witness.acknowledge(BEGUN + number);
                }
                Durability::OnRequest if all % AT_ONCE == 0 => {
                    recorder.write_back_all()?;
                    witness.acknowledge(BEGUN + all);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(&mut self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        self.judge_events(file, acknowledged)?;
        // The next life creates another recording over the remains. An existing one is refused.
        for magic in [0, 4096, 8192, 12_288] {
            file.write(magic, &[0; 8]);
        }
        Ok(())
    }
}

impl Recording {
    /// Checks that the promised events that were not overwritten exist, without gaps, and that each event was recorded.
    fn judge_events(&self, file: &DaxFile, acknowledged: u64) -> Result<()> {
        let reader = match Reader::open(file) {
            Ok(reader) => reader,
            Err(error) if acknowledged == 0 => {
                let error = error.error;
                let is_missing = matches!(
                    error.kind(),
                    ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0], .. })
                );
                ensure!(is_missing, "created in part: {error}");
                return Ok(());
            }
            Err(error) => return Err(error.error.into()),
        };
        if acknowledged > 0 {
            let mut buffer = vec![0; reader.largest_payload()];
            let mut numbers = Vec::new();
            let mut events = reader.shard(0);
            while let Some(found) = events.read_next(&mut buffer)? {
                ensure!(acknowledged > CREATED, "a recording without an event has {found:?}");
                if let Found::Event(Event { id, payload, .. }) = found {
                    let number = number_of(payload)?;
                    ensure!(id == EVENT && payload == record(self.seed, number), "event {number}?");
                    numbers.push(number);
                }
            }
            let promised = acknowledged.saturating_sub(BEGUN);
            let is_ascending = numbers.windows(2).all(|two| two[0] < two[1]);
            ensure!(is_ascending, "events in another order: {numbers:?}");
            let lost: Vec<u64> = (oldest_of(promised)..promised)
                .filter(|number| !numbers.contains(number))
                .collect();
            ensure!(lost.is_empty(), "{} of {promised} promised events, {lost:?}", lost.len());
        }
        Ok(())
    }
}
