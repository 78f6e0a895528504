//! The generator beside llama.cpp: `cargo bench --manifest-path benches/peers/Cargo.toml --bench generate -- --json`.
//!
//! Both read the same GGUF file of random weights at the geometry of Qwen3-0.6B. One thread, CPU seconds of each engine's
//! process, medians of rounds in which both take turns. Parts on the command line (`-- q8_0`) run only those.

#[path = "../../report.rs"]
mod report;

mod attach;
mod llama;
mod model;
mod speed;

use candle_core::quantized::GgmlDType;
use lagdb_peers::BenchResult;
use llama::Llama;

fn main() -> BenchResult<()> {
    one_thread();
    let mut llama = Llama::start();
    let mut rows = Vec::new();
    let directory = tempfile::tempdir()?;
    for (part, name, dtype) in [("q8_0", "Q8_0", GgmlDType::Q8_0), ("q4_k", "Q4_K", GgmlDType::Q4K)] {
        if !report::is_wanted(part) {
            continue;
        }
        let file = directory.path().join(format!("{part}.gguf"));
        model::write(&file, dtype)?;
        let generator = lagdb::generate::Generator::load(&file)?;
        llama.load(&file)?;
        std::fs::remove_file(&file)?;
        rows.extend(speed::rows(name, &generator, &mut llama)?);
        rows.extend(attach::rows(name, &generator, &mut llama)?);
        llama.unload()?;
    }
    rows.push(report::memory());
    report::print_with(&rows, &llama.absent);
    Ok(())
}

/// candle asks for the number of threads once, before its first product; a bench that was started otherwise starts itself
/// again.
fn one_thread() {
    let settings = [("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")];
    if settings.iter().all(|(name, value)| std::env::var(name).is_ok_and(|set| set == *value)) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let status = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(settings).status();
    std::process::exit(status.ok().and_then(|status| status.code()).unwrap_or(1));
}
