//! How large a record may be. Far above what an agent writes, far below what would hurt the catalog.

use crate::{Error, Result};

/// Bytes of one encoded record.
pub const RECORD_BYTES: usize = 64 << 20;
/// Labels of one record.
pub const N_LABELS: usize = 64;
/// Bytes of a label, a group, a scope name or the name of an evaluator, distiller or embedding space.
pub const NAME_BYTES: usize = 255;
/// Action signatures of a strategy, and its error signatures.
pub const N_SIGNATURES: usize = 256;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 4096;
/// Exposures of one trajectory.
pub const N_EXPOSURES: usize = 16_384;
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

/// A domain is a name.
pub(crate) fn check_domain(domain: Option<&str>) -> Result<()> {
    domain.map_or(Ok(()), |domain| check_name("domain", domain))
}

/// No signature is empty or too long, and there are not too many.
pub(crate) fn check_signatures(what: &'static str, signatures: &[String]) -> Result<()> {
    if signatures.len() > N_SIGNATURES {
        return Err(Error::invalid(what, format!("{} of them; {N_SIGNATURES} are allowed", signatures.len())));
    }
    signatures.iter().try_for_each(|signature| check_signature(what, signature))
}

/// A signature is neither empty nor too long.
pub(crate) fn check_signature(what: &'static str, signature: &str) -> Result<()> {
    match signature.len() {
        0 => Err(Error::invalid(what, "is empty")),
        1..=SIGNATURE_BYTES => Ok(()),
        n_bytes => Err(Error::invalid(what, format!("{n_bytes} bytes; {SIGNATURE_BYTES} are allowed"))),
    }
}

/// The texts of a record, all together, fit [`RECORD_BYTES`].
pub(crate) fn check_size(what: &'static str, n_bytes: usize) -> Result<()> {
    if n_bytes > RECORD_BYTES {
        return Err(Error::invalid(what, format!("{n_bytes} bytes; {RECORD_BYTES} are allowed")));
    }
    Ok(())
}
