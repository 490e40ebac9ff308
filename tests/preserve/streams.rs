//! Blobs by the traits of `std::io`, and what users pass from one thread to another.

use crate::life::options;
use crate::plain::Plain;
use cachemaint::medium::{Bytes, OpenError};
use cachemaint::preserve::{
    Attributes, Blob, Capacity, Damage, Error, ErrorKind, Info, Opened, Reader, Snapshot, Stamp,
    Store, Verdict, Verification,
};
use core::convert::Infallible;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

/// Two chunks and a part of one.
const LEN: usize = 2 * 65_536 + 1000;

fn bytes() -> Vec<u8> {
    (0..LEN).map(|at| (at * 7 / 8) as u8).collect()
}

/// A store with the bytes as `blob`, written through `io::Write`.
fn store() -> (Plain, Store<Plain>) {
    let medium = Plain::new(vec![0; 1 << 20]);
    let mut store = options().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    let copied = transaction.put_with("blob", LEN as u64, |writer| {
        assert_eq!(writer.write(&bytes()[..5])?, 5);
        writer.append(&bytes()[5..7])?;
        let copied = io::copy(&mut &bytes()[7..], writer)?;
        writer.flush().map(|()| copied)
    });
    assert_eq!(copied.unwrap(), LEN as u64 - 7);
    transaction.commit().unwrap();
    (medium, store)
}

#[test]
fn a_blob_is_read_as_a_stream() {
    let (_, store) = store();
    let mut stream = store.blob("blob").unwrap();
    let mut read = Vec::new();
    assert_eq!(stream.read_to_end(&mut read).unwrap(), LEN);
    assert!(read == bytes());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);

    // Over the border of two chunks.
    assert_eq!(stream.seek(SeekFrom::Start(65_530)).unwrap(), 65_530);
    let mut part = [0; 12];
    stream.read_exact(&mut part).unwrap();
    assert_eq!(part, bytes()[65_530..65_542]);
    assert_eq!(stream.seek(SeekFrom::Current(-2)).unwrap(), 65_540);
    assert_eq!(stream.fill_buf().unwrap()[..2], bytes()[65_540..65_542]);
    assert_eq!(stream.seek(SeekFrom::End(-1)).unwrap(), LEN as u64 - 1);
    assert_eq!(stream.by_ref().bytes().map(Result::unwrap).collect::<Vec<_>>(), bytes()[LEN - 1..]);
    stream.seek(SeekFrom::End(9)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(
        stream.seek(SeekFrom::End(i64::MIN)).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn a_stream_ends_with_an_error_before_the_first_damaged_chunk() {
    let (medium, store) = store();
    let offset = store.reader().stat("blob").unwrap().unwrap().offset as usize;
    drop(store);
    let mut image = medium.bytes();
    image[offset + 2 * 65_536 - 1] ^= 1;
    let image = Bytes(&image);
    let mut stream = Snapshot::of(&image).unwrap().blob("blob").unwrap();
    let mut read = Vec::new();
    let error = stream.read_to_end(&mut read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let error: &Error<Infallible> = error.get_ref().unwrap().downcast_ref().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Damaged(_)), "{error}");
    assert!(read == bytes()[..65_536], "{} bytes", read.len());
    // The rest can be read.
    stream.seek(SeekFrom::Start(2 * 65_536)).unwrap();
    read.clear();
    stream.read_to_end(&mut read).unwrap();
    assert!(read == bytes()[2 * 65_536..]);
}

#[test]
fn a_stream_of_a_blob_that_is_replaced_returns_no_mix() {
    let (_, mut store) = store();
    let mut stream = store.blob("blob").unwrap();
    let mut first = [0; 10];
    stream.read_exact(&mut first).unwrap();
    for byte in 0..3 {
        let mut transaction = store.begin().unwrap();
        transaction.put("blob", &vec![byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }
    let mut rest = Vec::new();
    let error = stream.read_to_end(&mut rest).unwrap_err();
    assert!(error.to_string().contains("replaced or deleted"), "{error}");
    assert!([&first[..], &rest].concat() == bytes()[..65_536]);
}

#[test]
fn a_name_can_be_a_string() {
    let (_, mut store) = store();
    let number = 7;
    let name = format!("page/{number}");
    let mut transaction = store.begin().unwrap();
    transaction.put(&format!("page/{number}"), b"bytes").unwrap();
    transaction.put_with(&name, 0, |writer| writer.append(b"")).unwrap();
    transaction.put(&name, b"bytes").unwrap();
    transaction.rename(&name, &format!("{name}+")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(store.reader().load(&format!("{name}+")).unwrap(), b"bytes");
}

#[test]
fn shared_types_are_send_and_sync() {
    fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<Store<Plain>>();
    is_send_sync::<Reader<Plain>>();
    is_send_sync::<Snapshot<'_, Plain>>();
    is_send_sync::<Blob<Plain>>();
    is_send_sync::<Attributes<'_>>();
    is_send_sync::<(Info, Stamp, Opened, Verdict, Verification, Capacity, Damage)>();
    is_send_sync::<(Error<Infallible>, OpenError<Plain, Error<Infallible>>)>();
}
