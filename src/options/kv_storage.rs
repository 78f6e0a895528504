//! How new KV logs are written: one decision, from which the encoding of every page of a log follows.

use crate::{Error, Result};
use lagdb_format::planner::{self, Budget, Plan};
use lagdb_format::{Encoding, KvLog, KvRead};

/// Keys of fewer bytes at one layer are not compressed.
const SMALL_COLUMN_BYTES: usize = 4096;

/// What a budget chooses from.
const CANDIDATES: [Encoding; 4] = [Encoding::Plain, Encoding::ExponentHuffman, Encoding::Int8, Encoding::Int4];

/// How new KV logs are written. Those that are there stay as they are, and every one is read alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum KvStorage {
    /// Every bit is kept, in fewer bytes ([`Encoding::ExponentHuffman`]); logs of a few tokens are kept
    /// [`Encoding::Plain`]: compressing them saves next to nothing, and reading them takes three times as long.
    #[default]
    Lossless,
    /// Every page in this encoding.
    Encoding(Encoding),
    /// The keys and the values of each layer in the smallest encoding whose measured error, or bytes, this allows. A page
    /// that would be further off than a budget of error gets one that comes nearer.
    Budget(Budget),
    /// In levels, a base of four bits a number first, so that [`kv_log_at`](crate::Snapshot::kv_log_at) reads only as much
    /// of a log as it wants. All levels together are exact, and take about as many bytes as a lossless log. Numbers must be
    /// finite.
    Layered,
}

impl KvStorage {
    /// The encodings of `log`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nothing keeps the budget; it says the least that is possible.
    pub(crate) fn plan(self, log: &KvLog) -> Result<Plan> {
        let n_layers = log.geometry().n_layers;
        match self {
            Self::Encoding(encoding) => Ok(Plan::uniform(encoding, n_layers)),
            Self::Layered => Ok(Plan::layered(n_layers)),
            Self::Budget(budget) if log.n_tokens() > 0 => {
                let columns = planner::measure(log, &CANDIDATES).map_err(|error| Error::invalid("KV log", error))?;
                planner::plan(&columns, budget).map_err(|error| Error::invalid("KV budget", error))
            }
            Self::Lossless | Self::Budget(_) => {
                let column_bytes = log.n_tokens() * log.geometry().row_width() * log.element().n_bytes();
                let is_small = column_bytes < SMALL_COLUMN_BYTES;
                let fitting = if is_small { Encoding::Plain } else { Encoding::ExponentHuffman };
                Ok(Plan::uniform(fitting, n_layers))
            }
        }
    }
}
