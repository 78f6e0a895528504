//! Replays the kept corpus on a stable compiler: what fuzzing once reached stays reached, and stays right.

// The bodies are a workspace of their own, as cargo-fuzz wants it.
#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public in their own crate")]
mod bodies;

use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_is_replayed() {
    for (name, target) in bodies::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut n_inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            target(&fs::read(entry.unwrap().path()).unwrap());
            n_inputs += 1;
        }
        assert!(n_inputs > 0, "{name} has a corpus");
    }
}

#[test]
fn the_golden_segments_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("format/tests/golden");
    for entry in fs::read_dir(folder).unwrap() {
        bodies::segment_read(&fs::read(entry.unwrap().path()).unwrap());
    }
}
