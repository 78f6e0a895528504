//! What a KV log saves: attaching it against computing its source context again.
//!
//! Both ways end with the first token of an answer to the same prompt. The log comes from a database on disk, closed
//! and opened again, in the default encoding; both encodings stand beside it. CPU time of the whole process,
//! so that a busy machine does not decide.

mod report;

use lagdb::format::{ElementType, Encoding, KvLog};
use lagdb::generate::{Generator, ModelConfig, Sampling, Selection, SessionOptions, WeightPrecision};
use lagdb::{Database, Id, KvStorage, Scope, Trajectory};
use report::{Row, cpu, median};
use std::ops::ControlFlow;

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

/// Qwen3-0.6B but for its vocabulary: the embedding table takes no part in what is measured.
const QWEN3_06B: &str = r#"{
    "model_type": "qwen3", "vocab_size": 1024, "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 40960,
    "tie_word_embeddings": true, "attention_bias": false, "hidden_act": "silu"
}"#;

fn main() -> BenchResult<()> {
    let demo = Generator::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/demo-model/kv"))?;
    let mut rows = compare("demo model", &demo, Sizes { context: 60, log: 7, prompt: 36, rounds: 51 })?;
    let qwen = Generator::random(
        ModelConfig::from_json(QWEN3_06B.as_bytes(), "config.json".as_ref())?,
        1,
        WeightPrecision::F32,
    )?;
    rows.extend(compare("Qwen3-0.6B geometry", &qwen, Sizes { context: 2048, log: 2048, prompt: 16, rounds: 3 })?);
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
}

/// Token ids of a made-up text.
fn tokens(n: usize, vocab: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919 + 13) % vocab) as u32).collect()
}

/// The KV log of the last `n_log` tokens of a context.
fn captured(generator: &Generator, context: &[u32], n_log: usize) -> BenchResult<KvLog> {
    let mut session = generator.session(SessionOptions::default())?;
    session.feed(context)?;
    Ok(session.capture(Selection::Tokens(context.len() - n_log..context.len()), ElementType::F16)?)
}

/// A database with one KV log, closed and opened again.
fn stored(
    log: &KvLog,
    encoding: Option<Encoding>,
    directory: &std::path::Path,
) -> BenchResult<(Database, Scope, Id<Trajectory>)> {
    let path = directory.join(encoding.map_or("default.lagdb", Encoding::name));
    let options = encoding.into_iter().map(KvStorage::Encoding).fold(Database::options(), lagdb::Options::kv_storage);
    let id = {
        let scope = options.open(&path)?.scope("bench")?;
        let mut tx = scope.begin()?;
        let id = tx.put(&Trajectory::new("context"))?;
        tx.put_kv_log(id, log)?;
        tx.commit()?;
        id
    };
    let database = Database::open(&path)?;
    let scope = database.scope("bench")?;
    Ok((database, scope, id))
}

/// Tokens of a comparison, and how often it is repeated.
struct Sizes {
    context: usize,
    /// The last tokens of the context, which become the log.
    log: usize,
    prompt: usize,
    rounds: usize,
}

fn compare(name: &str, generator: &Generator, sizes: Sizes) -> BenchResult<Vec<Row>> {
    let Sizes { context: n_context, log: n_log, prompt: n_prompt, rounds } = sizes;
    let vocab = generator.config().vocab_size;
    let (context, prompt) = (tokens(n_context, vocab), tokens(n_prompt, vocab));
    let directory = tempfile::tempdir()?;
    let log = captured(generator, &context, n_log)?;
    let stored_log = stored(&log, None, directory.path())?;
    let plain = stored(&log, Some(Encoding::Plain), directory.path())?;
    let lossless = stored(&log, Some(Encoding::ExponentHuffman), directory.path())?;
    drop(log);
    let mut times: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        times[0].push(cpu(|| prefill(generator, &context, &[])).0 * 1e3);
        for (times, (_, scope, id)) in times[1..4].iter_mut().zip([&stored_log, &plain, &lossless]) {
            times.push(cpu(|| attach(generator, scope, *id, &[])).0 * 1e3);
        }
        let (seconds, token) = cpu(|| prefill(generator, &context, &prompt));
        times[4].push(seconds * 1e3);
        let (seconds, same) = cpu(|| attach(generator, &stored_log.1, stored_log.2, &prompt));
        times[5].push(seconds * 1e3);
        assert_eq!(token?.is_some(), same?.is_some(), "both answer");
    }
    let [prefill, attach, plain, lossless, prefill_ttft, ttft] = times.map(median);
    let row = |what: String, unit, better: bool, lagdb, peers, goal| Row {
        name: format!("{name}: {what}"),
        unit,
        higher_is_better: better,
        lagdb,
        peers,
        goal,
    };
    Ok(vec![
        row(
            format!("attach {n_log} of {n_context} tokens, f16"),
            "CPU ms",
            false,
            attach,
            vec![("prefill", prefill), ("attach plain", plain), ("attach exponent_huffman", lossless)],
            None,
        ),
        row(
            format!("prefill {n_context} / attach {n_log} tokens"),
            "x",
            true,
            prefill / attach,
            Vec::new(),
            Some(50.0),
        ),
        row(
            format!("first token, {n_context} context + {n_prompt} prompt"),
            "CPU ms",
            false,
            ttft,
            vec![("prefill", prefill_ttft)],
            None,
        ),
    ])
}

/// Computes context and prompt; the first token if there is a prompt.
fn prefill(generator: &Generator, context: &[u32], prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    let mut session = generator.session(SessionOptions { capture: false, ..SessionOptions::default() })?;
    session.feed(context)?;
    first_token(&mut session, prompt)
}

/// Reads the log from the database and attaches it, then computes the prompt; the first token if there is a prompt.
fn attach(generator: &Generator, scope: &Scope, id: Id<Trajectory>, prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    let log = scope.snapshot()?.kv_log(id, generator.fingerprint())?;
    let log = log.ok_or_else(|| lagdb::Error::invalid("KV log", "it was not stored"))?;
    let mut session = generator.session(SessionOptions { capture: false, ..SessionOptions::default() })?;
    session.attach(&log)?;
    first_token(&mut session, prompt)
}

fn first_token(session: &mut lagdb::generate::Session, prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    if prompt.is_empty() {
        return Ok(None);
    }
    let response = session.generate(prompt, &Sampling::greedy(1), |_| ControlFlow::Continue(()))?;
    Ok(response.token_ids.first().copied())
}
