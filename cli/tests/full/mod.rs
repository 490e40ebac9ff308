//! Commands whose standard output is a full pipe that does not block.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use std::io::{self, PipeWriter, pipe};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Runs a command, and returns its output if it succeeds. The output is read after the pipe was full for a while.
pub(crate) fn output(mut command: Command) -> String {
    let (from, to) = pipe().unwrap();
    fcntl_setfl(&to, OFlags::NONBLOCK).unwrap();
    let mut child = command.stdout(to.try_clone().unwrap()).spawn().unwrap();
    drop(command);
    while !is_full(&to) && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_millis(100));
    drop(to);
    let output = io::read_to_string(from).unwrap();
    assert!(child.wait().unwrap().success());
    output
}

fn is_full(pipe: &PipeWriter) -> bool {
    poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&Timespec::default())).unwrap() == 0
}
