//! A head: redb's header, and what must be found in the file for the header to count.

use super::place::head_offset;
use super::{BLOCK_BYTES, Written};
use crate::catalog::CATALOG;
use crate::medium::MediumFile;
use crate::{Error, Result};
use std::io;

const MAGIC: [u8; 8] = *b"\x89LAGCAT\n";
const VERSION: u16 = 2;
/// Heads of the first version promise nothing.
const VERSION_WITHOUT_PROMISE: u16 = 1;
const HEAD_BYTES: usize = BLOCK_BYTES as usize;
/// Bytes before redb's header.
const FIELD_BYTES: usize = 24;
/// Bytes of a promise without blocks, and of each block.
const PROMISE_BYTES: usize = 12;
const PROMISED_BLOCK_BYTES: usize = 8;
/// redb's header is shorter than this.
const LONGEST_HEADER: usize = 512 - FIELD_BYTES;
/// Blocks that a head can promise.
pub(super) const N_PROMISED: usize = (HEAD_BYTES - 512 - PROMISE_BYTES) / PROMISED_BLOCK_BYTES;

#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Later heads have higher ones.
    pub(super) turn: u64,
    /// redb's header.
    pub(super) header: Vec<u8>,
    pub(super) promise: Promise,
}

/// What was synced together with a head, and is found if the head is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    /// The file is at least this long.
    pub(super) len: u64,
    /// These blocks have these crcs.
    pub(super) blocks: Written,
}

impl Head {
    pub(super) fn write(&self, file: &dyn MediumFile, number: u64) -> io::Result<()> {
        file.write_at(head_offset(number), &self.to_bytes()?)
    }

    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let n_bytes = u16::try_from(self.header.len()).ok().filter(|n| usize::from(*n) <= LONGEST_HEADER);
        let n_bytes = n_bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let fields = [&MAGIC[..], &VERSION.to_le_bytes()[..], &n_bytes.to_le_bytes()[..]].concat();
        let mut body = [&self.turn.to_le_bytes()[..], &self.header[..], &self.promise.len.to_le_bytes()[..]].concat();
        body.extend_from_slice(&(self.promise.blocks.len() as u32).to_le_bytes());
        for (block, crc) in &self.promise.blocks {
            body.extend_from_slice(&block.to_le_bytes());
            body.extend_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fields), &body);
        let mut head = [fields, crc.to_le_bytes().to_vec(), body].concat();
        if head.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        head.resize(HEAD_BYTES, 0);
        Ok(head)
    }

    /// The head, if it is whole.
    pub(super) fn read(file: &dyn MediumFile, number: u64) -> Result<Option<Self>> {
        let mut head = [0; HEAD_BYTES];
        match file.read_at(head_offset(number), &mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(source) => return Err(Error::io("read", CATALOG, source)),
        }
        let Some((version, body)) = whole_body(&head) else { return Ok(None) };
        if !(VERSION_WITHOUT_PROMISE..=VERSION).contains(&version) {
            return Err(Error::Unsupported { file: CATALOG.into(), what: format!("version {version} of the file") });
        }
        Ok(parse(body))
    }
}

/// The version and what the crc is of, after the fields, if the crc is right. Later versions keep this much.
fn whole_body(head: &[u8]) -> Option<(u16, Body<'_>)> {
    let (fields, rest) = head.split_first_chunk::<12>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (magic, numbers) = fields.split_first_chunk::<8>()?;
    let (version, n_bytes) = (u16_at(numbers, 0)?, usize::from(u16_at(numbers, 2)?));
    let header_end = 8 + n_bytes;
    let end = match version {
        VERSION_WITHOUT_PROMISE => header_end,
        _ => {
            let n_blocks = rest.get(header_end + 8..)?.first_chunk::<4>()?;
            let n_blocks = usize::try_from(u32::from_le_bytes(*n_blocks)).ok().filter(|n| *n <= N_PROMISED)?;
            header_end + PROMISE_BYTES + n_blocks * PROMISED_BLOCK_BYTES
        }
    };
    let body = rest.get(..end)?;
    let is_whole = *magic == MAGIC && crc32c::crc32c_append(crc32c::crc32c(fields), body) == u32::from_le_bytes(*crc);
    is_whole.then_some((version, Body { bytes: body, header_end }))
}

struct Body<'a> {
    bytes: &'a [u8],
    header_end: usize,
}

fn parse(body: Body<'_>) -> Option<Head> {
    let (turn, _) = body.bytes.split_first_chunk::<8>()?;
    let header = body.bytes.get(8..body.header_end)?.to_vec();
    let mut promise = Promise::default();
    if let Some((len, rest)) = body.bytes.get(body.header_end..)?.split_first_chunk::<8>() {
        promise.len = u64::from_le_bytes(*len);
        let blocks = rest.get(4..)?.as_chunks::<PROMISED_BLOCK_BYTES>().0;
        let number = |bytes: &[u8]| bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        promise.blocks = blocks.iter().filter_map(|of| Some((number(of)?, number(of.get(4..)?)?))).collect();
    }
    Some(Head { turn: u64::from_le_bytes(*turn), header, promise })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}
