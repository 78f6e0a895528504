//! The file `latest`: the number of a commit that was durable when it was noted. It says least how far the catalog is.
//!
//! A catalog that was replaced as a whole by an older one has every checksum right, and one that was taken away leaves
//! nothing behind where there are no segments. So each commit, once it is durable, is noted beside it, without a sync: what
//! is found there is a commit that was acknowledged, often the latest, after a power cut perhaps one of some seconds
//! before. An open whose catalog is older than that fails, before it unlinks anything.
//!
//! What it does not see: a catalog that is older by what was not noted in time, and one that was replaced together with
//! `latest`. Whoever wants the older catalog takes `latest` away. What cannot be written or read here is no reason to
//! stop: then there is no bound.
//!
//! ```text
//! 0       8        16    20
//! | magic | commit | crc |       CRC-32C of magic and commit; little-endian
//! ```

use super::Store;
use crate::catalog::row::State;
use crate::catalog::{CATALOG, Key, Layer, Table, row, value};
use crate::medium::{Medium, MediumFile};
use crate::{Error, Result};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The file, relative to the database directory.
pub(crate) const LATEST: &str = "latest";

const MAGIC: [u8; 8] = *b"\x89LAGLAT\n";
const FILE_BYTES: usize = 20;

/// The open file, once it was written.
#[derive(Debug, Default)]
pub(super) struct Latest {
    file: Mutex<Option<Arc<dyn MediumFile>>>,
}

impl Latest {
    fn note(&self, medium: &dyn Medium, commit: u64) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *file {
            Some(file) => file,
            none => none.insert(medium.open(LATEST).or_else(|_| medium.create(LATEST))?),
        };
        file.write_at(0, &to_bytes(commit))
    }
}

impl Store {
    /// Notes the commit that `layers` made durable.
    pub(super) fn note_latest(&self, layers: &[Arc<Layer>]) {
        let Some(commit) = layers.iter().rev().find_map(|layer| commit_of(layer)) else { return };
        if let Err(error) = self.latest.note(&*self.medium, commit) {
            tracing::debug!(%error, commit, "the latest commit is not noted");
        }
    }
}

/// The number of the commit that a layer's rows belong to.
fn commit_of(layer: &Layer) -> Option<u64> {
    let key = Key::state();
    let bytes = layer.get(Table::Meta, &key)?.as_deref()?;
    let opened = value::open(Table::Meta, key.as_bytes(), bytes).ok()?;
    row::decode::<State>(Table::Meta, key.as_bytes(), opened).ok().map(|state| state.commit)
}

/// Fails when the catalog is older than what was noted; `None` stands for no catalog.
pub(crate) fn check_latest(noted: Option<u64>, commit: Option<u64>) -> Result<()> {
    let corrupt = |what| Err(Error::Corrupt { file: CATALOG.into(), offset: None, what });
    match (noted, commit) {
        (Some(noted), Some(commit)) if commit < noted => {
            corrupt(format!("is that of commit {commit}, while commit {noted} was durable (as the file {LATEST} says)"))
        }
        (Some(noted), None) => corrupt(format!("is missing, while commit {noted} was durable (as {LATEST} says)")),
        _ => Ok(()),
    }
}

/// A commit that was durable, if one was noted.
pub(crate) fn read_latest(medium: &dyn Medium) -> Option<u64> {
    let mut bytes = [0; FILE_BYTES];
    let file = medium.open_to_read(LATEST).ok()?;
    let noted = file.read_at(0, &mut bytes).ok().and_then(|()| from_bytes(&bytes));
    if noted.is_none() {
        tracing::warn!("the file {LATEST} is damaged; the next commit writes it anew");
    }
    noted
}

fn to_bytes(commit: u64) -> Vec<u8> {
    let body = [MAGIC, commit.to_le_bytes()].concat();
    let crc = crc32c::crc32c(&body);
    [&body[..], &crc.to_le_bytes()[..]].concat()
}

fn from_bytes(bytes: &[u8]) -> Option<u64> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    let commit = u64::from_le_bytes(*body.last_chunk::<8>()?);
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc) && body.starts_with(&MAGIC)).then_some(commit)
}
