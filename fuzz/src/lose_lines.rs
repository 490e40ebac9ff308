//! The targets of `lose-lines`: files and requests that come from outside.

use lose_lines_drive::content::Content;
use lose_lines_drive::log::DriveLog;
use lose_lines_drive::nbd::{Request, serve};
use lose_lines_drive::states::{Builder, Tearing, chosen};
use lose_lines_plugin::policy::Policy;
use lose_lines_states::{Cut, Log, Model, Operation, States};
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

/// The largest drive, and the largest file whose states are built.
const LARGEST: usize = 1 << 24;

/// A recording of file operations is refused, or read as it is stored again, and has states.
pub fn recording(bytes: &[u8]) {
    let Ok(log) = Log::load(bytes) else { return };
    let mut stored = Vec::new();
    log.save(&mut stored).expect("a vector takes everything");
    let again = Log::load(&*stored).expect("a stored recording is read");
    assert_eq!(again.records, log.records);
    let is_small = log.records.iter().all(|record| match record.operation {
        Operation::Write { at, .. } => at < LARGEST as u64,
        Operation::Resize { size, .. } => size < LARGEST as u64,
        Operation::Zero { at, len, .. } => at + len < LARGEST as u64,
        _ => true,
    });
    if !is_small || log.records.len() > 100 {
        return;
    }
    for model in [Model::POSIX, Model::Ext4, Model::Xfs, Model::Btrfs] {
        for state in States::new(&log, model).count(4).seed(1) {
            let cut = Cut::new(&log, model, state.choice.cut);
            let lost = cut.lost(&state.choice.kept);
            assert!(cut.operations(&lost, |_place| None).len() <= lost.len());
        }
    }
}

/// The log of a drive is refused, or has states.
pub fn drive_log(mut bytes: &[u8]) {
    let Ok(log) = DriveLog::parse(&mut bytes) else { return };
    if log.size > LARGEST {
        return;
    }
    let mut states = Builder::new(&log, Tearing::of(&log, 512, false));
    for choice in chosen(&log, 4, 1, Policy::Any) {
        assert!(states.build(&choice).image.size() == log.size);
    }
}

/// A client of the drive gets replies, and no request is outside of the drive.
pub fn nbd(bytes: &[u8]) {
    const SIZE: usize = 1 << 16;
    let Ok((mut client, server)) = UnixStream::pair() else { return };
    let Ok(mut replies) = client.try_clone() else { return };
    let mut image = Content::new(SIZE);
    thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut replies, &mut io::sink()));
        scope.spawn(move || {
            drop(client.write_all(bytes));
            drop(client.shutdown(Shutdown::Write));
        });
        let served = serve(&server, SIZE, |request| {
            let mut read = Vec::new();
            match request {
                Request::Read { at, len } => {
                    assert!(at + len <= SIZE, "a read outside of the drive");
                    read.resize(len, 0);
                    image.read(at, &mut read);
                }
                Request::Write { at, bytes, .. } => {
                    assert!(at + bytes.len() <= SIZE, "a write outside of the drive");
                    image.write(at, &bytes);
                }
                Request::WriteZeros { at, len, .. } => {
                    assert!(at + len <= SIZE, "zeros outside of the drive");
                    image.write_zeros(at, len);
                }
                Request::Flush => {}
            }
            Ok(read)
        });
        drop(served);
        drop(server.shutdown(Shutdown::Both));
    });
}
