//! A file for redb in which every block has a checksum: redb 4.4.0 looks at none of its own when it reads.
//!
//! ```text
//! 0        4096     8192
//! | head 0 | head 1 | group 0 | group 1 | …
//!
//! head    magic (8 bytes) · version u16 · bytes of redb's header u16 · crc u32 · turn u64 · redb's header · zeros to 512
//! group   1,024 crcs u32 · up to 1,024 blocks of 4,096 bytes
//! ```
//!
//! Numbers are little-endian. redb's first block, of which it uses a header of 320 bytes, is kept in the heads; its
//! block `n`, from 1 on, is the one number `(n - 1) % 1024` of group `(n - 1) / 1024`. A block's crc is the CRC-32C of
//! its number `n` (u64) and its bytes; a head's is that of the head without the crc, to the end of redb's header.
//!
//! **Why a power cut leaves no good block that looks damaged.** A block and its crc lie apart and are synced together,
//! so a cut may keep one without the other. Every commit of lagdb is in two phases and keeps the allocator's state:
//! redb's header names a page only after that page was synced, and the open reads no page that the header does not
//! name, nor one that was written since the sync (pages of a living commit are not written to). So a block that is
//! read was synced, and its crc with it. The crcs that share a sector with new ones are written again unchanged.
//! The header itself is written to one head and then, once that one was synced, to the other: never to the one that
//! was synced last, however often it is written. The newest whole one counts; a torn one is as if it was never written.
//! After the sync both heads hold the same, so damage of either is harmless.

use super::BLOCK_BYTES;
use crate::catalog::CATALOG;
use crate::medium::MediumFile;
use crate::{Error, Result};
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAGIC: [u8; 8] = *b"\x89LAGCAT\n";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 512;
/// Where redb's header begins in a head.
const HEAD_FIELDS: usize = 24;
const N_HEADS: u64 = 2;
/// Blocks of a group, and crcs in its first block.
const GROUP_BLOCKS: u64 = 1024;

/// What happens when a block does not have its checksum.
#[derive(Clone, Debug)]
pub(crate) enum Strictness {
    /// The read fails.
    Fail,
    /// The read succeeds, and the offset of the block is noted.
    Note(Arc<Mutex<BTreeSet<u64>>>),
}

/// What was found of a file; the source of the [`io::Error`] that redb is told.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Damaged {
    pub(crate) offset: Option<u64>,
    pub(crate) what: String,
}

/// A file with a checksum for every block.
#[derive(Debug)]
pub(crate) struct Checked {
    file: Arc<dyn MediumFile>,
    strictness: Strictness,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// redb's header as it was written last.
    header: Vec<u8>,
    /// How often it was written.
    turn: u64,
    /// The head that was synced last.
    synced: u64,
    /// Whether the other head is newer.
    is_newer: bool,
    /// Crcs of the groups that were needed so far.
    groups: BTreeMap<u64, Group>,
}

#[derive(Debug)]
struct Group {
    crcs: Vec<u32>,
    /// Whether they are not in the file yet.
    is_dirty: bool,
}

impl Checked {
    /// A file without blocks.
    pub(crate) fn create(file: Arc<dyn MediumFile>) -> Self {
        Self { file, strictness: Strictness::Fail, state: Mutex::new(State { synced: 1, ..State::default() }) }
    }

    /// An existing file.
    pub(crate) fn open(file: Arc<dyn MediumFile>, strictness: Strictness) -> Result<Self> {
        let heads = [read_head(&*file, 0)?, read_head(&*file, 1)?];
        let newest = heads.into_iter().zip(0..).filter_map(|(head, number)| Some((head?, number)));
        let Some(((turn, header), synced)) = newest.max_by_key(|((turn, _), _)| *turn) else {
            return Err(Error::Corrupt { file: CATALOG.into(), offset: Some(0), what: "neither head is whole".into() });
        };
        let state = State { header, turn, synced, ..State::default() };
        Ok(Self { file, strictness, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The crcs of some blocks of one group.
    fn crcs(&self, run: &Run) -> io::Result<Vec<u32>> {
        let mut state = self.state();
        let group = self.group(&mut state, run.group)?;
        group.crcs.get(run.range()).map(<[u32]>::to_vec).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn group<'a>(&self, state: &'a mut State, number: u64) -> io::Result<&'a mut Group> {
        match state.groups.entry(number) {
            Entry::Occupied(group) => Ok(group.into_mut()),
            Entry::Vacant(place) => {
                let mut bytes = vec![0; BLOCK_BYTES as usize];
                self.file.read_at(group_offset(number), &mut bytes)?;
                let crcs = bytes.as_chunks::<4>().0.iter().map(|crc| u32::from_le_bytes(*crc)).collect();
                Ok(place.insert(Group { crcs, is_dirty: false }))
            }
        }
    }

    fn read_run(&self, run: &Run, out: &mut [u8]) -> io::Result<()> {
        let crcs = self.crcs(run)?;
        self.file.read_at(run.offset(), out)?;
        for ((block, bytes), crc) in run.blocks().zip(out.chunks(BLOCK_BYTES as usize)).zip(crcs) {
            if block_crc(block, bytes) != crc {
                self.meet_damage(block_offset(block))?;
            }
        }
        Ok(())
    }

    fn meet_damage(&self, offset: u64) -> io::Result<()> {
        match &self.strictness {
            Strictness::Fail => Err(damaged(Some(offset), "the block does not have its checksum")),
            Strictness::Note(found) => {
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(offset);
                Ok(())
            }
        }
    }

    fn write_run(&self, run: &Run, data: &[u8]) -> io::Result<()> {
        // Before the write, so that a failure to read the other crcs changes nothing.
        let mut state = self.state();
        let group = self.group(&mut state, run.group)?;
        let Some(crcs) = group.crcs.get_mut(run.range()) else { return Err(io::ErrorKind::InvalidInput.into()) };
        self.file.write_at(run.offset(), data)?;
        for ((crc, block), bytes) in crcs.iter_mut().zip(run.blocks()).zip(data.chunks(BLOCK_BYTES as usize)) {
            *crc = block_crc(block, bytes);
        }
        group.is_dirty = true;
        Ok(())
    }

    fn write_header(&self, header: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.turn += 1;
        let head = head_of(state.turn, header)?;
        self.file.write_at(head_offset(1 - state.synced), &head)?;
        state.header = header.to_vec();
        state.is_newer = true;
        Ok(())
    }

    /// The crcs that are not in the file yet, by group.
    fn take_dirty(&self) -> Vec<(u64, Vec<u8>)> {
        let mut dirty = Vec::new();
        for (number, group) in &mut self.state().groups {
            if std::mem::take(&mut group.is_dirty) {
                dirty.push((*number, group.crcs.iter().flat_map(|crc| crc.to_le_bytes()).collect()));
            }
        }
        dirty
    }

    /// Writes the head that was just synced over the other one as well.
    fn copy_head(&self) -> io::Result<()> {
        let mut state = self.state();
        if !std::mem::take(&mut state.is_newer) {
            return Ok(());
        }
        state.synced = 1 - state.synced;
        self.file.write_at(head_offset(1 - state.synced), &head_of(state.turn, &state.header)?)
    }
}

impl StorageBackend for Checked {
    fn len(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        logical_len(len).ok_or_else(|| damaged(None, &format!("{len} bytes are no whole number of blocks")))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() as u64 <= BLOCK_BYTES {
            out.fill(0);
            out.iter_mut().zip(&self.state().header).for_each(|(to, from)| *to = *from);
            return Ok(());
        }
        let mut rest = out;
        runs(offset, rest.len())?.try_for_each(|run| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(run.n_bytes());
            rest = after;
            self.read_run(&run, part)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !len.is_multiple_of(BLOCK_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let n_groups = (len / BLOCK_BYTES).saturating_sub(1).div_ceil(GROUP_BLOCKS);
        self.state().groups.retain(|number, _| *number < n_groups);
        self.file.set_len(physical_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        for (number, crcs) in self.take_dirty() {
            self.file.write_at(group_offset(number), &crcs)?;
        }
        self.file.sync()?;
        self.copy_head()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 {
            return self.write_header(data);
        }
        let mut rest = data;
        runs(offset, data.len())?.try_for_each(|run| {
            let (part, after) = rest.split_at(run.n_bytes());
            rest = after;
            self.write_run(&run, part)
        })
    }
}

/// Neighbouring blocks of one group.
struct Run {
    group: u64,
    /// Numbers within the group.
    first: u64,
    n: u64,
}

impl Run {
    fn range(&self) -> Range<usize> {
        self.first as usize..(self.first + self.n) as usize
    }

    fn blocks(&self) -> Range<u64> {
        let first = 1 + self.group * GROUP_BLOCKS + self.first;
        first..first + self.n
    }

    fn offset(&self) -> u64 {
        group_offset(self.group) + (1 + self.first) * BLOCK_BYTES
    }

    fn n_bytes(&self) -> usize {
        (self.n * BLOCK_BYTES) as usize
    }
}

/// The blocks of `offset..offset + len`, group by group.
fn runs(offset: u64, len: usize) -> io::Result<impl Iterator<Item = Run>> {
    let (first, n) = (offset / BLOCK_BYTES, len as u64 / BLOCK_BYTES);
    if first == 0 || !offset.is_multiple_of(BLOCK_BYTES) || !(len as u64).is_multiple_of(BLOCK_BYTES) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (mut next, end) = (first - 1, first - 1 + n);
    Ok(std::iter::from_fn(move || {
        let (group, first) = (next / GROUP_BLOCKS, next % GROUP_BLOCKS);
        let n = (GROUP_BLOCKS - first).min(end - next);
        next += n;
        (n > 0).then_some(Run { group, first, n })
    }))
}

fn head_offset(number: u64) -> u64 {
    number * BLOCK_BYTES
}

fn group_offset(group: u64) -> u64 {
    (N_HEADS + group * (1 + GROUP_BLOCKS)) * BLOCK_BYTES
}

fn block_offset(block: u64) -> u64 {
    let index = block.saturating_sub(1);
    group_offset(index / GROUP_BLOCKS) + (1 + index % GROUP_BLOCKS) * BLOCK_BYTES
}

/// Bytes of the file when redb has `len`.
fn physical_len(len: u64) -> u64 {
    match (len / BLOCK_BYTES).checked_sub(1) {
        None => 0,
        Some(n) => (N_HEADS + n + n.div_ceil(GROUP_BLOCKS)) * BLOCK_BYTES,
    }
}

/// Bytes that redb has when the file has `len`.
fn logical_len(len: u64) -> Option<u64> {
    let Some(n) = (len / BLOCK_BYTES).checked_sub(N_HEADS) else { return (len == 0).then_some(0) };
    let logical = (1 + n - n.div_ceil(1 + GROUP_BLOCKS)) * BLOCK_BYTES;
    (physical_len(logical) == len).then_some(logical)
}

fn block_crc(block: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block.to_le_bytes()), bytes)
}

fn head_of(turn: u64, header: &[u8]) -> io::Result<Vec<u8>> {
    let n_bytes = u16::try_from(header.len()).ok().filter(|n| usize::from(*n) <= HEAD_BYTES - HEAD_FIELDS);
    let n_bytes = n_bytes.ok_or(io::ErrorKind::InvalidInput)?;
    let fields = [&MAGIC[..], &VERSION.to_le_bytes()[..], &n_bytes.to_le_bytes()[..]].concat();
    let body = [&turn.to_le_bytes()[..], header].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&fields), &body);
    let mut head = [fields, crc.to_le_bytes().to_vec(), body].concat();
    head.resize(HEAD_BYTES, 0);
    Ok(head)
}

/// Turn and redb's header, if the head is whole.
fn read_head(file: &dyn MediumFile, number: u64) -> Result<Option<(u64, Vec<u8>)>> {
    let mut head = [0; HEAD_BYTES];
    match file.read_at(head_offset(number), &mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(source) => return Err(Error::io("read", CATALOG, source)),
    }
    let Some((version, turn, header)) = parse_head(&head) else { return Ok(None) };
    if version != VERSION {
        return Err(Error::Unsupported { file: CATALOG.into(), what: format!("version {version} of the file") });
    }
    Ok(Some((turn, header.to_vec())))
}

fn parse_head(head: &[u8]) -> Option<(u16, u64, &[u8])> {
    let (fields, rest) = head.split_first_chunk::<12>()?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    let n_bytes = usize::from(u16::from_le_bytes(*fields.last_chunk::<2>()?));
    let body = body.get(..8 + n_bytes)?;
    if crc32c::crc32c_append(crc32c::crc32c(fields), body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (magic, numbers) = fields.split_first_chunk::<8>()?;
    let version = u16::from_le_bytes(*numbers.first_chunk::<2>()?);
    let (turn, header) = body.split_first_chunk::<8>()?;
    (*magic == MAGIC).then_some((version, u64::from_le_bytes(*turn), header))
}

fn damaged(offset: Option<u64>, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damaged { offset, what: what.to_owned() })
}

#[cfg(test)]
mod tests;
