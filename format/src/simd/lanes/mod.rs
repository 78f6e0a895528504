//! Symbols in lanes: 32 streams of codes of at most six bits, eight of which a register advances at once.
//!
//! Symbols go to lanes eight at a time, in turn, so that the eight of a lane lie beside each other when they are decoded and
//! nothing has to be moved. Eight codes are at most 48 bits, which one 64-bit load from any byte on holds whichever bit they
//! begin at.

mod decode;
mod encode;

pub(crate) use decode::decode_lanes;
pub(crate) use encode::{OpenLanes, encode_lanes};

/// Streams.
pub(crate) const LANES: usize = 32;
/// Bits of the longest code.
pub(crate) const LONGEST_CODE: u32 = 6;
/// Symbols that a lane has next to each other.
const GROUP: usize = 8;
/// Symbols of one group of every lane.
const BLOCK: usize = LANES * GROUP;
/// Registers that hold a lane in each of their eight elements.
#[cfg(target_arch = "x86_64")]
const REGISTERS: usize = LANES / 8;
