//! The fewest losses with which a check still fails.

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
    use super::fewest;

    #[test]
    fn the_fewest_that_fail_are_found() {
        let lines: Vec<u32> = (0..100).collect();
        for needed in [vec![17], vec![3, 98], vec![50, 51, 52]] {
            let mut checks = 0;
            let found = fewest(&lines, 200, |lines| {
                checks += 1;
                Ok::<_, ()>(needed.iter().all(|line| lines.contains(line)))
            });
            assert_eq!(found, Ok(needed), "{checks} checks");
        }
        let none = fewest(&lines, 5, |_lines| Ok::<_, ()>(false)).unwrap();
        assert_eq!(none, lines, "the checks ran out");
    }
}
