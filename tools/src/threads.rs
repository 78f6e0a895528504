//! How many threads candle uses for one product; said before the first thread starts.
//!
//! Without `RAYON_NUM_THREADS` candle looks the number up before every product, which costs more than a product of the
//! demo model; and its pool takes turns badly with threads of ours. So the command always says a number.

use crate::commands::Command;

const VARIABLE: &str = "RAYON_NUM_THREADS";

/// Says the number that suits `command`, unless the user said one.
pub fn settle(command: &Command) {
    if std::env::var_os(VARIABLE).is_none() {
        say(&n_threads(command).to_string());
    }
}

/// The demo and the trainer work on small products, several tasks at once; a single generation has all cores, and so has each of many.
fn n_threads(command: &Command) -> usize {
    match command {
        Command::Generate(_) => cores(),
        Command::Learn(options) if options.speaks_with_a_large_model() => cores(),
        _ => 1,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[allow(unsafe_code, reason = "the only way to tell candle")]
fn say(number: &str) {
    // SAFETY: `main` calls this before it starts a thread, so nothing reads the environment at the same time.
    unsafe { std::env::set_var(VARIABLE, number) }
}
