//! The generator beside llama.cpp: `cargo bench --manifest-path benches/peers/Cargo.toml --bench generate -- --json`.
//!
//! Both read the same GGUF file of random weights at the geometry of Qwen3-0.6B. One thread, CPU seconds of each engine's
//! process, medians of rounds in which both take turns. Parts on the command line (`-- q8_0`) run only those. The most memory held
//! is that of one model: a child writes the files, and each model has a llama.cpp of its own.

#[path = "../../report.rs"]
mod report;

mod attach;
mod llama;
mod model;
mod speed;

use candle_core::quantized::GgmlDType;
use lagdb_peers::BenchResult;
use llama::Llama;
use report::Row;
use std::path::Path;
use std::process::Command;

/// The file that this process is to write a model to, and nothing else: who measures has not held what writing takes.
const FILE_TO_WRITE: &str = "LAGDB_PEERS_FILE_TO_WRITE";

const MODELS: [(&str, &str, GgmlDType); 2] = [("q8_0", "Q8_0", GgmlDType::Q8_0), ("q4_k", "Q4_K", GgmlDType::Q4K)];

fn main() -> BenchResult<()> {
    one_thread();
    if let Some(file) = std::env::var_os(FILE_TO_WRITE) {
        let asked = MODELS.iter().find(|(part, ..)| report::is_wanted(part));
        return asked.map_or(Ok(()), |(_, _, dtype)| model::write(Path::new(&file), *dtype));
    }
    let (mut rows, mut absent) = (Vec::new(), Vec::new());
    let directory = tempfile::tempdir()?;
    for (part, name, _) in MODELS {
        if !report::is_wanted(part) {
            continue;
        }
        let file = directory.path().join(format!("{part}.gguf"));
        written_by_a_child(part, &file)?;
        forget_peak_memory();
        let generator = lagdb::generate::Generator::load(&file)?;
        // A process for each model, so that its peak is that of this model.
        let mut llama = Llama::start();
        llama.load(&file)?;
        std::fs::remove_file(&file)?;
        rows.extend(speed::rows(name, &generator, &mut llama)?);
        rows.extend(attach::rows(name, &generator, &mut llama)?);
        let peers = vec![("llama.cpp", llama.memory()?)];
        rows.push(Row { name: format!("{name}: most memory held"), peers, ..report::memory() });
        llama.unload()?;
        absent = llama.absent;
    }
    report::print_with(&rows, &absent);
    Ok(())
}

fn written_by_a_child(part: &str, file: &Path) -> BenchResult<()> {
    let status = Command::new(std::env::current_exe()?).arg(part).env(FILE_TO_WRITE, file).status()?;
    if status.success() { Ok(()) } else { Err(format!("the model {part} was not written: {status}").into()) }
}

/// What was held before does not count any more; where the system knows no such thing, the peak is that of all models.
fn forget_peak_memory() {
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("the most memory held is that of all models so far");
    }
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
