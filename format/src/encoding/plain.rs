//! Plain: the numbers as they are. A column chunk of one plain page is read without a copy.

use super::check_length;
use crate::Result;

pub(super) fn encode(raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(raw);
}

pub(super) fn decode(stored: &[u8], raw: &mut [u8]) -> Result<()> {
    check_length(stored, raw.len())?;
    raw.copy_from_slice(stored);
    Ok(())
}
