//! Messages about passes. Another thread writes them, as standard error can have a reader that does not read: a pass must
//! not wait for it.

use crate::commands::text::{self, thousands};
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

/// The number of messages that wait to be written. More are counted.
const WAITING: usize = 4096;
/// The time for which the last messages are waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The messages that wait to be written.
pub(super) struct Messages {
    waiting: SyncSender<String>,
    /// The number of messages that have found no place since the last one that has.
    lost: u64,
    /// Ends when all messages are written.
    written: Receiver<()>,
}

impl Messages {
    /// Starts the thread that writes them. It has the priority of this one.
    pub(super) fn start() -> io::Result<Self> {
        let (waiting, messages) = sync_channel::<String>(WAITING);
        let (end, written) = channel();
        let write = move || {
            let _end = end;
            for message in messages {
                text::tell!("cachemaint: {message}");
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
        let lost = thousands(self.lost);
        let message = format!("{lost} more messages are missing: standard error was not read");
        if self.lost > 0 && self.waiting.try_send(message).is_ok() {
            self.lost = 0;
        }
    }

    /// Waits until all are written, or for a second.
    pub(super) fn finish(mut self) {
        self.tell_lost();
        drop(self.waiting);
        // Nothing is sent: both the end and the time-out are errors.
        self.written.recv_timeout(GRACE).unwrap_or(());
    }
}

#[cfg(test)]
mod tests {
    use super::Messages;
    use std::sync::mpsc::{channel, sync_channel};

    #[test]
    fn messages_without_a_place_are_counted() {
        let ((waiting, messages), (_end, written)) = (sync_channel(2), channel());
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
