//! The fewest losses with which a check still fails.

/// The losses that a failed check needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed<T> {
    /// None: the check fails although everything that was there at the cut survives.
    Nothing,
    /// These units, and perhaps fewer of them.
    Units(Vec<T>),
    /// Parts of units: the check does not fail if all of these units are lost whole.
    Parts,
}

/// Returns the losses that a failed check needs, after at most two checks more than `checks`. Losing nothing is tried
/// first.
pub fn needed<T: Copy + PartialEq, E>(
    all: &[T],
    checks: u32,
    mut fails: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Needed<T>, E> {
    if fails(&[])? {
        return Ok(Needed::Nothing);
    }
    if all.is_empty() || !fails(all)? {
        return Ok(Needed::Parts);
    }
    fewest(all, checks, fails).map(Needed::Units)
}

/// Returns the fewest of these with which a check still fails, after at most this many checks: the method of Zeller and
/// Hildebrandt ("Simplifying and isolating failure-inducing input", 2002), by halves, quarters and so on.
pub(crate) fn fewest<T: Copy + PartialEq, E>(
    all: &[T],
    mut checks: u32,
    mut fails: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Vec<T>, E> {
    let (mut kept, mut parts) = (all.to_vec(), 2);
    'parts: while kept.len() > 1 && checks > 0 {
        let size = kept.len().div_ceil(parts);
        for part in kept.chunks(size) {
            // A part, and everything except it. With two parts, the latter is just the other part.
            let rest: Vec<T> = kept.iter().filter(|one| !part.contains(one)).copied().collect();
            let rest = (parts > 2).then_some((rest, parts - 1));
            for (fewer, parts_then) in [(part.to_vec(), 2)].into_iter().chain(rest) {
                if checks == 0 {
                    break 'parts;
                }
                checks -= 1;
                if fails(&fewer)? {
                    (kept, parts) = (fewer, parts_then);
                    continue 'parts;
                }
            }
        }
        if size == 1 {
            break;
        }
        parts = (parts * 2).min(kept.len());
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::{Needed, needed};

    #[test]
    fn the_fewest_that_fail_are_found() {
        let lines: Vec<u32> = (0..100).collect();
        for wanted in [vec![17], vec![3, 98], vec![50, 51, 52]] {
            let mut checks = 0;
            let found = needed(&lines, 200, |lines| {
                checks += 1;
                Ok::<_, ()>(wanted.iter().all(|line| lines.contains(line)))
            });
            assert_eq!(found, Ok(Needed::Units(wanted)), "{checks} checks");
        }
    }

    #[test]
    fn losing_nothing_comes_first_and_parts_are_told() {
        let found = |fails: fn(&[u32]) -> bool| {
            needed(&[1, 2, 3], 5, |lost| Ok::<_, ()>(fails(lost))).unwrap()
        };
        assert_eq!(found(|_lost| true), Needed::Nothing);
        assert_eq!(found(|_lost| false), Needed::Parts);
        // The checks run out.
        let all: Vec<u32> = (0..64).collect();
        let found = needed(&all, 0, |lost| Ok::<_, ()>(!lost.is_empty())).unwrap();
        assert_eq!(found, Needed::Units(all));
    }
}
