//! Work on many items by several threads.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;

/// Works on items with this many workers, and passes on the results with their numbers in the order of the items.
/// `make` makes the worker of a number, and `work` uses it; a worker gets its items in order.
///
/// # Errors
/// The first error of a worker or of `take`. After a worker's error no other item is begun, and each result that is
/// already there is still passed on.
pub fn in_order<I: Iterator + Send, W, R: Send>(
    items: I,
    workers: usize,
    make: impl Fn(usize) -> Result<W> + Sync,
    work: impl Fn(&mut W, I::Item) -> Result<R> + Sync,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let (items, has_stopped) = (Mutex::new(items.enumerate()), AtomicBool::new(false));
    let (sender, results) = channel();
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = |number: usize, sender: &dyn Fn(usize, Result<R>) -> bool| {
        let mut worker = None;
        while !has_stopped.load(Ordering::Relaxed) {
            let Some((place, item)) = next() else { return };
            let result = worker.take().map_or_else(|| make(number), Ok).and_then(|mut ready| {
                let result = work(&mut ready, item);
                worker = Some(ready);
                result
            });
            if result.is_err() {
                has_stopped.store(true, Ordering::Relaxed);
            }
            if !sender(place, result) {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..workers.max(1) {
            let (run, sender) = (&run, sender.clone());
            scope.spawn(move || {
                run(number, &|place, result| sender.send((place, result)).is_ok());
            });
        }
        drop(sender);
        let (mut early, mut number, mut first) = (BTreeMap::new(), 0, None);
        for (place, result) in results {
            match result {
                Ok(result) => drop(early.insert(place, result)),
                Err(why) => first = first.or(Some(why)),
            }
            while let Some(result) = early.remove(&number) {
                take(number, result).inspect_err(|_| has_stopped.store(true, Ordering::Relaxed))?;
                number += 1;
            }
        }
        // Behind an error there are gaps.
        early.into_iter().try_for_each(|(number, result)| take(number, result))?;
        first.map_or(Ok(()), Err)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::in_order;

    #[test]
    fn results_come_in_order() {
        let items: Vec<usize> = (0..100).collect();
        let mut found = Vec::new();
        in_order(
            items.iter(),
            4,
            Ok,
            |_worker, item| Ok(item * 2),
            |number, result| {
                found.push((number, result));
                Ok(())
            },
        )
        .unwrap();
        assert!(found.into_iter().eq(items.into_iter().map(|item| (item, item * 2))));
    }

    #[test]
    fn an_error_does_not_take_results_that_are_there() {
        use std::sync::Barrier;
        // The first item fails only after the second one has its result.
        let (both, mut found) = (Barrier::new(2), Vec::new());
        let result = in_order(
            [0, 1].iter(),
            2,
            |_number| Ok(()),
            |(), item| {
                both.wait();
                ensure!(*item != 0, "no space");
                Ok(*item)
            },
            |number, _result| {
                found.push(number);
                Ok(())
            },
        );
        assert_eq!(result.unwrap_err().to_string(), "no space");
        assert_eq!(found, [1]);
    }
}
