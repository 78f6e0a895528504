//! What the segment format promises, one promise per file.

mod reads_back_what_was_written;
mod support;
