//! A segment: `header · row group* · footer · tail`, written once and never changed.
//!
//! Writing goes through [`SegmentWriter`]; reading through [`Segment`] when all bytes are at hand, or through
//! [`Footer`] and [`KvLogView`] when ranges are read. One file per structure of FORMAT.md.

mod address;
mod bytes;
mod directory;
mod dump;
mod footer;
mod grid;
mod header;
mod identity;
mod key_summary;
mod layout;
mod out;
mod page;
mod reader;
mod reseal;
mod sections;
mod tail;
mod view;
mod writer;

pub use bytes::Bytes;
pub(crate) use directory::are_distinct;
pub use directory::{DIRECTORY_SECTIONS, PAGE_ENTRY_BYTES};
pub use dump::{Dump, DumpedField, dump};
pub use footer::{FOOTER_SECTIONS, Footer, RowGroup, RowGroupIndex};
pub use grid::Part;
pub use key_summary::{KeySummary, ScoresInPlace};
pub use layout::{
    ALIGNMENT, END_MAGIC, FIRST_VERSION, HEADER_BYTES, MAGIC, MAX_LAYERS, MAX_PAGE_BYTES, TAIL_BYTES,
    TARGET_PAGE_BYTES, VERSION,
};
pub use out::Out;
pub use reader::{Segment, Verification};
#[doc(hidden)]
pub use reseal::reseal;
pub use sections::SECTION_ENTRY_BYTES;
pub use tail::FooterRange;
pub use view::{KvLogView, PageBounds, PageInfo, PageNumbers, PageSummary, Precision};
pub use writer::SegmentWriter;
