//! `lagdb generate`: text from a local model, token by token, with or without a memory.

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::serving;
use lagdb::agent::{
    Agent, Answer, Attempt, Capture, ChatModel, Decoding, Environment, EnvironmentError, Judge, LogUse, Policy, Recall,
    Recollection, ServedGenerator, Serving, Task, Verifier,
};
use lagdb::format::ElementType;
use lagdb::generate::{Admission, Date, Generator, LoadOptions, WeightPrecision, WeightsInfo};
use lagdb::{Database, Error, Judgment, Scope, Step};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sampling chooses among so many tokens.
const TOP_K: usize = 40;

/// What to generate.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Directory with config.json, safetensors and tokenizer.json, or a GGUF file; without it, the embedded demo model.
    #[arg(long)]
    model: Option<PathBuf>,
    /// What the model's matrices become.
    #[arg(long, value_enum, default_value_t = Precision::AsStored, requires = "model")]
    precision: Precision,
    /// The text to continue.
    #[arg(long)]
    prompt: String,
    /// Say the prompt as the user of a conversation, in the words of the model's chat template.
    #[arg(long, requires = "model")]
    chat: bool,
    /// The system's message of that conversation.
    #[arg(long, requires = "chat")]
    system: Option<String>,
    /// What day it is, such as 2026-11-22, for chat templates that say so.
    #[arg(long, requires = "chat")]
    date: Option<Date>,
    /// A database to remember in; created where there is none.
    #[arg(long)]
    db: Option<PathBuf>,
    /// Whose memory it is.
    #[arg(long, default_value = "default", requires = "db")]
    scope: String,
    /// KV logs to recall and attend to.
    #[arg(long, default_value_t = 1, requires = "db")]
    recall: usize,
    /// Measure first, on the nearest log: logs that are slower to load than their tokens to compute are computed.
    #[arg(long, requires = "db")]
    measure: bool,
    #[command(flatten)]
    serving: serving::Flags,
    /// What to look for in memory; without it, the prompt.
    #[arg(long, requires = "db")]
    query: Option<String>,
    /// Do not store this generation and its KV log.
    #[arg(long, requires = "db")]
    forget: bool,
    /// Most tokens to generate.
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// 0 takes the likeliest token; above, sample.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// How the matrices of a model are held.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Precision {
    /// Floats in f32, quantized tensors of a GGUF file as they are.
    AsStored,
    F32,
    /// 8.5 bits a number.
    #[value(name = "q8_0")]
    Q8,
    /// 4.5 bits a number.
    #[value(name = "q4_k")]
    Q4,
}

/// Generates and prints; with `--db`, attends to what it recalls and remembers what it did.
///
/// # Errors
/// A missing or unknown model file, a prompt over the context limit, a database that is damaged or open elsewhere.
pub fn run(options: &Options, output: Output) -> Outcome {
    if options.serving.by_pages() && options.db.is_none() {
        return Err(Error::invalid("--attach", "KV logs are recalled from a database: give --db").into());
    }
    if options.serving.by_pages() && options.measure {
        return Err(Error::invalid("--measure", "it measures rows and says nothing of --attach pages").into());
    }
    let generator = match &options.model {
        Some(path) => Generator::load_with(path, LoadOptions { precision: options.precision.into() })?,
        None => crate::demo::embedded_model()?,
    };
    output.say(generator.weights().to_string());
    let weights = weights(generator.weights());
    // Without --db the same loop runs over a memory that ends with the command.
    let database = match &options.db {
        Some(path) => options.serving.database().open(path)?,
        None => Database::in_memory()?,
    };
    let scope = database.scope(&options.scope)?;
    let mut prompt = PlainPrompt::new(options);
    let limit = if options.db.is_some() { options.recall } else { 0 };
    let agent = Agent::new(generator.clone(), scope.clone(), options.policy());
    let recollection = agent.recall(prompt.task(), Recall::KvLogs, limit, &[])?;
    for (id, field) in &recollection.foreign {
        output.say(format!("trajectory {id} was left out: its KV log was made by another model ({field} differs)"));
    }
    let admission = if options.measure { measured(&generator, options, &scope, &recollection, output)? } else { None };
    let kv_numbers = options.serving.kv_name(&generator);
    let agent = options.agent(generator, scope, admission.unwrap_or(Admission::ATTACH))?;
    let attempt = generate(&agent, &mut prompt, &recollection, output)?;
    for ((id, _), log) in recollection.hits.iter().zip(&attempt.logs) {
        if let Some(why) = log.why() {
            output.say(format!("the KV log of trajectory {id} was {}: {why}", log.name()));
        }
    }
    let remembered = if options.db.is_some() && !options.forget {
        let judgment = Verifier.judge(&mut prompt, &attempt)?;
        Some(agent.remember(prompt.task(), &attempt, &judgment, now_ms())?.as_u64())
    } else {
        None
    };
    let held = Held { weights, kv_numbers };
    report(&attempt, &recollection, admission, remembered, &held, output)
}

/// What attaching and computing cost here, by the nearest log; nothing where none was recalled.
fn measured(
    generator: &Generator,
    options: &Options,
    scope: &Scope,
    recollection: &Recollection,
    output: Output,
) -> Result<Option<Admission>, Failure> {
    let Some((id, _)) = recollection.hits.first() else { return Ok(None) };
    let gone = || Error::invalid("KV log", "it was removed while it was measured");
    let load = || scope.snapshot()?.kv_log(*id, generator.fingerprint())?.ok_or_else(gone);
    match Admission::measure(generator, options.serving.serving().kv_numbers, load) {
        Ok(admission) => Ok(Some(admission)),
        Err(error) => {
            output.say(format!("the KV log of trajectory {id} could not be measured with: {error}"));
            Ok(None)
        }
    }
}

/// As what numbers are held.
struct Held {
    weights: Value,
    kv_numbers: &'static str,
}

/// A recalled trajectory, and what became of its KV log.
fn recalled((id, score): (u64, f32), log: &LogUse) -> Value {
    let mut value = json!({ "trajectory": id, "score": score, "use": log.name() });
    if let Some(fidelity) = log.fidelity() {
        value["fidelity"] = json!(fidelity.name());
    }
    if let Some(why) = log.why() {
        value["why"] = json!(why);
    }
    value
}

/// As what the weights are held, and what could not be.
fn weights(info: &WeightsInfo) -> Value {
    let types: Vec<_> =
        info.types.iter().map(|share| json!({ "type": share.name, "matrices": share.n_matrices })).collect();
    let fallbacks: Vec<_> = info
        .fallbacks
        .iter()
        .map(|found| json!({ "tensor": found.tensor, "type": found.name, "width": found.n_in }))
        .collect();
    let requantized: Vec<_> = info
        .requantized
        .iter()
        .map(|found| json!({ "tensor": found.tensor, "was": found.was, "type": found.name }))
        .collect();
    json!({
        "parameters": info.n_parameters, "bytes": info.n_bytes, "types": types, "fallbacks": fallbacks,
        "requantized": requantized,
    })
}

fn generate(
    agent: &Agent,
    prompt: &mut PlainPrompt,
    recollection: &Recollection,
    output: Output,
) -> Result<Attempt, Failure> {
    let mut written = Ok(());
    let attempt = agent.solve_streaming(prompt, recollection, &mut |text| {
        if !output.json && written.is_ok() {
            let mut stdout = std::io::stdout().lock();
            written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        }
    })?;
    written?;
    Ok(attempt)
}

fn report(
    attempt: &Attempt,
    recollection: &Recollection,
    admission: Option<Admission>,
    remembered: Option<u64>,
    held: &Held,
    output: Output,
) -> Outcome {
    let peak = crate::memory::peak_rss_bytes();
    let ttft_ms = attempt.time_to_first_token.as_secs_f64() * 1e3;
    let hits = recollection.hits.iter().map(|(id, score)| (id.as_u64(), *score));
    let recalled: Vec<_> = hits.zip(&attempt.logs).map(|(hit, log)| recalled(hit, log)).collect();
    let admission = admission.map(|measured| {
        json!({
            "attach_s_per_number": measured.attach_s_per_number, "prefill_s_per_token": measured.prefill_s_per_token,
        })
    });
    let foreign: Vec<_> =
        recollection.foreign.iter().map(|(id, field)| json!({ "trajectory": id.as_u64(), "differs": field })).collect();
    let text = attempt.steps.last().map_or("", |step| step.action.as_str());
    output.print(String::new, || {
        json!({
            "schema": "lagdb.generate/1", "text": text, "recalled": recalled, "foreign": foreign, "admission": admission,
            "remembered": remembered, "attached_tokens": attempt.attached_tokens, "prefill_tokens": attempt.prefill_tokens,
            "ttft_ms": ttft_ms, "weights": held.weights, "kv_numbers": held.kv_numbers, "peak_rss_bytes": peak,
        })
    })?;
    output.say(format!(
        "{} prompt tokens, {} attached from {} KV logs, first token after {ttft_ms:.1} ms{}{}",
        attempt.prefill_tokens,
        attempt.attached_tokens,
        attempt.logs.iter().filter(|log| log.fidelity().is_some()).count(),
        peak.map_or_else(String::new, |bytes| format!(", at most {:.1} MB of memory", bytes as f64 / 1e6)),
        remembered.map_or_else(String::new, |id| format!(", remembered as trajectory {id}"))
    ));
    Ok(())
}

impl From<Precision> for WeightPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::AsStored => Self::AsStored,
            Precision::F32 => Self::F32,
            Precision::Q8 => Self::Q8_0,
            Precision::Q4 => Self::Q4K,
        }
    }
}

impl Options {
    /// Who generates: a log that cannot be attached costs no answer.
    fn agent(&self, generator: Generator, scope: Scope, admission: Admission) -> Result<Agent, Failure> {
        let serving = Serving { admission: Some(admission), ..self.serving.serving() };
        if !self.chat {
            return Ok(Agent::new(ServedGenerator::new(generator, serving), scope, self.policy()));
        }
        let model = ChatModel::new(generator)?.serving(serving);
        let model = self.date.into_iter().fold(model, ChatModel::date);
        let model = self.system.iter().fold(model, |model, text| model.system(text));
        Ok(Agent::new(model, scope, self.policy()))
    }

    fn policy(&self) -> Policy {
        let decoding = if self.temperature > 0.0 {
            Decoding { top_k: Some(TOP_K), ..Decoding::random(self.temperature, self.seed, self.max_new_tokens) }
        } else {
            Decoding::greedy(self.max_new_tokens)
        };
        Policy {
            decoding: Decoding { special: !self.chat, ..decoding },
            capture: Some(Capture { lead_in_tokens: 0, element: ElementType::F16 }),
            // Nobody judges plain generations, so none of them is a success; only failures would be left out.
            recall_outcome: None,
            ..Policy::default()
        }
    }
}

/// A prompt that nobody answers and nobody judges.
struct PlainPrompt(Task);

impl PlainPrompt {
    fn new(options: &Options) -> Self {
        let query = options.query.clone().unwrap_or_else(|| options.prompt.clone());
        Self(Task::new(options.prompt.clone()).query(query))
    }
}

impl Environment for PlainPrompt {
    fn task(&self) -> &Task {
        &self.0
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        Ok(self.0.name.clone())
    }

    fn step(&mut self, _: &str) -> Result<Answer, EnvironmentError> {
        Ok(Answer::end(""))
    }

    fn verify(&mut self, _: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        Ok(None)
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
