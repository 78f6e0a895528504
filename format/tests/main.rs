//! What the segment format promises, one promise per file.

mod a_log_says_what_it_is;
mod damage_is_found;
mod every_version_stays_readable;
mod exponent_huffman_is_as_described;
mod format_md_says_what_the_code_does;
mod keys_are_scored_again;
mod levels_serve_any_reader;
#[cfg(feature = "safetensors")]
mod logs_travel_as_safetensors;
mod lossy_pages_say_how_far_off_they_are;
mod pages_can_be_skipped;
mod plans_keep_their_budget;
mod reads_back_what_was_written;
mod some_tokens_are_read_alone;
mod support;
