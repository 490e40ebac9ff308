//! Reading what another thread may be storing: it is read again until it is as it must be, or no longer changes.

/// The number of times that something is read again at most, while it changes.
const ATTEMPTS: u32 = 64;
/// The number of times that the same must be read again in succession to be the result. A store that is under way takes
/// less time, unless its thread is interrupted.
const STEADY: u32 = 8;

/// Returns the result of a reading that is as expected, or the last one.
pub(crate) fn settled<T: PartialEq, E>(
    mut read: impl FnMut() -> Result<T, E>,
    is_expected: impl Fn(&T) -> bool,
) -> Result<T, E> {
    let (mut found, mut same) = (read()?, 0);
    for _ in 0..ATTEMPTS {
        if is_expected(&found) || same == STEADY {
            break;
        }
        let again = read()?;
        same = if again == found { same + 1 } else { 0 };
        found = again;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS, STEADY, settled};
    use core::convert::Infallible;

    /// Returns the result, and the number of readings.
    fn read_by(mut value: impl FnMut(u32) -> u32) -> (u32, u32) {
        let mut readings = 0;
        let read = || {
            readings += 1;
            Ok::<_, Infallible>(value(readings))
        };
        let Ok(found) = settled(read, |found| *found == 7);
        (found, readings)
    }

    #[test]
    fn the_first_reading_that_is_as_expected_is_taken() {
        assert_eq!(read_by(|_| 7), (7, 1));
        assert_eq!(read_by(|number| number.min(7)), (7, 7));
    }

    #[test]
    fn something_that_stays_as_it_is_not_expected_is_taken_soon_and_something_that_changes_late() {
        assert_eq!(read_by(|_| 1), (1, STEADY + 1));
        assert_eq!(read_by(|number| number + 100), (ATTEMPTS + 101, ATTEMPTS + 1));
    }
}
