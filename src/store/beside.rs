//! Reading beside a process that writes: one commit of the catalog, copied into memory without taking the lock.
//!
//! redb never writes over a page that its latest durable commit can reach, and says in its header which commit that is.
//! So a copy during which the header stayed the same is what a power cut at some moment could have left on disk: pages
//! of that commit, and of a later one whatever had been written. Opening it finds what an open after that power cut
//! would; then every page is checked. When the header changed, the copy is made anew.
//!
//! Segments are read where they are: they never change, but those of an old commit go. A reader that comes too late
//! is told so ([`Error::Outdated`]); it never gets other bytes.

use crate::catalog::{CATALOG, Catalog};
use crate::medium::{Medium, MediumFile, MemoryMedium};
use crate::{Error, Result};
use std::sync::Arc;
use std::time::Duration;

/// The beginning of the file, with all that says which commit is the latest.
const HEADER_BYTES: u64 = 8192;
const CHUNK_BYTES: u64 = 1 << 20;
/// How often a copy is tried, and how long the pause grows in between.
const TRIES: u32 = 24;
const PAUSE: Duration = Duration::from_millis(3);

/// The catalog as it is at some commit during the call, alone in a medium of its own.
///
/// # Errors
/// [`Error::Outdated`] when there is always another commit before the copy is made, [`Error::Corrupt`] when pages are
/// damaged.
pub(crate) fn copy_catalog(medium: &dyn Medium) -> Result<MemoryMedium> {
    let mut last = None;
    for n in 0..TRIES {
        std::thread::sleep(PAUSE * n);
        if let Some(copy) = try_copy(medium)? {
            match Catalog::open_copy(&copy).and_then(|mut catalog| catalog.check_pages()) {
                Ok(true) => return Ok(copy),
                Ok(false) => last = None,
                Err(error) => last = Some(error),
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::Outdated { what: format!("{CATALOG} was written to all the time") }))
}

/// A copy, unless there was a commit meanwhile.
fn try_copy(medium: &dyn Medium) -> Result<Option<MemoryMedium>> {
    let io = |action| move |source| Error::io(action, CATALOG, source);
    let file = medium.open_to_read(CATALOG).map_err(io("open"))?;
    let len = file.len().map_err(io("measure"))?;
    let copy = MemoryMedium::new();
    let to = copy.create(CATALOG).map_err(io("copy"))?;
    let before = header(&file, len)?;
    to.set_len(len).map_err(io("copy"))?;
    let mut chunk = Vec::new();
    let mut offset = 0;
    while offset < len {
        chunk.resize((len - offset).min(CHUNK_BYTES) as usize, 0);
        if file.read_at(offset, &mut chunk).is_err() {
            // Cut off meanwhile.
            return Ok(None);
        }
        to.write_at(offset, &chunk).map_err(io("copy"))?;
        offset += chunk.len() as u64;
    }
    let is_same = file.len().map_err(io("measure"))? == len && header(&file, len)? == before;
    let is_copied = header(&to, len)? == before;
    Ok((is_same && is_copied).then_some(copy))
}

fn header(file: &Arc<dyn MediumFile>, len: u64) -> Result<Vec<u8>> {
    let mut header = vec![0; len.min(HEADER_BYTES) as usize];
    file.read_at(0, &mut header).map_err(|source| Error::io("read", CATALOG, source))?;
    Ok(header)
}
