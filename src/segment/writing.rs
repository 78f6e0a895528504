//! A segment on its way to disk: row groups go to a temporary file as they come, the name comes last.

use super::{SEGMENTS, file_name, temporary_name};
use crate::catalog::row::SegmentRow;
use crate::medium::{Medium, MediumFile};
use crate::{Error, Result, SegmentId};
use lagdb_format::{Encoding, KvLog, RowGroupIndex, SegmentWriter};
use std::sync::Arc;

/// A segment without a name yet. Dropped, it leaves nothing behind.
pub(crate) struct PendingSegment {
    id: SegmentId,
    medium: Arc<dyn Medium>,
    file: Arc<dyn MediumFile>,
    /// Taken out by [`publish`](Self::publish).
    writer: Option<SegmentWriter>,
    written_bytes: u64,
    is_published: bool,
}

/// Where a KV log was written, and how long it is.
pub(crate) struct Pushed {
    pub(crate) row_group: RowGroupIndex,
    pub(crate) n_bytes: u64,
}

impl PendingSegment {
    pub(crate) fn create(medium: Arc<dyn Medium>, id: SegmentId) -> Result<Self> {
        let name = temporary_name(id);
        let file = medium.create(&name).map_err(|source| Error::io("create", &name, source))?;
        let writer = Some(SegmentWriter::new(id.as_u64()));
        Ok(Self { id, medium, file, writer, written_bytes: 0, is_published: false })
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Bytes so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Adds a KV log. After an error the segment cannot be published any more.
    pub(crate) fn push(&mut self, log: &KvLog, encoding: Encoding) -> Result<Pushed> {
        self.push_with(|writer| writer.push(log, encoding))
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

    /// Finishes the file, makes it durable and gives it its name. What the catalog must say of it.
    pub(crate) fn publish(mut self) -> Result<SegmentRow> {
        let Some(mut writer) = self.writer.take() else { return Err(self.failed()) };
        let n_row_groups = writer.n_row_groups() as u32;
        self.write(&writer.take())?;
        let footer = writer.finish().map_err(|error| Error::from_format(error, file_name(self.id)))?;
        self.write(&footer)?;
        self.name_durably()?;
        Ok(SegmentRow {
            len: self.written_bytes,
            footer: *blake3::hash(&footer).as_bytes(),
            footer_bytes: footer.len() as u64,
            n_row_groups,
        })
    }

    fn name_durably(&mut self) -> Result<()> {
        let (temporary, name) = (temporary_name(self.id), file_name(self.id));
        self.file.sync().map_err(|source| Error::io("sync", &temporary, source))?;
        self.medium.rename(&temporary, &name).map_err(|source| Error::io("rename", &temporary, source))?;
        self.is_published = true;
        self.medium.sync_dir(SEGMENTS).map_err(|source| Error::io("sync the directory", SEGMENTS, source))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let io = |source| Error::io("write", temporary_name(self.id), source);
        self.file.write_at(self.written_bytes, bytes).map_err(io)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self) -> Error {
        Error::invalid("transaction", format!("segment {} could not be written; begin again", self.id))
    }
}

impl Drop for PendingSegment {
    fn drop(&mut self) {
        if !self.is_published && self.medium.unlink(&temporary_name(self.id)).is_err() {
            tracing::debug!(segment = self.id.as_u64(), "left for the next open to unlink");
        }
    }
}
