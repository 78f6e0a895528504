//! Ctrl-C asks long work to stop at the next commit; a second Ctrl-C stops at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Starts listening for Ctrl-C and termination.
pub(crate) fn listen() {
    INSTALLED.get_or_init(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        };
        // Without a handler Ctrl-C ends the process at once, which is safe too: commits are atomic.
        let _ = ctrlc::set_handler(handler);
    });
}

/// Whether somebody asked to stop.
pub(crate) fn requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
