//! Keeping a database well: verify every byte, compact, count.
