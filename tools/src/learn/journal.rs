//! The journal of streams: gone on from only by the same experiment.
//!
//! A stream is noted when it has ended; one that a kill cut off is lived anew from its seed, which gives the same stream. All
//! streams share what the header says, and every stream says what its arm was: what belongs to another experiment is refused,
//! not mixed in.

use super::arm::Arm;
use super::stream::{Stream, StreamKey};
use crate::failure::Failure;
use crate::journal;
use lagdb::Error;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What all streams of a journal share.
#[derive(Clone, Debug)]
pub(super) struct Header(Value);

impl Header {
    /// Of streams of so many tasks, lived by this model and this version of lagdb.
    pub(super) fn new(model: String, tasks: usize) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self(json!({ "schema": "lagdb.learn.journal/1", "version": version, "model": model, "tasks": tasks }))
    }
}

/// Streams that have ended, on disk if it has a file.
#[derive(Debug)]
pub(super) struct Journal(journal::Journal<Stream>);

impl Journal {
    /// A journal in memory only.
    pub(super) fn in_memory() -> Self {
        Self(journal::Journal::in_memory())
    }

    /// A journal in a file. One that is there already is gone on from if `resume` says so, else refused.
    ///
    /// # Errors
    /// As [`journal::Journal::open`].
    pub(super) fn open(path: &Path, resume: bool, header: &Header) -> Result<Self, Failure> {
        Ok(Self(journal::Journal::open(path, resume, &header.0)?))
    }

    /// Whether this stream of this arm has ended.
    ///
    /// # Errors
    /// When it has, and its arm was another then.
    pub(super) fn has(&self, key: &StreamKey, arm: &Arm) -> Result<bool, Failure> {
        let now = arm.parameters();
        match self.0.get(key, |stream| stream.parameters.clone()) {
            None => Ok(false),
            Some(then) if then == now => Ok(true),
            Some(then) => {
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
        self.0.note(stream)
    }

    /// The streams that have ended, by arm and seed.
    pub(super) fn into_streams(self) -> BTreeMap<StreamKey, Stream> {
        self.0.into_found()
    }
}
