//! The server side of NBD, with which the emulator accesses a drive: the fixed newstyle negotiation and simple replies
//! (<https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>).

use std::io::{self, BufReader, ErrorKind, Read, Write as _};
use std::os::unix::net::UnixStream;

/// `NBD_FLAG_HAS_FLAGS`, `SEND_FLUSH`, `SEND_FUA`, `SEND_WRITE_ZEROES`.
const FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 6;
/// The smallest, the preferred and the largest length of a request.
const BLOCK_SIZES: [u32; 3] = [512, 4096, 32 << 20];
const MAGIC_OF_REPLY: u64 = 0x0003_e889_0455_65a9;
const MAGIC_OF_REQUEST: u32 = 0x2560_9513;
const MAGIC_OF_SIMPLE_REPLY: u32 = 0x6744_6698;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERR_UNSUP: u32 = 1 << 31 | 1;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// `NBD_CMD_FLAG_FUA`.
const FUA: u16 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

/// The longest option of a client.
const LONGEST_OPTION: u32 = 4096;

/// A request of the client, within the bounds of the drive.
#[derive(Debug)]
pub enum Request {
    Read { at: usize, len: usize },
    Write { at: usize, bytes: Vec<u8>, is_durable: bool },
    WriteZeros { at: usize, len: usize, is_durable: bool },
    Flush,
}

/// Serves a drive of this size until the client disconnects. `answer` carries out a request and returns the bytes read.
pub fn serve(
    stream: &UnixStream,
    size: usize,
    mut answer: impl FnMut(Request) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    negotiate(stream, size as u64)?;
    let (mut input, mut output) = (BufReader::with_capacity(1 << 20, stream), stream);
    loop {
        if u32::from_be_bytes(next(&mut input)?) != MAGIC_OF_REQUEST {
            return Err(ErrorKind::InvalidData.into());
        }
        let [flags, kind] = [next(&mut input)?, next(&mut input)?].map(u16::from_be_bytes);
        let cookie: [u8; 8] = next(&mut input)?;
        let at = u64::from_be_bytes(next(&mut input)?);
        let len = u32::from_be_bytes(next(&mut input)?);
        let is_whole =
            at.is_multiple_of(BLOCK_SIZES[0].into()) && len.is_multiple_of(BLOCK_SIZES[0]);
        let is_within =
            is_whole && at.checked_add(len.into()).is_some_and(|end| end <= size as u64);
        let (Ok(at), Ok(len)) = (usize::try_from(at), usize::try_from(len)) else {
            return Err(ErrorKind::InvalidData.into());
        };
        let is_durable = flags & FUA != 0;
        let request = match kind {
            0 => Some(Request::Read { at, len }),
            1 if len > BLOCK_SIZES[2] as usize => return Err(ErrorKind::InvalidData.into()),
            1 => {
                let mut bytes = vec![0; len];
                input.read_exact(&mut bytes)?;
                Some(Request::Write { at, bytes, is_durable })
            }
            2 => return Ok(()),
            3 => Some(Request::Flush),
            6 => Some(Request::WriteZeros { at, len, is_durable }),
            _ => None,
        };
        let result = match request.filter(|_| is_within) {
            Some(request) => answer(request).map_err(|_logged| EIO),
            None => Err(EINVAL),
        };
        let (error, bytes) = result.map_or_else(|error| (error, vec![]), |bytes| (0, bytes));
        let mut reply = MAGIC_OF_SIMPLE_REPLY.to_be_bytes().to_vec();
        reply.extend(error.to_be_bytes());
        reply.extend(cookie);
        reply.extend(bytes);
        output.write_all(&reply)?;
    }
}

/// Negotiates the only export with a client.
fn negotiate(mut stream: &UnixStream, size: u64) -> io::Result<()> {
    // `NBD_FLAG_FIXED_NEWSTYLE`, `NBD_FLAG_NO_ZEROES`.
    stream.write_all(b"NBDMAGICIHAVEOPT\0\x03")?;
    let _flags: [u8; 4] = next(&mut stream)?;
    loop {
        let _magic: [u8; 8] = next(&mut stream)?;
        let option = u32::from_be_bytes(next(&mut stream)?);
        let len = u32::from_be_bytes(next(&mut stream)?);
        if len > LONGEST_OPTION {
            return Err(ErrorKind::InvalidData.into());
        }
        io::copy(&mut stream.take(len.into()), &mut io::sink())?;
        let export = [&size.to_be_bytes()[..], &FLAGS.to_be_bytes()].concat();
        match option {
            OPT_EXPORT_NAME => return stream.write_all(&export),
            OPT_INFO | OPT_GO => {
                let sizes = BLOCK_SIZES.map(u32::to_be_bytes).concat();
                for (kind, info) in [(INFO_EXPORT, export), (INFO_BLOCK_SIZE, sizes)] {
                    let info = [&kind.to_be_bytes()[..], &info].concat();
                    reply(stream, option, REP_INFO, &info)?;
                }
                reply(stream, option, REP_ACK, &[])?;
                if option == OPT_GO {
                    return Ok(());
                }
            }
            OPT_ABORT => return Err(ErrorKind::ConnectionAborted.into()),
            _ => reply(stream, option, REP_ERR_UNSUP, &[])?,
        }
    }
}

/// Replies to an option.
fn reply(mut stream: &UnixStream, option: u32, kind: u32, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut reply = MAGIC_OF_REPLY.to_be_bytes().to_vec();
    for word in [option, kind, len] {
        reply.extend(word.to_be_bytes());
    }
    reply.extend(bytes);
    stream.write_all(&reply)
}

fn next<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
