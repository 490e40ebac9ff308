//! A walk over all records, for an opening or a verification.

use super::evidence::Ending;
use super::geometry::Position;
use super::recovered::Recovered;
use super::state::State;
use super::walk::{Step, Walk};
use cachemaint::medium::Readable;
use cachemaint_format::progress::Progress;

/// The number of bytes between two progress reports.
const STEP: u64 = 16 << 20;

/// Walks over all records and returns a summary.
pub(super) fn survey<M: Readable>(
    medium: &M,
    state: State,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, M::Error> {
    let mut walk = Walk::new(medium, state);
    let mut found = Recovered { head: Position(state.head), ..Recovered::default() };
    let mut told = walk.at;
    loop {
        match walk.step()? {
            Step::Record { len, .. } => {
                found.records += 1;
                found.bytes += len as u64;
            }
            Step::Passed => {}
            Step::End(fault) => match walk.ending(fault)? {
                Ending::More => {}
                Ending::End { is_torn, after_gap } => {
                    (found.torn, found.after_gap) = (is_torn, after_gap);
                    break;
                }
                Ending::Damage(damage) => {
                    found.damage = Some(damage);
                    break;
                }
            },
        }
        if walk.at - told >= STEP {
            told = walk.at;
            progress(Progress::new(told - state.head, walk.limit - state.head));
        }
    }
    found.end = Position(walk.last);
    Ok(found)
}
