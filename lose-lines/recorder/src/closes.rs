//! The ends of open file descriptions: the kernel tells when a file's last descriptor, in any process, and its last
//! mapping are gone.

use core::mem::MaybeUninit;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use lose_lines_states::Object;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::inotify::{add_watch, init, remove_watch};

/// Files that are watched until one of their descriptions ends.
#[derive(Debug, Default)]
pub(super) struct Closes {
    events: Option<OwnedFd>,
    files: HashMap<i32, Object>,
}

impl Closes {
    /// Watches a file.
    pub(super) fn watch(&mut self, file: Object, path: &Path) -> io::Result<()> {
        let events = match self.events.take() {
            Some(events) => events,
            None => init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
        };
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        let watch = add_watch(&events, path, flags);
        self.events = Some(events);
        self.files.insert(watch?, file);
        Ok(())
    }

    /// Returns the files of which a description has ended. One that only reads does not count if asked.
    pub(super) fn take(&mut self, only_writers: bool) -> Vec<Object> {
        let mut closed = Vec::new();
        let Some(events) = self.events.as_ref().filter(|_| !self.files.is_empty()) else {
            return closed;
        };
        let mut counted = ReadFlags::CLOSE_WRITE;
        counted.set(ReadFlags::CLOSE_NOWRITE, !only_writers);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(events, &mut buffer);
        while let Ok(event) = reader.next() {
            let is_counted = event.events().intersects(counted);
            if let Some(file) = is_counted.then(|| self.files.remove(&event.wd())).flatten() {
                // The kernel has removed the watch if the file is gone.
                remove_watch(events, event.wd()).unwrap_or_default();
                closed.push(file);
            }
        }
        closed
    }
}
