//! What a run has found so far, one JSON line a stream; a run that was killed goes on from it.
//!
//! A stream is written when it has ended, in one line and with one sync, so a stream is in the journal wholly or not at
//! all. A line that a kill cut off is taken away when the journal is opened; its stream is lived anew from its seed, which
//! gives the same stream. So no trajectory is lost and none is counted twice.

use super::stream::{Stream, StreamKey};
use crate::failure::Failure;
use lagdb::Error;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

/// Streams that have ended, on disk if it has a file.
#[derive(Debug)]
pub(super) struct Journal {
    streams: Mutex<BTreeMap<StreamKey, Stream>>,
    file: Option<Mutex<File>>,
}

impl Journal {
    /// A journal in memory only.
    pub(super) fn in_memory() -> Self {
        Self { streams: Mutex::default(), file: None }
    }

    /// A journal in a file. One that is there already is gone on from if `resume` says so, else refused.
    ///
    /// # Errors
    /// When the file is there and is not to be resumed, cannot be read or written, or holds whole lines that are no streams.
    pub(super) fn open(path: &Path, resume: bool) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let mut file = match resume {
            true => options.create(true).truncate(false).open(path)?,
            false => options.create_new(true).open(path).map_err(|error| refuse(path, error))?,
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut streams = BTreeMap::new();
        for (i, line) in text[..whole].lines().enumerate() {
            let stream: Stream = serde_json::from_str(line)
                .map_err(|error| Error::invalid("--out", format!("line {} is no stream: {error}", i + 1)))?;
            streams.insert(stream.key.clone(), stream);
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { streams: Mutex::new(streams), file: Some(Mutex::new(file)) })
    }

    /// Whether this stream has ended.
    pub(super) fn has(&self, key: &StreamKey) -> bool {
        self.streams.lock().is_ok_and(|streams| streams.contains_key(key))
    }

    /// Notes a stream that has ended.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn note(&self, stream: Stream) -> Result<(), Failure> {
        if let Some(file) = &self.file {
            let mut line = serde_json::to_string(&stream).map_err(std::io::Error::from)?;
            line.push('\n');
            if let Ok(mut file) = file.lock() {
                file.write_all(line.as_bytes())?;
                file.sync_data()?;
            }
        }
        if let Ok(mut streams) = self.streams.lock() {
            streams.insert(stream.key.clone(), stream);
        }
        Ok(())
    }

    /// The streams that have ended, by arm and seed.
    pub(super) fn into_streams(self) -> BTreeMap<StreamKey, Stream> {
        self.streams.into_inner().unwrap_or_default()
    }
}

fn refuse(path: &Path, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let detail = format!("{} is there; --resume goes on from it", path.display());
            Error::invalid("--out", detail).into()
        }
        _ => error.into(),
    }
}
