//! Every call into redb goes through here: its errors become ours, and its panics become [`Error::Corrupt`].
//!
//! redb panics on some damaged files. A panic inside it unwinds to this boundary and no further; redb itself refuses
//! writes to a database that panicked. The message of the panic hook still appears on stderr: that belongs to the
//! program, not to a library.

use super::CATALOG;
use super::backend::Damaged;
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does `call`, which `action` describes as a verb.
pub(crate) fn guarded<T>(
    action: &'static str,
    call: impl FnOnce() -> std::result::Result<T, redb::Error>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translated(action, error)),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("without a message");
            let what = format!("redb panicked while it should {action}: {message}");
            Err(Error::Corrupt { file: CATALOG.into(), offset: None, what })
        }
    }
}

/// Drops something of redb's; a panic on the way is only logged, for there is nobody to return it to.
pub(crate) fn guarded_drop<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::error!("redb panicked while it was closed");
    }
}

fn translated(action: &'static str, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(source) => refused(action, source),
        redb::Error::PreviousIo => Error::Poisoned { cause: "an earlier failure of the catalog's file".to_owned() },
        redb::Error::ValueTooLarge(n_bytes) => Error::invalid("row", format!("{n_bytes} bytes are too large")),
        redb::Error::UpgradeRequired(version) => {
            Error::Unsupported { file: CATALOG.into(), what: format!("file format {version} of redb") }
        }
        other => corrupt(format!("{action}: {other}")),
    }
}

/// What stands between redb and the file: our storage, the medium, the operating system.
fn refused(action: &'static str, source: std::io::Error) -> Error {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Damaged>()) {
        Some(Damaged { offset, what }) => {
            Error::Corrupt { file: CATALOG.into(), offset: *offset, what: format!("{what} ({action})") }
        }
        None if is_truncation(&source) => corrupt(format!("{action}: the file is shorter than it says")),
        None => Error::io(action, CATALOG, source),
    }
}

fn is_truncation(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData)
}

fn corrupt(what: String) -> Error {
    Error::Corrupt { file: CATALOG.into(), offset: None, what }
}
