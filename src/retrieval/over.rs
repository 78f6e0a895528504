//! What is over and was not taken out yet.

use super::Filter;
use super::search::inactive;
use crate::index::bitmaps::{self, Field};
use crate::record::Record;
use crate::{Id, Result, Snapshot};

impl Snapshot {
    /// Records of a type whose time is over, `n` of them at most; of strategies, active ones: what else became of one is
    /// its history.
    pub(crate) fn over<R: Record>(&self, n: usize) -> Result<Vec<Id<R>>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let live = bitmaps::load(&self.rows, scope, Field::Live(R::KIND))?;
        let is_over = Filter::expired_at(self.now_ms()) & !inactive();
        let over = is_over.select(&live, |property| property.bitmap(self, scope, &live, R::KIND))?;
        Ok(over.into_iter().take(n).map(|id| Id::from_u64(u64::from(id))).collect())
    }
}
