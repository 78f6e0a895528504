//! A file as a reader finds it: written, mapped, its pages warm.

use bytes::Bytes;
use lagdb_peers::BenchResult;
use memmap2::Mmap;
use std::io::Write;

/// Writes `bytes` to an unnamed file and maps it.
///
/// # Errors
/// What the operating system says.
pub(crate) fn mapped(bytes: &[u8]) -> BenchResult<Bytes> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    // SAFETY: the file has no name, so nobody but this process can change it, and this process only maps it.
    #[allow(unsafe_code, reason = "mapping a file is unsafe")]
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
