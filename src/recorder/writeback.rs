//! Write-back of the events of all threads.

use super::format::Geometry;
use super::{Cursor, Recorder};
use crate::medium::Medium;
use core::sync::atomic::Ordering;

impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Writes back all events that this opening has recorded before the call and that were not written back yet. They are
    /// persistent when this returns. An event that another thread has not finished is not covered: a reader reports it as
    /// torn, or does not see it.
    ///
    /// Call [`stop`](Self::stop) first to keep the present events from being overwritten.
    ///
    /// # Signal handlers
    /// This may be called in a signal handler, even in one that has interrupted this call: it does not lock or wait, and
    /// allocates only for an error. That holds for the media of this crate that persist by lines. They fail only while a
    /// guarded access (`catch_faults`) has replaced pages of the file by zeros. The handler of `stop_on_signals` ignores
    /// these zeros, and the events stay due for the next call.
    ///
    /// On a file that persists by pages this calls `msync`, and waits for the calls that other threads make beside it. On
    /// Linux a handler that has interrupted such a call for the same file does not wait. Success does not cover a failure of
    /// those calls then: they return it, and so does each later call of this function. On other systems, and on a medium
    /// around such a file (a region of a store), do not call this in a handler that can have interrupted a write-back of the
    /// file. Nor write back two such files in a handler that can have interrupted write-backs of both: two threads can then
    /// wait for each other.
    ///
    /// # Errors
    /// The first error of the medium. The other shards are written back nevertheless. The next call tries the failed
    /// ranges again.
    ///
    /// # Cost
    /// A check of each shard; an instruction for each line of new events, and two fences for each shard that has new
    /// events or newly lost ones.
    pub fn write_back_all(&self) -> Result<(), M::Error> {
        self.write_back_shards(is_success_certain)
    }

    /// Does the same in the handler of a signal that may end the process. A file returns no errors there, and a medium can hide
    /// that it is one around a file. So all events stay due for the next call.
    #[cfg(all(feature = "dax", target_os = "linux", not(cachemaint_loom)))]
    pub(super) fn write_back_at_crash(&self) {
        // Neither the handler nor the interrupted code can do anything about an error.
        drop(self.write_back_shards(|_| false));
    }

    fn write_back_shards(&self, is_certain: fn(&M) -> bool) -> Result<(), M::Error> {
        let mut outcome = Ok(());
        for (shard, cursor) in self.cursors.iter() {
            outcome = outcome.and(self.write_back_shard(shard, cursor, is_certain));
        }
        outcome
    }

    fn write_back_shard(
        &self,
        shard: u32,
        cursor: &Cursor,
        is_certain: fn(&M) -> bool,
    ) -> Result<(), M::Error> {
        let (geometry, head) = (self.description.geometry(), cursor.head());
        let loss = Geometry::loss(shard);
        let lost_word = self.medium.load(loss, Ordering::Relaxed);
        let is_lost_word_new = cursor.is_lost_word_new(lost_word);
        if cursor.done() >= head && !is_lost_word_new {
            return Ok(());
        }
        // The owner's stores come before the write-backs of this thread. This must follow the load of the head, or events
        // that the owner finishes meanwhile would count as written back.
        self.medium.order_observed();
        for range in geometry.ranges(shard, cursor.done()..head) {
            self.medium.issue_writeback(range)?;
        }
        if is_lost_word_new {
            self.medium.issue_writeback(loss..loss + 8)?;
        }
        self.medium.fence();
        if is_certain(&self.medium) {
            cursor.written_back(head);
            cursor.lost_word_written_back(lost_word);
        }
        Ok(())
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(
        feature = "dax",
        any(
            target_os = "linux",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_vendor = "apple",
            windows
        ),
        not(cachemaint_loom)
    ))] {
        /// Returns false in a signal handler where a write-back that succeeds may have ignored an error.
        #[inline]
        pub(super) fn is_success_certain<M: Medium>(medium: &M) -> bool {
            use crate::dax::DaxView;
            DaxView::of(medium).is_none_or(DaxView::is_success_certain)
        }
    } else {
        pub(super) const fn is_success_certain<M: Medium>(_medium: &M) -> bool {
            true
        }
    }
}

#[cfg(all(test, feature = "dax", target_os = "linux", not(any(cachemaint_loom, miri))))]
mod tests {
    use crate::dax::{DaxFile, Options as File};
    use crate::medium::Granularity;
    use crate::recorder::{Durability, Options, Recorder};
    use crate::signals::crashing;
    use std::thread;

    /// Each of them succeeds while a call is under way that fails.
    #[test]
    fn events_of_a_write_back_in_a_handler_stay_due_until_other_calls_have_succeeded() {
        type Handler = fn(&Recorder<DaxFile>);
        let handlers: [(Durability, Handler); 3] = [
            (Durability::OnCrash, |recorder| recorder.write_back_all().unwrap()),
            (Durability::EachAppend, |recorder| {
                recorder.claim().unwrap().record(2, b"in the handler").unwrap();
            }),
            (Durability::OnCrash, |recorder| {
                thread::scope(|scope| {
                    scope.spawn(|| crashing(|| recorder.write_back_all().unwrap()));
                });
            }),
        ];
        for (durability, handler) in handlers {
            let directory = tempfile::tempdir().unwrap();
            let options = File::new().allow_page_granularity();
            let file = options.create_new(directory.path().join("file"), 1 << 16).unwrap();
            if !matches!(file.granularity(), Granularity::Page(_)) {
                let test =
                    "events_of_a_write_back_in_a_handler_stay_due_until_other_calls_have_succeeded";
                return crate::skip::skip(test, "files are on DAX here");
            }
            let recorder =
                Options::new().shards(2).durability(durability).create_new(file).unwrap();
            recorder.claim().unwrap().record(1, b"the valve is open").unwrap();
            recorder.medium().view().call_that_fails(|| handler(&recorder));
            recorder.write_back_all().unwrap_err();
        }
    }
}
