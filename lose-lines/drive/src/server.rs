//! A drive for machines, with content that the host can exchange, and a port to which a program prints.
//!
//! Both are sockets. The emulator forwards a printed line before the program continues, and each request to the drive
//! first takes the lines before it. The log therefore contains `write, flush, line` if the program printed after
//! syncing.
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use lose_lines_machine::machine::port::{Reader, Socket, devices, listen};

use crate::content::Content;
use crate::file_system::FileSystem;
use crate::log::{Event, LogWriter, Write};
use crate::nbd::{Request, serve};

/// A drive that is being served.
pub struct Server {
    drive: Arc<Mutex<Drive>>,
    /// Words for the emulator's command line.
    devices: Vec<String>,
    _sockets: [Socket; 2],
}

#[derive(Debug)]
struct Drive {
    image: Content,
    log: Option<LogWriter>,
    /// The port to which the program prints.
    port: Reader,
    /// The error that ended the log. The drive goes on: a full disk here is no failure of the drive.
    failure: Option<io::Error>,
}

impl Server {
    /// Serves a drive on sockets in a directory to one emulator.
    pub fn start(folder: &Path, name: &str, image: Content) -> Result<Self> {
        let drive = Drive { image, log: None, port: Reader::default(), failure: None };
        let drive = Arc::new(Mutex::new(drive));
        let of_drive = drive.clone();
        let nbd = Socket::serve(folder, &format!("{name}.nbd"), move |stream| {
            serve_drive(&stream, &of_drive);
        })?;
        let of_port = drive.clone();
        let port = Socket::serve(folder, &format!("{name}.port"), move |stream| {
            listen(
                stream,
                |stream| locked(&of_port).port.connect(stream),
                || Ok(locked(&of_port).take_lines()),
            );
        })?;
        let words = [
            "-blockdev",
            &format!("nbd,node-name=drive,server.type=unix,server.path={}", nbd.place),
            "-device",
            "virtio-blk-pci,ioeventfd=off,drive=drive",
        ];
        let devices = words.map(str::to_owned).into_iter().chain(devices(&port)).collect();
        Ok(Self { drive, devices, _sockets: [nbd, port] })
    }

    /// Returns words for an emulator's command line, for the drive and the port.
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// Starts a log, which must have all events since the drive was empty.
    pub fn begin_log(&self, path: &Path, file_system: FileSystem) -> Result<()> {
        let mut drive = locked(&self.drive);
        drive.log = Some(LogWriter::create(path, file_system, drive.image.size())?);
        Ok(())
    }

    /// Adds an event to the log, after all lines that were printed before it.
    ///
    /// # Errors
    /// If the log could not be written at any time.
    pub fn add(&self, event: &Event) -> Result<()> {
        let mut drive = locked(&self.drive);
        drive.take_lines();
        drive.add(event);
        drive.whole_log()
    }

    /// Checks that the log has everything so far.
    pub fn check_log(&self) -> Result<()> {
        locked(&self.drive).whole_log()
    }

    pub fn end_log(&self) -> Result<()> {
        let mut drive = locked(&self.drive);
        drive.whole_log()?;
        let log = drive.log.take().context("no log was begun")?;
        log.finish().context("cannot write the recording")
    }

    /// Exchanges the content. No machine may have it mounted.
    pub fn show(&self, image: Content) {
        locked(&self.drive).image = image;
    }
}

fn locked(drive: &Mutex<Drive>) -> MutexGuard<'_, Drive> {
    drive.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_drive(stream: &UnixStream, drive: &Mutex<Drive>) {
    let size = locked(drive).image.size();
    // A disconnecting emulator is no failure; one that gets an error reports it.
    drop(serve(stream, size, |request| Ok(locked(drive).answer(request))));
}

impl Drive {
    fn answer(&mut self, request: Request) -> Vec<u8> {
        self.take_lines();
        match request {
            Request::Read { at, len } => {
                let mut bytes = vec![0; len];
                self.image.read(at, &mut bytes);
                return bytes;
            }
            Request::Write { at, bytes, is_durable } => {
                self.image.write(at, &bytes);
                self.add(&Event::Write(Write { at, len: bytes.len(), bytes, is_durable }));
            }
            Request::WriteZeros { at, len, is_durable } => {
                self.image.write_zeros(at, len);
                self.add(&Event::Write(Write { at, len, bytes: Vec::new(), is_durable }));
            }
            Request::Flush => self.add(&Event::Flush),
        }
        Vec::new()
    }

    fn add(&mut self, event: &Event) {
        let Some(log) = self.log.as_mut().filter(|_log| self.failure.is_none()) else { return };
        self.failure = log.add(event).err();
    }

    /// Takes the lines printed so far. Returns false if no more can follow.
    fn take_lines(&mut self) -> bool {
        let mut lines = Vec::new();
        let taken = self.port.take(|line| {
            lines.push(line);
            Ok(())
        });
        for line in lines {
            self.add(&Event::Line(line));
        }
        taken.unwrap_or_else(|error| {
            // The program's next line finds the port closed.
            self.port = Reader::default();
            self.failure.get_or_insert(error);
            false
        })
    }

    fn whole_log(&self) -> Result<()> {
        match &self.failure {
            Some(why) => bail!("the recording cannot be made: {why}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::Server;
    use crate::content::Content;
    use crate::file_system::FileSystem;
    use crate::log::{DriveLog, Event, Write};

    /// Sends a request, and returns the error and the bytes of its reply.
    fn ask(
        stream: &mut UnixStream,
        (flags, kind): (u16, u16),
        (at, len): (u64, u32),
        bytes: &[u8],
        answer: usize,
    ) -> (u32, Vec<u8>) {
        let mut request = 0x2560_9513_u32.to_be_bytes().to_vec();
        request.extend([flags.to_be_bytes(), kind.to_be_bytes()].concat());
        request.extend(*b"a cookie");
        request.extend(at.to_be_bytes());
        request.extend(len.to_be_bytes());
        request.extend(bytes);
        stream.write_all(&request).unwrap();
        let mut reply = vec![0; 16 + answer];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!((&reply[..4], &reply[8..16]), (&[0x67, 0x44, 0x66, 0x98][..], &b"a cookie"[..]));
        (u32::from_be_bytes(reply[4..8].try_into().unwrap()), reply[16..].to_vec())
    }

    /// Connects like an old client, with `NBD_OPT_EXPORT_NAME`; the flags come from the protocol's text.
    fn connect(path: &Path) -> UnixStream {
        let mut stream = UnixStream::connect(path).unwrap();
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
        stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        let mut export = [0; 10];
        stream.read_exact(&mut export).unwrap();
        assert_eq!(export, [0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0b0100_1101]);
        stream
    }

    #[test]
    fn a_line_is_logged_before_the_requests_that_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), "a", Content::new(0x4000)).unwrap();
        let path = folder.path().join("log");
        server.begin_log(&path, FileSystem::Ext4).unwrap();
        let mut stream = connect(&folder.path().join("a.nbd"));
        let mut port = UnixStream::connect(folder.path().join("a.port")).unwrap();
        server.add(&Event::Start).unwrap();
        let bytes = vec![7; 512];
        assert_eq!(ask(&mut stream, (1, 1), (1024, 512), &bytes, 0), (0, vec![]));
        // The server takes a port when it is connected; in a machine nothing is printed before that either.
        while !super::locked(&server.drive).port.is_connected() {
            std::thread::yield_now();
        }
        port.write_all(b"ack 1\nack").unwrap();
        assert_eq!(ask(&mut stream, (0, 3), (0, 0), &[], 0), (0, vec![]));
        port.write_all(b" 2\n").unwrap();
        assert_eq!(ask(&mut stream, (0, 6), (512, 1024), &[], 0), (0, vec![]));
        let (error, read) = ask(&mut stream, (0, 0), (1024, 1024), &[], 1024);
        assert_eq!((error, read), (0, vec![0; 1024]));
        // `NBD_EINVAL`: the request exceeds the drive.
        assert_eq!(ask(&mut stream, (0, 6), (0x3e00, 1024), &[], 0), (22, vec![]));
        server.end_log().unwrap();
        let written = Write { at: 1024, len: 512, bytes, is_durable: true };
        let zeros = Write { at: 512, len: 1024, bytes: vec![], is_durable: false };
        let line = |text: &str| Event::Line(text.to_owned());
        let events = [
            Event::Start,
            Event::Write(written),
            line("ack 1"),
            Event::Flush,
            line("ack 2"),
            Event::Write(zeros),
        ];
        assert_eq!(DriveLog::read(&path).unwrap().events, events);
    }

    #[test]
    fn a_full_disk_is_no_failure_of_the_drive() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), "a", Content::new(0x4000)).unwrap();
        server.begin_log(Path::new("/dev/full"), FileSystem::Ext4).unwrap();
        let mut stream = connect(&folder.path().join("a.nbd"));
        for _write in 0..3 {
            let answered = ask(&mut stream, (0, 1), (0, 0x4000), &[7; 0x4000], 0);
            assert_eq!(answered, (0, vec![]), "an error would be taken for one of fsync");
        }
        let why = format!("{:#}", server.check_log().unwrap_err());
        assert!(why.contains("No space left"), "{why}");
    }
}
