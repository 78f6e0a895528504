//! The generator: one decoder described by data, whose layers attend to stored KV logs.
