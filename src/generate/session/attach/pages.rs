//! Attaching KV logs by their pages: no row is made of them, their bytes are what is attended to.

use super::super::Session;
use crate::error::Result;
use crate::generate::pages::{PagePolicy, PageSource};
use lagdb_format::{Fidelity, KvLogView, KvRead};

/// What was attached by its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagedLogs {
    /// Tokens of all logs.
    pub n_tokens: usize,
    /// Pages of the keys of one layer, and as many of its values.
    pub n_pages: usize,
    /// Bytes of the logs, which the session shares with whoever else holds them: the KV cache grows by nothing.
    pub n_bytes: u64,
    /// How near attending to them comes to computing their tokens again.
    pub fidelity: Fidelity,
}

impl Session {
    /// Makes the tokens to come attend to `logs` as they are stored, in pages of int8: nothing is decoded into the KV cache,
    /// and forks share the bytes. All tokens of one call have the same position, as with
    /// [`LogPositions::One`](super::LogPositions::One): it is one of those that the model has, and their number counts for no
    /// limit. Attending to all pages gives what attaching the same logs at one position gives, to rounding.
    ///
    /// A decode step reads the codes where they lie. Prefill widens one page of one head at a time, again for every chunk:
    /// where a long text follows, rows of a KV cache are cheaper.
    ///
    /// [`capture_with`](Self::capture_with) looks at attention between rows: what goes to pages is not in what makes a row
    /// important.
    ///
    /// # Errors
    /// [`ModelMismatch`](crate::Error::ModelMismatch) naming the field in which a log's model differs;
    /// [`ContextLimit`](crate::Error::ContextLimit); [`Corrupt`](crate::Error::Corrupt) when the bytes of a log are damaged;
    /// [`Invalid`](crate::Error::Invalid) when a log is not int8 throughout, when its heads keep tokens of their own or some of
    /// its tokens were left out, when pages are to be chosen and it has no key summaries, or when the policy is out of range. The
    /// session stays as it was.
    pub fn attach_pages(&mut self, logs: &[KvLogView<'static>], policy: &PagePolicy) -> Result<PagedLogs> {
        policy.check()?;
        logs.iter().try_for_each(|log| self.check_log(log))?;
        let n_tokens: usize = logs.iter().map(|log| log.n_tokens()).sum();
        let fidelity = Fidelity::Approximate;
        if n_tokens == 0 {
            return Ok(PagedLogs { n_tokens, n_pages: 0, n_bytes: 0, fidelity });
        }
        self.check_room(1)?;
        self.or_as_it_was(|session| {
            session.compute(|_| Ok(()))?;
            let (position, first_row) = (session.next_position(), session.ids.len());
            let geometry = session.generator.config().geometry();
            let source = PageSource::new(logs, geometry, *policy, position, first_row)?;
            let attached = PagedLogs { n_tokens, n_pages: source.n_pages(), n_bytes: source.n_bytes(), fidelity };
            session.cache.pages_mut().push(source);
            session.hidden = None;
            Ok(attached)
        })
    }
}
