//! The generator beside llama.cpp: `cargo bench --manifest-path benches/peers/Cargo.toml --bench generate -- --json`.
//!
//! Both read the same GGUF file of random weights at the geometry of Qwen3-0.6B. One thread each, or `LAGDB_PEERS_THREADS`; CPU
//! seconds of each engine's process and seconds of the clock, medians of rounds in which both take turns. Parts on the command
//! line (`-- q8_0`) run only those. The most memory held is that of a process that loads the model, computes 2,048 tokens and
//! generates 16.

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
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The file that this process is to write a model to, and nothing else.
const FILE_TO_WRITE: &str = "LAGDB_PEERS_FILE_TO_WRITE";
/// The file whose model this process is to serve, to see how much memory that takes.
const FILE_TO_SERVE: &str = "LAGDB_PEERS_FILE_TO_SERVE";
/// How many threads each engine has.
const THREADS: &str = "LAGDB_PEERS_THREADS";

const MODELS: [(&str, &str, GgmlDType); 2] = [("q8_0", "Q8_0", GgmlDType::Q8_0), ("q4_k", "Q4_K", GgmlDType::Q4K)];

fn main() -> BenchResult<()> {
    let n_threads = std::env::var(THREADS).map_or(Ok(1), |n| n.parse())?;
    with_threads(n_threads);
    if let Some(file) = std::env::var_os(FILE_TO_SERVE) {
        speed::serve(&lagdb::generate::Generator::load(file)?)?;
        report::print(&[report::memory()]);
        return Ok(());
    }
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
        child(part, FILE_TO_WRITE, &file)?;
        let served: Value = serde_json::from_slice(&child(part, FILE_TO_SERVE, &file)?)?;
        let served = served["rows"][0]["lagdb"].as_f64().unwrap_or(f64::NAN);
        let generator = lagdb::generate::Generator::load(&file)?;
        // A process for each model, so that its peak is that of this model.
        let mut llama = Llama::start();
        llama.load(&file, n_threads)?;
        std::fs::remove_file(&file)?;
        rows.extend(speed::rows(name, &generator, &mut llama)?);
        let peers = vec![("llama.cpp", llama.memory()?)];
        rows.push(Row { name: format!("{name}: most memory held"), lagdb: served, peers, ..report::memory() });
        rows.extend(attach::rows(name, &generator, &mut llama)?);
        llama.unload()?;
        absent = llama.absent;
    }
    report::print_with(&rows, &absent);
    Ok(())
}

/// What this program says when it runs for one thing only.
fn child(part: &str, what: &str, file: &Path) -> BenchResult<Vec<u8>> {
    let child = Command::new(std::env::current_exe()?).args([part, "--json"]).env(what, file).output()?;
    if child.status.success() {
        return Ok(child.stdout);
    }
    Err(format!("{what} {part}: {}: {}", child.status, String::from_utf8_lossy(&child.stderr)).into())
}

/// candle asks for the number of threads once, before its first product; a bench that was started otherwise starts itself
/// again.
fn with_threads(n_threads: usize) {
    let n = n_threads.to_string();
    let settings = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"].map(|name| (name, n.as_str()));
    if settings.iter().all(|(name, value)| std::env::var(name).is_ok_and(|set| set == *value)) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let status = Command::new(program).args(std::env::args_os().skip(1)).envs(settings).status();
    std::process::exit(status.ok().and_then(|status| status.code()).unwrap_or(1));
}
