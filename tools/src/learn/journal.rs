//! What a run has found so far, one JSON line a stream; a run that was killed goes on from it.
//!
//! A stream is written when it has ended, in one line and with one sync, so a stream is in the journal wholly or not at
//! all. A line that a kill cut off is taken away when the journal is opened; its stream is lived anew from its seed, which
//! gives the same stream. So no trajectory is lost and none is counted twice.
//!
//! The first line says what all streams share, and every stream says what its arm was: what belongs to another experiment is
//! refused, not mixed in.

use super::arm::Arm;
use super::stream::{Stream, StreamKey};
use crate::failure::Failure;
use lagdb::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

/// What all streams of a journal share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The form of the journal.
    schema: String,
    /// The version of lagdb.
    version: String,
    /// The fingerprint of the model.
    model: String,
    /// Tasks of a stream.
    tasks: usize,
}

impl Header {
    /// Of streams of so many tasks, lived by this model and this version of lagdb.
    pub(super) fn new(model: String, tasks: usize) -> Self {
        let (schema, version) = ("lagdb.learn.journal/1".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self { schema, version, model, tasks }
    }

    /// # Errors
    /// When the streams of `other` are of another experiment.
    fn check(&self, other: &Self) -> Result<(), Error> {
        let differ = [
            ("schema", &self.schema, &other.schema),
            ("version", &self.version, &other.version),
            ("model", &self.model, &other.model),
            ("tasks", &self.tasks.to_string(), &other.tasks.to_string()),
        ];
        match differ.into_iter().find(|(_, now, then)| now != then) {
            None => Ok(()),
            Some((what, now, then)) => {
                Err(Error::invalid("--resume", format!("the journal is of {what} {then}, this run of {now}")))
            }
        }
    }
}

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
    /// When the file is there and is not to be resumed, cannot be read or written, holds whole lines that are no streams, or
    /// streams of another experiment.
    pub(super) fn open(path: &Path, resume: bool, header: &Header) -> Result<Self, Failure> {
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
        let unreadable = |i: usize, what: &str, error: serde_json::Error| {
            Error::invalid("--out", format!("line {} is no {what}: {error}", i + 1))
        };
        for (i, line) in text[..whole].lines().enumerate() {
            if i == 0 {
                let there: Header = serde_json::from_str(line).map_err(|error| unreadable(i, "header", error))?;
                header.check(&there)?;
                continue;
            }
            let stream: Stream = serde_json::from_str(line).map_err(|error| unreadable(i, "stream", error))?;
            streams.insert(stream.key.clone(), stream);
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        if whole == 0 {
            let mut line = serde_json::to_string(header).map_err(std::io::Error::from)?;
            line.push('\n');
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
        }
        Ok(Self { streams: Mutex::new(streams), file: Some(Mutex::new(file)) })
    }

    /// Whether this stream of this arm has ended.
    ///
    /// # Errors
    /// When it has, and its arm was another then.
    pub(super) fn has(&self, key: &StreamKey, arm: &Arm) -> Result<bool, Failure> {
        let Ok(streams) = self.streams.lock() else { return Ok(false) };
        match streams.get(key) {
            None => Ok(false),
            Some(stream) if stream.parameters == arm.parameters() => Ok(true),
            Some(stream) => {
                let (then, now) = (&stream.parameters, arm.parameters());
                let detail = format!("the arm {} of the journal was {then}, and is {now}", key.arm);
                Err(Error::invalid("--resume", detail).into())
            }
        }
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
