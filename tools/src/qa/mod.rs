//! `lagdb learn --env qa`: what a memory of its own answers is worth to a model of yours, question by question.
//!
//! The model answers every question once without a memory, and remembers what it answered (`memory`); recalled is what was
//! right. Then every question that is asked in a split is put again under every arm, with what may be recalled in that split (`ask`). A split as
//! published may share facts between its sides; beside it stands one that shares none (`splits`), and beside every memory its
//! control: the same kind of memory, recalled for another question. `copy_nearest` answers with the published answer of the
//! nearest remembered question and asks no model.
//!
//! With `--out` and `--resume` no question is asked twice; what was remembered is kept where `--db` names a place for it, and
//! otherwise answered again, alike.
//!
//! Files are those of [`questions`](crate::questions), or JSON lines of `{question, answer, context?}`. Two files are what is
//! remembered and what is asked; of one file a third is asked.
//!
//! Log-Augmented Generation, <https://arxiv.org/abs/2505.14398>.

mod arm;
mod ask;
mod asking;
mod case;
mod memory;
mod report;
mod speaker;
mod splits;
#[cfg(test)]
mod tests;

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::journal::Journal;
use crate::learn;
use crate::output::Output;
use crate::questions::question::{self, Question};
use crate::replay;
use crate::world::Rng;
use arm::Arm;
use ask::Asker;
use case::{Case, CaseKey};
use lagdb::agent::LanguageModel;
use lagdb::format::Digest;
use lagdb::{Database, Embedding, Error, LexicalEmbedder};
use memory::{Alone, Parts};
use report::Report;
use serde_json::{Value, json};
use speaker::Speaker;
use splits::Split;

/// The most draws of a split: each is a label of what is remembered in it.
const MOST_SEEDS: u64 = 32;
/// The control that asks no model.
const COPY: &str = "copy_nearest";

/// Remembers, asks and prints.
///
/// # Errors
/// [`Failure::Input`] for a file that holds no questions; when the model cannot be read, or takes no KV logs and an arm needs
/// them; when the database or the journal cannot be written; on Ctrl-C, [`Failure::Interrupted`].
pub fn run(files: &replay::Options, options: &learn::Options, output: Output) -> Outcome {
    interrupt::listen();
    let model = options.model.as_deref().ok_or_else(|| {
        Error::invalid("--model", "a directory or a GGUF file of a supported model is needed: nobody else answers")
    })?;
    let report = measured(files, options, &Speaker::load(model)?, output)?;
    Ok(output.print(|| report.text(), || report.json())?)
}

fn measured(
    files: &replay::Options,
    options: &learn::Options,
    speaker: &Speaker,
    output: Output,
) -> Result<Report, Failure> {
    if !(1..=MOST_SEEDS).contains(&options.seeds) {
        return Err(Error::invalid("--seeds", format!("{} is not 1 to {MOST_SEEDS}", options.seeds)).into());
    }
    if options.first_seed == 0 {
        return Err(Error::invalid("--first-seed", "0 is not a seed").into());
    }
    let arms = arms(&options.arms, speaker)?;
    let (questions, n_first) = read(files)?;
    let seeds: Vec<u64> = (0..options.seeds).map(|n| options.first_seed.saturating_add(n)).collect();
    let splits = splits::splits(&questions, n_first, &seeds);
    let run = run_of(&questions, n_first, &seeds, speaker);
    let journal = match &options.out {
        Some(path) => Journal::open(path, options.resume, &run)?,
        None => Journal::in_memory(),
    };
    let parts = Parts {
        logs: arms.iter().any(|arm| arm.memory.has_logs()),
        lessons: arms.iter().any(|arm| arm.memory.has_lessons()),
    };
    let directory = tempfile::tempdir()?;
    let database = Database::open(files.db.clone().unwrap_or_else(|| directory.path().join("qa.lagdb")))?;
    // Whoever goes on in a database goes on with what is the same run with the same parts of a memory.
    let scope = Digest::of("lagdb qa", &[run.to_string().as_bytes(), format!("{parts:?}").as_bytes()]).to_string();
    let scope = database.scope(&format!("qa {}", scope.get(..16).unwrap_or(&scope)))?;
    let labelled: Vec<(Question, Vec<String>)> =
        questions.iter().cloned().enumerate().map(|(place, question)| (question, labels(&splits, place))).collect();
    let answers = memory::live(&scope, speaker, &labelled, parts, output)?;
    let asking = Asking { questions: &questions, answers: &answers, arms: &arms, speaker, journal: &journal };
    asking.all(&splits, &scope, output)?;
    Ok(Report::new(&questions, &answers, &splits, &arms, speaker.identity(), journal.into_found()))
}

/// The arms by name; all that the model can take if none is said.
fn arms(names: &[String], speaker: &Speaker) -> Result<Vec<Arm>, Failure> {
    let takes_logs = speaker.fingerprint().is_some();
    if names.is_empty() {
        return Ok(Arm::ALL.into_iter().filter(|arm| takes_logs || !arm.memory.has_logs()).collect());
    }
    let named = |name: &String| {
        let known = || Arm::ALL.iter().map(|arm| arm.name).collect::<Vec<_>>().join(", ");
        let arm =
            Arm::named(name).ok_or_else(|| Error::invalid("--arms", format!("{name:?} is none of {}", known())))?;
        match arm.memory.has_logs() && !takes_logs {
            true => Err(Error::KvLogsUnsupported { model: speaker.identity() }.into()),
            false => Ok(arm),
        }
    };
    names.iter().map(named).collect()
}

/// All questions, and how many of them stood in the first of two files.
fn read(files: &replay::Options) -> Result<(Vec<Question>, Option<usize>), Failure> {
    match files.files.as_slice() {
        [one] => Ok((question::read(one)?, None)),
        [remembered, asked] => {
            let (mut all, asked) = (question::read(remembered)?, question::read(asked)?);
            let n_first = all.len();
            all.extend(asked);
            Ok((all, Some(n_first)))
        }
        files => {
            let detail = format!("{} given; one is needed, or two: what is remembered, and what is asked", files.len());
            Err(Error::invalid("--tasks", detail).into())
        }
    }
}

/// What tells this run from others.
fn run_of(questions: &[Question], n_first: Option<usize>, seeds: &[u64], speaker: &Speaker) -> Value {
    let texts: Vec<String> = questions.iter().map(|question| format!("{question:?}")).collect();
    let digest = Digest::of("lagdb questions", &texts.iter().map(String::as_bytes).collect::<Vec<_>>()).to_string();
    json!({
        "schema": "lagdb.qa.journal/1", "version": env!("CARGO_PKG_VERSION"), "model": speaker.identity(),
        "questions": digest, "remembered": n_first, "seeds": seeds,
    })
}

/// In which splits a question may be recalled.
fn labels(splits: &[Split], place: usize) -> Vec<String> {
    let remembers = |split: &&Split| split.remembered.binary_search(&place).is_ok();
    splits.iter().filter(remembers).map(|split| split.label.clone()).collect()
}

/// All that asking needs.
struct Asking<'a> {
    questions: &'a [Question],
    answers: &'a [Alone],
    arms: &'a [Arm],
    speaker: &'a Speaker,
    journal: &'a Journal<Case>,
}

impl Asking<'_> {
    /// Asks what is not in the journal yet.
    fn all(&self, splits: &[Split], scope: &lagdb::Scope, output: Output) -> Result<(), Failure> {
        let n_cases: usize = splits.iter().map(|split| split.asked.len() * (self.arms.len() + 1)).sum();
        let bar = output.progress(n_cases as u64, "asking");
        let embedder = LexicalEmbedder::default();
        let embeddings: Vec<Embedding> = self.questions.iter().map(|question| embedder.embed(&question.text)).collect();
        for split in splits {
            let asker = Asker { scope, speaker: self.speaker, split };
            for &place in &split.asked {
                let Some(question) = self.questions.get(place) else { continue };
                self.note(split, place, COPY, || {
                    Ok(Case::default().answered(question, self.copied(split, place, &embeddings).to_owned()))
                })?;
                bar.inc(1);
                for arm in self.arms {
                    if interrupt::requested() {
                        let kept = "what was answered is in the journal, if --out names one";
                        return Err(Failure::Interrupted(kept.to_owned()));
                    }
                    let alone = self.answers.get(place).filter(|_| arm.memory == arm::Memory::Nothing);
                    self.note(split, place, arm.name, || match alone {
                        Some(alone) => Ok(ask::alone(question, alone)),
                        None => asker.ask(*arm, question, self.query(*arm, split, place)),
                    })?;
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn note(
        &self,
        split: &Split,
        question: usize,
        arm: &str,
        case: impl FnOnce() -> Result<Case, Failure>,
    ) -> Result<(), Failure> {
        let key = CaseKey { split: split.name.to_owned(), seed: split.seed, arm: arm.to_owned(), question };
        if self.journal.get(&key, |_| ()).is_some() {
            return Ok(());
        }
        self.journal.note(Case { key, ..case()? })
    }

    /// What is looked for: the question itself, or in a control one of those remembered, drawn by the seed.
    fn query(&self, arm: Arm, split: &Split, place: usize) -> &str {
        let mut rng = Rng::new(split.seed ^ (place as u64) << 32);
        let place = match arm.is_relevant || split.remembered.is_empty() {
            true => place,
            false => split.remembered.get(rng.below(split.remembered.len())).copied().unwrap_or(place),
        };
        self.questions.get(place).map_or("", |question| question.text.as_str())
    }

    /// The published answer of the nearest question that is remembered.
    fn copied(&self, split: &Split, place: usize, embeddings: &[Embedding]) -> &str {
        let Some(asked) = embeddings.get(place) else { return "" };
        let near = |other: &usize| embeddings.get(*other).and_then(|it| it.similarity(asked).ok()).unwrap_or(-1.0);
        let nearest = split.remembered.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        nearest.and_then(|nearest| self.questions.get(*nearest)).map_or("", Question::answer)
    }
}
