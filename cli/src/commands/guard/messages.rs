//! Messages about passes. Another thread writes them, as standard error can have a reader that does not read: a pass must
//! not wait for it.

use crate::commands::text::{self, thousands};
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The number of messages that wait to be written. More are counted.
const WAITING: usize = 4096;
/// The time for which each of the last messages is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The messages that wait to be written.
pub(super) struct Messages {
    waiting: SyncSender<String>,
    /// The number of messages that have found no place since the last one that has.
    lost: u64,
    /// Has something when messages were written, and ends when all are.
    written: Receiver<()>,
}

impl Messages {
    /// Starts the thread that writes them. It has the priority of this one.
    pub(super) fn start() -> io::Result<Self> {
        let (waiting, messages) = sync_channel::<String>(WAITING);
        let (progress, written) = sync_channel(1);
        let write = move || {
            for message in messages {
                text::tell!("cachemaint: {message}");
                // It has something already.
                progress.try_send(()).unwrap_or(());
            }
        };
        thread::Builder::new().name("messages".to_owned()).spawn(write)?;
        Ok(Self { waiting, lost: 0, written })
    }

    /// Takes a message, or counts it.
    pub(super) fn tell(&mut self, message: String) {
        self.tell_lost();
        if self.lost > 0 || self.waiting.try_send(message).is_err() {
            self.lost += 1;
        }
    }

    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let lost = thousands(self.lost);
        let message = format!("{lost} more messages are missing: standard error was not read");
        if self.waiting.try_send(message).is_ok() {
            self.lost = 0;
        }
    }

    /// Waits until all are written, or one takes more than a second.
    pub(super) fn finish(mut self) {
        self.tell_lost();
        drop(self.waiting);
        while self.written.recv_timeout(GRACE).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::Messages;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn messages_without_a_place_are_counted() {
        let ((waiting, messages), (_progress, written)) = (sync_channel(2), sync_channel(1));
        let mut told = Messages { waiting, lost: 0, written };
        for number in 0..5 {
            told.tell(number.to_string());
        }
        assert_eq!([messages.recv(), messages.recv()], ["0", "1"].map(|it| Ok(it.to_owned())));
        told.tell("5".to_owned());
        let lost = "3 more messages are missing: standard error was not read";
        assert_eq!([messages.recv(), messages.recv()], [lost, "5"].map(|it| Ok(it.to_owned())));
    }
}
