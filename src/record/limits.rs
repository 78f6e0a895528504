//! How large a record may be. Far above what an agent writes, far below what would hurt the catalog.

use crate::{Error, Result};

/// Bytes of one encoded record.
pub const RECORD_BYTES: usize = 64 << 20;
/// Labels of one record.
pub const N_LABELS: usize = 64;
/// Bytes of a label, a group, a scope name or the name of an evaluator, distiller or embedding space.
pub const NAME_BYTES: usize = 255;
/// Pieces of evidence of one strategy.
pub const N_EVIDENCE: usize = 65_536;
/// Numbers of an embedding.
pub const EMBEDDING_DIM: usize = 65_536;

/// A name: not empty, not too long, no control characters.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(what, "is empty"));
    }
    if name.len() > NAME_BYTES {
        return Err(Error::invalid(what, format!("{} bytes; {NAME_BYTES} are allowed", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(what, format!("{name:?} contains control characters")));
    }
    Ok(())
}

/// Every label is a name and there are not too many.
pub(crate) fn check_labels(labels: &[String]) -> Result<()> {
    if labels.len() > N_LABELS {
        return Err(Error::invalid("labels", format!("{} labels; {N_LABELS} are allowed", labels.len())));
    }
    labels.iter().try_for_each(|label| check_name("label", label))
}

/// The texts of a record, all together, fit [`RECORD_BYTES`].
pub(crate) fn check_size(what: &'static str, n_bytes: usize) -> Result<()> {
    if n_bytes > RECORD_BYTES {
        return Err(Error::invalid(what, format!("{n_bytes} bytes; {RECORD_BYTES} are allowed")));
    }
    Ok(())
}
