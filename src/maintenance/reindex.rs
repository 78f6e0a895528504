//! Building every bitmap and every counter anew from the records.

use crate::{Database, Result, txn};

impl Database {
    /// Builds every bitmap and every counter anew from the records, in one commit: after
    /// [`verify`](Self::verify) found that they do not agree. Reading goes on meanwhile; writing waits.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a record is damaged or missing: then nothing changes.
    /// [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open, for it would wait for itself.
    pub fn reindex(&self) -> Result<()> {
        let store = self.store();
        store.check_running()?;
        let turn = store.writer_turn()?;
        store.check_running()?;
        let rows = store.begin_staging()?;
        txn::rebuild(&rows)?;
        let ticket = store.stage(rows, false);
        drop(turn);
        store.make_durable(&ticket, &[])
    }
}
