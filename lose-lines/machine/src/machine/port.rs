//! A port of a machine, to which a program prints.
//!
//! The emulator forwards what is printed before the program continues, so a host that reads the socket has all that was
//! printed before anything else that the program does.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::event::{PollFd, PollFlags, poll};

use super::control::within;
use crate::acknowledged::{Acknowledged, Lines};
use crate::emulator::value;
use crate::temporary::Temporary;

/// The port in a machine. It is a terminal, so that programs print each line at once, as they do for a user.
pub const DEVICE: &str = "/dev/hvc0";

/// A socket on which one emulator connects.
pub struct Socket {
    /// A path of the socket that is short enough for an emulator's command line.
    pub place: String,
    /// Removed with this value.
    file: Temporary,
    _folder: File,
}

impl Socket {
    /// Listens on a socket in a directory. A thread serves the first connection until it ends.
    pub fn serve(
        folder: &Path,
        file: &str,
        serve: impl FnOnce(UnixStream) + Send + 'static,
    ) -> Result<Self> {
        let opened =
            File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        let place = within(&opened, file);
        let file = Temporary::new(folder.join(file));
        let listener = UnixListener::bind(&place)
            .with_context(|| format!("cannot listen on {}", file.display()))?;
        thread::spawn(move || {
            if let Ok((stream, _address)) = listener.accept() {
                // One emulator uses the socket: the thread does not wait for another one.
                drop(listener);
                serve(stream);
            }
        });
        Ok(Self { place: value(place.display()), file, _folder: opened })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A thread that still waits for its emulator gets a connection that ends at once.
        drop(UnixStream::connect(&*self.file));
    }
}

/// The reading end of a port.
#[derive(Debug, Default)]
pub struct Reader {
    stream: Option<Arc<UnixStream>>,
    lines: Lines,
}

impl Reader {
    pub fn connect(&mut self, stream: Arc<UnixStream>) {
        self.stream = Some(stream);
    }

    /// Takes the lines that were printed so far. Returns false if the port is closed.
    pub fn take(&mut self, mut take: impl FnMut(String) -> io::Result<()>) -> io::Result<bool> {
        let Some(stream) = self.stream.clone() else { return Ok(true) };
        let mut bytes = [0; 4096];
        loop {
            match (&*stream).read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(count) => self.lines.add(&bytes[..count], &mut take)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns true once the emulator has opened the port.
    pub const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }
}

/// Takes the lines of a port while nothing else does so: a port that nobody reads blocks its program. `reader` returns
/// the reader, and `take` takes its lines and returns false if the port is closed.
pub fn listen(
    stream: UnixStream,
    connect: impl FnOnce(Arc<UnixStream>),
    take: impl Fn() -> io::Result<bool>,
) {
    if stream.set_nonblocking(true).is_err() {
        return;
    }
    let stream = Arc::new(stream);
    connect(stream.clone());
    while poll(&mut [PollFd::new(&stream, PollFlags::IN)], None).is_ok() {
        if !matches!(take(), Ok(true)) {
            return;
        }
    }
}

/// Returns words for an emulator's command line that connect a port to a socket.
pub fn devices(socket: &Socket) -> [String; 6] {
    [
        "-chardev",
        &format!("socket,id=port,path={}", socket.place),
        "-device",
        "virtio-serial-pci,ioeventfd=off",
        "-device",
        "virtconsole,chardev=port",
    ]
    .map(str::to_owned)
}

/// A port whose lines are collected.
pub struct Port {
    socket: Socket,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    reader: Reader,
    lines: Vec<String>,
    /// The error that ended the collection.
    failure: Option<io::Error>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn take(&mut self) -> io::Result<bool> {
        let Self { reader, lines, failure } = self;
        let taken = reader.take(|line| {
            lines.push(line);
            Ok(())
        });
        taken.map_err(|error| {
            // The program's next line finds the port closed.
            *reader = Reader::default();
            let kind = error.kind();
            *failure = Some(error);
            kind.into()
        })
    }
}

impl Port {
    /// Listens for the emulator of a machine with this name.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let state = Arc::<Mutex<State>>::default();
        let of_thread = state.clone();
        let socket = Socket::serve(folder, &format!("{name}.port"), move |stream| {
            listen(
                stream,
                |stream| locked(&of_thread).reader.connect(stream),
                || locked(&of_thread).take(),
            );
        })?;
        Ok(Self { socket, state })
    }

    /// Returns words for the emulator's command line.
    pub fn devices(&self) -> [String; 6] {
        devices(&self.socket)
    }

    /// Returns the lines printed so far: those before the end of a program that has ended, or of a machine.
    pub fn acknowledged(self) -> Result<Acknowledged> {
        let mut state = locked(&self.state);
        if state.failure.is_none() {
            // Its error is kept.
            drop(state.take());
        }
        match state.failure.take() {
            Some(why) => Err(anyhow!(why)),
            None => Ok(Acknowledged::of_lines(&state.lines)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::{Port, locked};

    #[test]
    fn printed_lines_are_collected_and_an_incomplete_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::new(folder.path(), "a").unwrap();
        let mut stream = UnixStream::connect(folder.path().join("a.port")).unwrap();
        while !locked(&port.state).reader.is_connected() {
            std::thread::yield_now();
        }
        stream.write_all(b"1\n2\nthr").unwrap();
        assert_eq!(port.acknowledged().unwrap().text(), "1\n2\n");
    }

    #[test]
    fn a_line_that_is_too_long_ends_the_collection() {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::new(folder.path(), "a").unwrap();
        let mut stream = UnixStream::connect(folder.path().join("a.port")).unwrap();
        // A program that goes on is not blocked.
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        assert!(port.acknowledged().unwrap_err().to_string().contains("64 KiB"));
    }

    /// A check that hangs ends its machine with its sockets.
    #[test]
    fn sockets_leave_no_thread_and_no_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let count = || fs::read_dir("/proc/self/task").unwrap().count();
        let before = count();
        for number in 0..40 {
            let port = Port::new(folder.path(), &number.to_string()).unwrap();
            if number % 2 == 0 {
                drop(UnixStream::connect(folder.path().join(format!("{number}.port"))).unwrap());
            }
            drop(port);
        }
        // Other tests have threads too; 40 sockets would have 40.
        while count() > before + 20 {
            std::thread::yield_now();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
