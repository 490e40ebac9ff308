//! The serial line to the host: the kernel opened it for the first program as standard input and
//! output.

use super::protocol::{Reply, Request, decode, encode};
use anyhow::{Context as _, Result, bail};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd;

/// Makes a line raw: no echo, no editing, no limit of 4096 bytes.
pub(crate) fn make_raw(console: impl AsFd) -> Result<()> {
    let mut attributes = tcgetattr(&console).context("the console's attributes")?;
    attributes.make_raw();
    tcsetattr(&console, OptionalActions::Now, &attributes).context("a raw console")
}

/// Reads the host's next request.
pub(crate) fn next() -> Result<Request> {
    let mut line = String::new();
    loop {
        line.clear();
        if io::stdin().lock().read_line(&mut line).context("cannot read the console")? == 0 {
            bail!("the console was closed");
        }
        if let Some(request) = decode(&line).with_context(|| format!("request {line:?}"))? {
            return Ok(request);
        }
    }
}

/// Sends a reply.
///
/// # Errors
/// If the line cannot be written.
pub fn say(reply: &Reply) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(encode(reply)?.as_bytes()).context("cannot write to the console")?;
    out.flush().context("cannot write to the console")
}

/// Waits until the line has transmitted all replies: even if the machine ends now, the host has received them.
///
/// # Errors
/// If the line fails.
pub fn drain() -> Result<()> {
    tcdrain(io::stdout()).context("the console does not transmit the replies")
}
