//! A file for redb in which every block has a checksum, redb 4.4.0 looks at none of its own when it reads; and in which a
//! commit is one sync, where redb asks for two.
//!
//! ```text
//! 0        4096     8192
//! | head 0 | head 1 | group 0 | group 1 | …
//!
//! head    magic (8 bytes) · version u16 · bytes of redb's header u16 · crc u32 · turn u64 · redb's header · promise ·
//!         zeros to 4096
//! promise length of the file u64 · blocks u32 · of each: number u32, crc u32
//! group   1,024 crcs u32 · up to 1,024 blocks of 4,096 bytes
//! ```
//!
//! Numbers are little-endian. redb's first block, of which it uses a header of 320 bytes, is kept in the heads; its
//! block `n`, from 1 on, is the one number `(n - 1) % 1024` of group `(n - 1) / 1024`. A block's crc is the CRC-32C of
//! its number `n` (u64) and its bytes; a head's is that of the head without the crc, to the end of the promise. Heads of
//! version 1 have no promise.
//!
//! **Why one sync is enough.** redb commits in two phases: it writes the pages of the commit, syncs, writes a header that
//! names them, syncs. The first sync only sees to it that whoever finds the new header finds the pages. Here it is put
//! off, as long as the header says that the commit before is the latest: nothing counts yet. The second one syncs pages,
//! their crcs and the head together, and the head *promises* what was written since the sync before: which blocks, each
//! with its crc, and the length of the file. The open believes a head only if it finds all of that. So a head that counts
//! has its pages, as if they had been synced before it; one that was torn, or that came to the disk before its pages, is
//! as if it was never written. (What does not fit into a head, some 440 blocks, is synced before it, as redb asks.)
//!
//! **Why there is always a head that counts.** A head is never written over the one that was synced last. That one's
//! promise stays true: after the sync the same head without a promise is written over the other one, and that is
//! synced before anything promised is written to or cut off. Pages of the commit that it names are not written to
//! either; that is redb's care. So after a power cut one finds the head that was synced last, or a later one of which
//! everything is there. A head that is found at an open may not be synced, if a process was killed or its sync failed: it
//! and what it promises are written again and synced before the first write, unless both heads say the same, for the
//! later one was written after the sync of the other. After a sync that failed nothing is written any more.
//!
//! **Why no good block looks damaged.** The open reads no page that a header that counts does not name, nor one that was
//! written since its sync. So a block that is read was synced, or found as promised, and its crc with it. The crcs that
//! share a sector with new ones are written again unchanged. After the sync both heads say the same, so damage of
//! either is harmless.

mod head;
mod place;

use super::BLOCK_BYTES;
use crate::catalog::CATALOG;
use crate::medium::MediumFile;
use crate::{Error, Result};
use head::{Head, N_PROMISED, Promise};
use place::{Run, block_offset, group_offset, logical_len, n_groups, physical_len, runs};
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of redb's header that say which commit is the latest: its magic, and the byte that names the slot.
const LATEST_BYTES: usize = 10;

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

/// Blocks by number, with their crcs.
type Written = BTreeMap<u32, u32>;

/// A file with a checksum for every block.
#[derive(Debug)]
pub(crate) struct Checked {
    file: Arc<dyn MediumFile>,
    is_lenient: bool,
    /// Where damage was met.
    damaged: Arc<Mutex<BTreeSet<u64>>>,
    state: Mutex<State>,
    /// Held by whoever writes a head; before the state, and while it syncs.
    heads: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// redb's header as it was written last.
    header: Vec<u8>,
    /// The turn of the newest head in the file.
    turn: u64,
    /// The head that was synced last, and its number.
    synced: Option<(Head, u64)>,
    /// Whether that is known of it: not when it was found at the open.
    is_sure: bool,
    /// What the head that is being synced promises.
    coming: Option<Promise>,
    /// Whether the file was opened and not synced since.
    is_found: bool,
    /// Whether a sync failed: nobody knows what lasts, and nothing is written any more.
    has_failed: bool,
    /// What was written since.
    written: Written,
    /// Whether that was more than a head can promise; then it is not kept.
    is_much: bool,
    /// Crcs of the groups that were needed so far.
    groups: BTreeMap<u64, Group>,
}

#[derive(Debug)]
struct Group {
    crcs: Vec<u32>,
    /// Whether they are not in the file yet.
    is_dirty: bool,
}

impl State {
    /// Whether what was written since the last sync counts for nothing yet.
    fn may_wait(&self) -> bool {
        let latest = |header: &[u8]| header.get(..LATEST_BYTES).map(<[u8]>::to_vec);
        let synced = self.synced.as_ref().and_then(|(head, _)| latest(&head.header));
        self.is_sure && synced.is_some() && synced == latest(&self.header)
    }

    /// Whether the head that was synced last may only be found together with what a change would touch.
    fn promises(&self, touches: impl Fn(&Promise) -> bool) -> bool {
        self.synced.as_ref().is_some_and(|(head, _)| !self.is_sure || touches(&head.promise))
            || self.coming.as_ref().is_some_and(touches)
    }

    fn check_running(&self) -> io::Result<()> {
        if self.has_failed { Err(io::Error::other("a sync of the catalog failed before")) } else { Ok(()) }
    }

    fn note_written(&mut self, block: u64, crc: u32) {
        match u32::try_from(block) {
            Ok(block) if !self.is_much => drop(self.written.insert(block, crc)),
            _ => self.is_much = true,
        }
        if self.written.len() > N_PROMISED {
            (self.is_much, self.written) = (true, Written::new());
        }
    }
}

impl Checked {
    /// A file without blocks.
    pub(crate) fn create(file: Arc<dyn MediumFile>) -> Self {
        let state = State { is_sure: true, ..State::default() };
        Self { state: Mutex::new(state), ..Self::on(file, Strictness::Fail) }
    }

    /// An existing file.
    pub(crate) fn open(file: Arc<dyn MediumFile>, strictness: Strictness) -> Result<Self> {
        let mut heads = read_heads(&*file)?;
        heads.sort_by_key(|(head, _)| std::cmp::Reverse(head.turn));
        let turn = heads.first().map_or(0, |(head, _)| head.turn);
        let checked = Self::on(file, strictness);
        let mut good = Vec::new();
        let mut broken = Damaged { offset: Some(0), what: "neither head is whole".into() };
        for (head, number) in heads {
            match checked.broken_promise(&head.promise).map_err(|source| Error::io("read", CATALOG, source))? {
                None => good.push((head, number)),
                Some(what) => broken = what,
            }
        }
        // Two that say the same: the later one was written after the sync of the earlier.
        let is_sure = matches!(&good[..], [(a, _), (b, _)] if a.header == b.header && a.turn > b.turn);
        let chosen = if is_sure { good.pop() } else { good.into_iter().next() };
        let Some((head, number)) = chosen else {
            return Err(Error::Corrupt { file: CATALOG.into(), offset: broken.offset, what: broken.what });
        };
        let mut state = checked.state();
        (state.header, state.turn) = (head.header.clone(), turn);
        (state.synced, state.is_sure, state.is_found) = (Some((head, number)), is_sure, true);
        drop(state);
        Ok(checked)
    }

    fn on(file: Arc<dyn MediumFile>, strictness: Strictness) -> Self {
        let (is_lenient, damaged) = match strictness {
            Strictness::Fail => (false, Arc::default()),
            Strictness::Note(damaged) => (true, damaged),
        };
        Self { file, is_lenient, damaged, state: Mutex::default(), heads: Mutex::default() }
    }

    /// The offsets at which damage was met.
    pub(crate) fn damaged(&self) -> Arc<Mutex<BTreeSet<u64>>> {
        self.damaged.clone()
    }

    /// What of a promise is not found.
    fn broken_promise(&self, promise: &Promise) -> io::Result<Option<Damaged>> {
        if self.file.len()? < promise.len {
            let what = format!("is shorter than {} bytes, which its head says", promise.len);
            return Ok(Some(Damaged { offset: None, what }));
        }
        for (block, crc) in &promise.blocks {
            let (block, mut bytes) = (u64::from(*block), [0; BLOCK_BYTES as usize]);
            self.file.read_at(block_offset(block), &mut bytes)?;
            let mut kept = Vec::new();
            for run in runs(block * BLOCK_BYTES, bytes.len())? {
                kept.extend(self.crcs(&run)?);
            }
            if block_crc(block, &bytes) != *crc || kept != [*crc] {
                let what = "the block is not the one that the latest commit wrote".to_owned();
                return Ok(Some(Damaged { offset: Some(block_offset(block)), what }));
            }
        }
        Ok(None)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The crcs of some blocks of one group.
    fn crcs(&self, run: &Run) -> io::Result<Vec<u32>> {
        let mut state = self.state();
        let group = self.group(&mut state.groups, run.group)?;
        group.crcs.get(run.range()).map(<[u32]>::to_vec).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn group<'a>(&self, groups: &'a mut BTreeMap<u64, Group>, number: u64) -> io::Result<&'a mut Group> {
        match groups.entry(number) {
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
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(offset);
        if self.is_lenient { Ok(()) } else { Err(damaged(Some(offset), "the block does not have its checksum")) }
    }

    fn write_run(&self, run: &Run, data: &[u8]) -> io::Result<()> {
        let is_promised = |promise: &Promise| {
            run.blocks().any(|block| u32::try_from(block).is_ok_and(|block| promise.blocks.contains_key(&block)))
        };
        let mut state = self.unless_promised(is_promised)?;
        // Before the write, so that a failure to read the other crcs changes nothing.
        self.group(&mut state.groups, run.group)?;
        self.file.write_at(run.offset(), data)?;
        let blocks = run.blocks().zip(data.chunks(BLOCK_BYTES as usize));
        let new: Vec<_> = blocks.map(|(block, bytes)| (block, block_crc(block, bytes))).collect();
        new.iter().for_each(|(block, crc)| state.note_written(*block, *crc));
        let group = self.group(&mut state.groups, run.group)?;
        let crcs = group.crcs.get_mut(run.range()).ok_or(io::ErrorKind::InvalidInput)?;
        crcs.iter_mut().zip(new).for_each(|(crc, (_, new))| *crc = new);
        group.is_dirty = true;
        Ok(())
    }

    /// Writes the crcs that are not in the file yet.
    fn write_crcs(&self, state: &mut State) -> io::Result<()> {
        for (number, group) in &mut state.groups {
            if std::mem::take(&mut group.is_dirty) {
                let crcs: Vec<u8> = group.crcs.iter().flat_map(|crc| crc.to_le_bytes()).collect();
                self.file.write_at(group_offset(*number), &crcs)?;
            }
        }
        Ok(())
    }

    /// The state, once no head promises what is about to be changed.
    fn unless_promised(&self, touches: impl Fn(&Promise) -> bool) -> io::Result<MutexGuard<'_, State>> {
        loop {
            let state = self.state();
            state.check_running()?;
            if !state.promises(&touches) {
                return Ok(state);
            }
            drop(state);
            self.settle()?;
        }
    }

    /// Syncs all that was written, with a head that promises it. Reading goes on meanwhile.
    fn sync_all(&self) -> io::Result<()> {
        let _heads = self.heads();
        let is_sure = self.make_sure()?;
        let mut state = self.state();
        self.write_crcs(&mut state)?;
        let is_much = std::mem::take(&mut state.is_much);
        drop(state);
        if is_much || !is_sure {
            self.sync()?;
        }
        let mut state = self.state();
        state.is_sure = true;
        state.turn += 1;
        let promise = Promise { len: self.file.len()?, blocks: std::mem::take(&mut state.written) };
        state.coming = Some(promise.clone());
        let head = Head { turn: state.turn, header: state.header.clone(), promise };
        let number = state.synced.as_ref().map_or(0, |(_, number)| 1 - number);
        drop(state);
        head.write(&*self.file, number)?;
        self.sync()?;
        let mut state = self.state();
        (state.synced, state.coming) = (Some((head, number)), None);
        drop(state);
        self.write_settled().map(drop)
    }

    /// Writes the head that was synced last, without a promise, over the other one.
    fn write_settled(&self) -> io::Result<Option<(Head, u64)>> {
        let mut state = self.state();
        state.turn += 1;
        let Some((head, number)) = &state.synced else { return Ok(None) };
        let settled = Head { turn: state.turn, header: head.header.clone(), promise: Promise::default() };
        settled.write(&*self.file, 1 - number)?;
        Ok(Some((settled, 1 - number)))
    }

    /// Makes the head that was synced last good without its promise. Reading goes on meanwhile.
    fn settle(&self) -> io::Result<()> {
        let _heads = self.heads();
        if !self.make_sure()? {
            self.sync()?;
            self.state().is_sure = true;
        }
        let settled = self.write_settled()?;
        self.sync()?;
        self.state().synced = settled;
        Ok(())
    }

    /// Whether the head that counts is synced; if not, writes it and all that it promises again, for the next sync.
    ///
    /// A sync that failed leaves the system with bytes that it takes for written: whoever opens the file finds them, and
    /// the next sync keeps nothing of them. The same goes for the length.
    fn make_sure(&self) -> io::Result<bool> {
        let mut state = self.state();
        state.check_running()?;
        if std::mem::take(&mut state.is_found) {
            self.file.set_len(self.file.len()?)?;
        }
        let found = state.synced.clone().filter(|_| !state.is_sure);
        let Some((head, number)) = found else { return Ok(true) };
        for (block, crc) in &head.promise.blocks {
            let (block, mut bytes) = (u64::from(*block), [0; BLOCK_BYTES as usize]);
            self.file.read_at(block_offset(block), &mut bytes)?;
            if block_crc(block, &bytes) != *crc {
                return Err(damaged(Some(block_offset(block)), "the block does not have its checksum"));
            }
            self.file.write_at(block_offset(block), &bytes)?;
            for run in runs(block * BLOCK_BYTES, bytes.len())? {
                self.group(&mut state.groups, run.group)?.is_dirty = true;
            }
        }
        self.write_crcs(&mut state)?;
        head.write(&*self.file, number)?;
        Ok(false)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync().inspect_err(|_| self.state().has_failed = true)
    }

    fn heads(&self) -> MutexGuard<'_, ()> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The heads that are whole, with their numbers. One that cannot be read is as good as torn if the other promises
/// nothing, for then that one was written after it was synced; else the unread one may be the later.
fn read_heads(file: &dyn MediumFile) -> Result<Vec<(Head, u64)>> {
    let mut heads = Vec::new();
    let mut unread = None;
    for number in 0..place::N_HEADS {
        match Head::read(file, number) {
            Ok(head) => heads.extend(head.map(|head| (head, number))),
            Err(error @ Error::Io { .. }) => unread = Some(error),
            Err(error) => return Err(error),
        }
    }
    match unread {
        Some(error) if !matches!(&heads[..], [(head, _)] if head.promise == Promise::default()) => Err(error),
        _ => Ok(heads),
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
        let mut state = self.unless_promised(|promise| promise.len > physical_len(len))?;
        state.groups.retain(|number, _| *number < n_groups(len));
        state.written.retain(|block, _| u64::from(*block) < len / BLOCK_BYTES);
        self.file.set_len(physical_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = self.state();
        state.check_running()?;
        let may_wait = state.may_wait();
        drop(state);
        if may_wait { Ok(()) } else { self.sync_all() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 {
            // It goes to the file with the next sync.
            let mut state = self.state();
            state.check_running()?;
            state.header = data.to_vec();
            return Ok(());
        }
        let mut rest = data;
        runs(offset, data.len())?.try_for_each(|run| {
            let (part, after) = rest.split_at(run.n_bytes());
            rest = after;
            self.write_run(&run, part)
        })
    }
}

fn block_crc(block: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block.to_le_bytes()), bytes)
}

fn damaged(offset: Option<u64>, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damaged { offset, what: what.to_owned() })
}

#[cfg(test)]
mod tests;
