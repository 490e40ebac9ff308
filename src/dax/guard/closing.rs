//! Files that have left the tree, closed by a thread of their own.
//!
//! The last descriptor of a removed file has the file system free its blocks when it is closed. On ext4 this took 1.5 ms
//! a file while another program removed files without a pause, and all other files would wait for it.

use super::guarded::GuardedFile;
use alloc::borrow::ToOwned as _;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// The thread that closes files. It ends after its last file when this value is dropped.
#[derive(Debug, Default)]
pub(super) struct Closing(Option<Sender<GuardedFile>>);

impl Closing {
    /// Closes a file. The thread is started with the first one.
    pub(super) fn close(&mut self, file: GuardedFile) {
        if self.0.is_none() {
            let (sender, files) = mpsc::channel();
            let thread = thread::Builder::new().name("closing files".to_owned());
            // Without the thread files are closed in the pass.
            let started = thread.spawn(move || files.into_iter().for_each(drop)).is_ok();
            self.0 = started.then_some(sender);
        }
        match &self.0 {
            // The file comes back, and is closed here, if the thread has ended.
            Some(sender) => drop(sender.send(file)),
            None => drop(file),
        }
    }
}
