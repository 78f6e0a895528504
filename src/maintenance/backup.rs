//! Backup of a database that is in use, and its exact restore.
//!
//! A backup is one commit: the catalog as a logical copy, the segments that it names byte for byte, and last of all the
//! `manifest`, which names every file with its length and BLAKE3 digest and ends with a digest of itself. A directory
//! without a manifest is no backup. The catalog lies there under another name than in a database, so that nobody
//! opens, and changes, a backup by mistake.
//!
//! ```text
//! lagdb backup 1
//! commit 17
//! <digest> <length> catalog.backup
//! <digest> <length> segments/3.kv
//! <digest of all lines before> end
//! ```

use super::{OnProgress, Progress, verify};
use crate::catalog::{CATALOG, Catalog, NEW_CATALOG, Rows, Table, value};
use crate::medium::{FileMedium, Medium};
use crate::segment::{SEGMENTS, file_name};
use crate::store::{MANIFEST, Store, segment_rows};
use crate::{CommitId, Database, Error, Result};
use std::io;
use std::path::Path;

const NEW_MANIFEST: &str = "manifest.new";
const CATALOG_COPY: &str = "catalog.backup";
const FIRST_LINE: &str = "lagdb backup 1";
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Longest manifest that is read.
const MANIFEST_BYTES: u64 = 256 << 20;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The commit that was backed up.
    pub commit: CommitId,
    /// Files, without the manifest.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One file of a backup.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    digest: blake3::Hash,
    n_bytes: u64,
    name: String,
}

impl Database {
    /// Writes a backup of the latest commit into the directory `path`, which must be empty or new. Durable when it
    /// returns.
    ///
    /// Reading and writing go on meanwhile. Every row is checked as it is copied, and the copy of every segment is read
    /// back and checked to the last page: damage does not get into a backup.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is something at `path`; [`Error::Corrupt`] when a row or a segment is damaged: then
    /// there is no manifest, and so no backup. [`Error::Outdated`] when the database is open to be read only and the one
    /// who writes gave a segment up meanwhile: open it again. [`Error::Io`] when a disk refuses.
    pub fn backup(&self, path: impl AsRef<Path>, progress: &mut OnProgress<'_>) -> Result<Backup> {
        self.backup_on(&FileMedium::new(path), progress)
    }

    /// As [`backup`](Self::backup), on any medium.
    ///
    /// # Errors
    /// As [`backup`](Self::backup).
    pub fn backup_on(&self, to: &dyn Medium, progress: &mut OnProgress<'_>) -> Result<Backup> {
        let store = self.store();
        store.check_running()?;
        require_empty(to)?;
        to.create_dirs(&[SEGMENTS]).map_err(|source| Error::io("create", to.root(), source))?;
        let (rows, commit, mut pin) = store.read()?;
        let written = write_files(store, &rows, to, progress);
        drop(rows);
        store.unpin(&mut pin);
        let entries = written?;
        write_manifest(to, commit, &entries)?;
        Ok(sum(commit, &entries))
    }
}

/// Makes a database in the directory `to`, which must be empty or new, of the backup in the directory `from`. It holds
/// exactly what the database held at the commit of the backup.
///
/// # Errors
/// [`Error::Corrupt`] naming the file of the backup that is not the one that was written, or the manifest that is missing
/// or damaged: then there is no database at `to`. [`Error::Invalid`] when there is something at `to`; [`Error::Io`] when
/// a disk refuses.
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>, progress: &mut OnProgress<'_>) -> Result<Backup> {
    restore_on(&FileMedium::new(from), &FileMedium::new(to), progress)
}

/// As [`restore`], between any media.
///
/// # Errors
/// As [`restore`].
pub fn restore_on(from: &dyn Medium, to: &dyn Medium, progress: &mut OnProgress<'_>) -> Result<Backup> {
    let (commit, entries) = read_manifest(from)?;
    require_empty(to)?;
    to.create_dirs(&[SEGMENTS]).map_err(|source| Error::io("create", to.root(), source))?;
    let total = entries.len() as u64;
    for (done, entry) in entries.iter().enumerate() {
        progress(Progress { stage: "restore", done: done as u64, total });
        // The catalog gets its name last: before, there is no database.
        let name = if entry.name == CATALOG_COPY { NEW_CATALOG } else { entry.name.as_str() };
        let copied = copy_file(from, &entry.name, to, name)?;
        if (copied.digest, copied.n_bytes) != (entry.digest, entry.n_bytes) {
            let what =
                format!("is not the file of the backup: {} bytes, {} were written", copied.n_bytes, entry.n_bytes);
            return Err(Error::Corrupt { file: entry.name.clone().into(), offset: None, what });
        }
    }
    sync_dir(to, SEGMENTS)?;
    rename(to, NEW_CATALOG, CATALOG)?;
    Ok(sum(commit, &entries))
}

fn sum(commit: CommitId, entries: &[Entry]) -> Backup {
    Backup { commit, files: entries.len() as u64, bytes: entries.iter().map(|entry| entry.n_bytes).sum() }
}

fn write_files(store: &Store, rows: &Rows, to: &dyn Medium, progress: &mut OnProgress<'_>) -> Result<Vec<Entry>> {
    progress(Progress { stage: "catalog", done: 0, total: 0 });
    let mut entries = vec![copy_catalog(rows, to)?];
    let segments = segment_rows(rows)?;
    for (done, (id, row)) in segments.iter().enumerate() {
        progress(Progress { stage: "segments", done: done as u64, total: segments.len() as u64 });
        let copied = copy_file(&*store.medium, &file_name(*id), to, &file_name(*id));
        // Beside a writer, which may have given it up.
        entries.push(store.segments.or_outdated(*id, copied)?);
        verify::require_segment(to, *id, row)?;
    }
    sync_dir(to, SEGMENTS)?;
    Ok(entries)
}

/// All rows into a new file: what was deleted is not in it.
fn copy_catalog(rows: &Rows, to: &dyn Medium) -> Result<Entry> {
    Catalog::write_beside(to, |new| {
        Table::ALL
            .into_iter()
            .try_for_each(|table| new.fill(table, rows, &mut |key, bytes| value::open(table, key, bytes).map(|_| true)))
    })?;
    rename(to, NEW_CATALOG, CATALOG_COPY)?;
    digest_file(to, CATALOG_COPY, &mut |_, _| Ok(()))
}

/// Copies a file and syncs the copy.
fn copy_file(from: &dyn Medium, name: &str, to: &dyn Medium, new_name: &str) -> Result<Entry> {
    let file = to.create(new_name).map_err(|source| Error::io("create", new_name, source))?;
    let entry = digest_file(from, name, &mut |offset, bytes| {
        file.write_at(offset, bytes).map_err(|source| Error::io("write", new_name, source))
    })?;
    file.sync().map_err(|source| Error::io("sync", new_name, source))?;
    Ok(entry)
}

/// Reads a file once, shows its bytes to `visit` and digests them.
fn digest_file(medium: &dyn Medium, name: &str, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<Entry> {
    let file = medium.open_to_read(name).map_err(|source| missing_or(name, source))?;
    let n_bytes = file.len().map_err(|source| Error::io("measure", name, source))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < n_bytes {
        let n = (n_bytes - offset).min(CHUNK_BYTES as u64) as usize;
        let Some(bytes) = chunk.get_mut(..n) else { break };
        file.read_at(offset, bytes).map_err(|source| Error::io("read", name, source))?;
        hasher.update(bytes);
        visit(offset, bytes)?;
        offset += n as u64;
    }
    Ok(Entry { digest: hasher.finalize(), n_bytes, name: name.to_owned() })
}

fn write_manifest(to: &dyn Medium, commit: CommitId, entries: &[Entry]) -> Result<()> {
    let mut text = format!("{FIRST_LINE}\ncommit {commit}\n");
    for entry in entries {
        text.push_str(&format!("{} {} {}\n", entry.digest, entry.n_bytes, entry.name));
    }
    text.push_str(&format!("{} end\n", blake3::hash(text.as_bytes())));
    let file = to.create(NEW_MANIFEST).map_err(|source| Error::io("create", NEW_MANIFEST, source))?;
    file.write_at(0, text.as_bytes()).map_err(|source| Error::io("write", NEW_MANIFEST, source))?;
    file.sync().map_err(|source| Error::io("sync", NEW_MANIFEST, source))?;
    rename(to, NEW_MANIFEST, MANIFEST)
}

fn read_manifest(from: &dyn Medium) -> Result<(CommitId, Vec<Entry>)> {
    let mut bytes = Vec::new();
    let file = from.open_to_read(MANIFEST).map_err(|source| missing_or(MANIFEST, source))?;
    let n_bytes = file.len().map_err(|source| Error::io("measure", MANIFEST, source))?;
    if n_bytes > MANIFEST_BYTES {
        return Err(corrupt(format!("{n_bytes} bytes")));
    }
    bytes.resize(n_bytes as usize, 0);
    file.read_at(0, &mut bytes).map_err(|source| Error::io("read", MANIFEST, source))?;
    let text = String::from_utf8(bytes).map_err(|_| corrupt("is no text".to_owned()))?;
    parse_manifest(&text)
}

/// What a manifest says, if it is whole.
fn parse_manifest(text: &str) -> Result<(CommitId, Vec<Entry>)> {
    let wrong = |what: &str| corrupt(what.to_owned());
    let body =
        text.strip_suffix(" end\n").and_then(|text| text.rsplit_once('\n')).ok_or_else(|| wrong("has no end"))?;
    let (lines, digest) = body;
    let all = format!("{lines}\n");
    if blake3::Hash::from_hex(digest).ok() != Some(blake3::hash(all.as_bytes())) {
        return Err(wrong("the digest does not match"));
    }
    let mut lines = lines.lines();
    match lines.next() {
        Some(FIRST_LINE) => {}
        other => {
            let what = format!("{:?}", other.unwrap_or_default());
            return Err(Error::Unsupported { file: MANIFEST.into(), what });
        }
    }
    let commit = lines.next().and_then(|line| line.strip_prefix("commit ")).and_then(|n| n.parse().ok());
    let commit = commit.map(CommitId::from_u64).ok_or_else(|| wrong("names no commit"))?;
    let entries = lines.map(|line| parse_entry(line).ok_or_else(|| corrupt(format!("{line:?} is no file"))));
    Ok((commit, entries.collect::<Result<_>>()?))
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut parts = line.splitn(3, ' ');
    let digest = blake3::Hash::from_hex(parts.next()?).ok()?;
    let n_bytes = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let segment = name.strip_prefix(SEGMENTS).and_then(|name| name.strip_prefix('/'));
    let is_ours = name == CATALOG_COPY || segment.is_some_and(|name| crate::segment::id_of(name).is_some());
    is_ours.then(|| Entry { digest, n_bytes, name: name.to_owned() })
}

/// A backup, or what is restored from one, goes where nothing is.
fn require_empty(medium: &dyn Medium) -> Result<()> {
    let names = |names: io::Result<Vec<String>>| match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|source| Error::io("list", medium.root(), source)),
    };
    let (files, dirs) = (names(medium.list(""))?, names(medium.list_dirs(""))?);
    let segments = names(medium.list(SEGMENTS))?;
    match files.iter().chain(dirs.iter().filter(|dir| *dir != SEGMENTS)).chain(&segments).next() {
        None => Ok(()),
        Some(name) => Err(Error::invalid("path", format!("{} is not empty ({name})", medium.root().display()))),
    }
}

fn rename(medium: &dyn Medium, from: &'static str, to: &str) -> Result<()> {
    medium.rename(from, to).map_err(|source| Error::io("rename", from, source))?;
    sync_dir(medium, "")
}

fn sync_dir(medium: &dyn Medium, dir: &str) -> Result<()> {
    medium.sync_dir(dir).map_err(|source| Error::io("sync the directory", medium.root().join(dir), source))
}

fn missing_or(name: &str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Corrupt { file: name.into(), offset: None, what: "is missing".to_owned() },
        _ => Error::io("open", name, source),
    }
}

fn corrupt(what: String) -> Error {
    Error::Corrupt { file: MANIFEST.into(), offset: None, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_manifest_is_refused() {
        let medium = crate::medium::MemoryMedium::new();
        let entry = Entry { digest: blake3::hash(b"x"), n_bytes: 1, name: CATALOG_COPY.to_owned() };
        write_manifest(&medium, CommitId::from_u64(17), &[entry]).unwrap();
        let text = String::from_utf8(medium.dump().remove(MANIFEST).unwrap()).unwrap();
        let (commit, entries) = parse_manifest(&text).unwrap();
        assert_eq!((commit.as_u64(), entries.len()), (17, 1));
        for at in 0..text.len() {
            assert!(parse_manifest(&text[..at]).is_err(), "length {at}");
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let same = |text: &str| parse_manifest(text).is_ok();
            assert!(!String::from_utf8(damaged).is_ok_and(|text| same(&text)), "byte {at}");
        }
    }

    #[test]
    fn a_manifest_names_no_files_outside_the_backup() {
        for name in ["../catalog.redb", "segments/../x", "segments/", "/etc/passwd", "lock"] {
            assert!(parse_entry(&format!("{} 1 {name}", blake3::hash(b"x"))).is_none(), "{name}");
        }
    }
}
