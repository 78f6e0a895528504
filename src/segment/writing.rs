//! A segment on its way to disk: row groups go to its file as they come, the footer comes last.
//!
//! The file has its name from the start. That is no risk: a segment counts once a commit names it, with the digest of
//! its footer; before, the file is one that no commit names, which the next open unlinks. Its number is not given out
//! again. So what must be durable before the commit is the bytes and the name: one sync of the file, and one of the
//! directory, which all segments of a commit share.

use super::file_name;
use crate::catalog::row::SegmentRow;
use crate::medium::{Medium, MediumFile};
use crate::{Error, Result, SegmentId};
use lagdb_format::planner::Plan;
use lagdb_format::{KvLog, RowGroupIndex, SegmentWriter};
use std::sync::Arc;

/// A segment that is being written. Dropped, it leaves nothing behind.
pub(crate) struct PendingSegment {
    id: SegmentId,
    medium: Arc<dyn Medium>,
    file: Arc<dyn MediumFile>,
    /// Taken out by [`finish`](Self::finish).
    writer: Option<SegmentWriter>,
    written_bytes: u64,
    is_finished: bool,
}

/// A segment with all its bytes, none of them durable yet. No commit may name it before [`sync`](Self::sync).
#[must_use = "a segment that is not synced may not be named"]
pub(crate) struct FinishedSegment {
    id: SegmentId,
    file: Arc<dyn MediumFile>,
}

/// Where a KV log was written, and how long it is.
pub(crate) struct Pushed {
    pub(crate) row_group: RowGroupIndex,
    pub(crate) n_bytes: u64,
}

impl PendingSegment {
    pub(crate) fn create(medium: Arc<dyn Medium>, id: SegmentId) -> Result<Self> {
        let name = file_name(id);
        // A number is never given twice; if it was, the file is another segment's, and `create` would empty it.
        if medium.open_to_read(&name).is_ok() {
            let what = "the file is there already, under a number that was never given".to_owned();
            return Err(Error::Corrupt { file: name.into(), offset: None, what });
        }
        let file = medium.create(&name).map_err(|source| Error::io("create", &name, source))?;
        let writer = Some(SegmentWriter::new(id.as_u64()));
        Ok(Self { id, medium, file, writer, written_bytes: 0, is_finished: false })
    }

    /// The same, with key summaries of every log that is added from now on.
    pub(crate) fn with_key_summaries(mut self) -> Self {
        self.writer = self.writer.take().map(SegmentWriter::with_key_summaries);
        self
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Bytes so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Adds a KV log. After an error the segment cannot be finished any more.
    pub(crate) fn push(&mut self, log: &KvLog, plan: &Plan) -> Result<Pushed> {
        self.push_with(|writer| writer.push_plan(log, plan))
    }

    /// Adds a KV log of another segment, its pages as they are.
    pub(crate) fn push_view(&mut self, view: &lagdb_format::KvLogView<'_>) -> Result<Pushed> {
        self.push_with(|writer| writer.push_view(view))
    }

    fn push_with(
        &mut self,
        push: impl FnOnce(&mut SegmentWriter) -> lagdb_format::Result<RowGroupIndex>,
    ) -> Result<Pushed> {
        let Some(mut writer) = self.writer.take() else { return Err(self.failed()) };
        let before = writer.n_bytes();
        let row_group = match push(&mut writer) {
            Ok(row_group) => row_group,
            Err(error) => {
                // The writer is as it was before.
                self.writer = Some(writer);
                return Err(Error::from_format(error, file_name(self.id)));
            }
        };
        let n_bytes = writer.n_bytes() - before;
        self.write(&writer.take())?;
        self.writer = Some(writer);
        Ok(Pushed { row_group, n_bytes })
    }

    /// Writes the footer. What the catalog must say of the segment, once it is synced.
    pub(crate) fn finish(mut self) -> Result<(SegmentRow, FinishedSegment)> {
        let Some(mut writer) = self.writer.take() else { return Err(self.failed()) };
        let n_row_groups = writer.n_row_groups() as u32;
        self.write(&writer.take())?;
        let footer = writer.finish().map_err(|error| Error::from_format(error, file_name(self.id)))?;
        self.write(&footer)?;
        self.is_finished = true;
        let row = SegmentRow {
            len: self.written_bytes,
            footer: *blake3::hash(&footer).as_bytes(),
            footer_bytes: footer.len() as u64,
            n_row_groups,
        };
        Ok((row, FinishedSegment { id: self.id, file: self.file.clone() }))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let io = |source| Error::io("write", file_name(self.id), source);
        self.file.write_at(self.written_bytes, bytes).map_err(io)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self) -> Error {
        Error::invalid("transaction", format!("segment {} could not be written; begin again", self.id))
    }
}

impl FinishedSegment {
    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Makes the bytes durable; the name is with the next sync of the directory.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|source| Error::io("sync", file_name(self.id), source))
    }
}

impl Drop for PendingSegment {
    fn drop(&mut self) {
        if !self.is_finished && self.medium.unlink(&file_name(self.id)).is_err() {
            tracing::debug!(segment = self.id.as_u64(), "left for the next open to unlink");
        }
    }
}
