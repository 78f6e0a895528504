//! Whether the model reads what a past success showed: from the KV log that was kept when the attempt was judged, and from
//! the same words as text.
//!
//! Every task has two logs of two steps each, in random order; one of the four steps is about the subgoal that is asked for.

use super::evaluate::round;
use super::student::Student;
use crate::tool_choice::{Choice, ToolTask, Word, any_tool, sample};
use crate::train::TrainError;
use crate::train::loss::memory_of;
use crate::train::model::Kv;
use crate::world::Rng;
use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;
use serde_json::{Value, json};

/// `<bos> task SITE subgoal subgoal act`: what stands before a log where it was computed.
const BEFORE: usize = 6;
/// Two steps, `judge success`.
const LOG: usize = 10;

struct Case {
    /// The logs with what stood before them.
    sources: [Vec<Word>; 2],
    /// The prompt of the task, up to the subgoal.
    prompt: Vec<Word>,
    right: Word,
}

/// The probability of the tool that worked, in percent of 1, by how the logs are given.
pub(super) fn logs(student: Student<'_>, seed: u64, n: usize) -> Result<Value, TrainError> {
    let mut rng = Rng::new(seed);
    let cases: Vec<Case> = (0..n).map(|_| Case::draw(&mut rng)).collect();
    let (mut none, mut text, mut kv) = (0.0, 0.0, 0.0);
    for cases in cases.chunks(100) {
        let prompts: Vec<&[Word]> = cases.iter().map(|case| case.prompt.as_slice()).collect();
        let told: Vec<Vec<Word>> = cases.iter().map(|case| [case.logs(), case.prompt.clone()].concat()).collect();
        let sources: Vec<&[Word]> = cases.iter().flat_map(|case| &case.sources).map(Vec::as_slice).collect();
        let pass = student.model.forward(&student.rows(&sources)?, None)?;
        let memory = memory_of(&pass, BEFORE..BEFORE + LOG, cases.len())?;
        none += mass(student, cases, &student.rows(&prompts)?, None)?;
        text += mass(student, cases, &student.rows(&told.iter().map(Vec::as_slice).collect::<Vec<_>>())?, None)?;
        kv += mass(student, cases, &student.rows(&prompts)?, Some(&memory))?;
    }
    let share = |sum: f64| round(sum / n as f64);
    Ok(json!({"n": n, "none": share(none), "text": share(text), "kv": share(kv)}))
}

impl Case {
    fn draw(rng: &mut Rng) -> Self {
        let site = sample(Word::sites(), 1, rng)[0];
        let subgoals = sample(Word::subgoals(), 4, rng);
        let steps: Vec<Choice> =
            subgoals.iter().map(|&subgoal| Choice { subgoal, tool: any_tool(rng), page: subgoal }).collect();
        let source = |steps: &[Choice]| {
            let subgoals = steps.iter().map(|step| step.subgoal).collect();
            let mut words = ToolTask { site, subgoals }.judge_prompt(steps);
            words.push(Word::SUCCESS);
            words
        };
        let asked = rng.pick(&steps);
        let prompt = ToolTask { site, subgoals: vec![asked.subgoal] }.act_prompt(&[], &[]);
        Self { sources: [source(&steps[..2]), source(&steps[2..])], prompt, right: asked.tool }
    }

    fn logs(&self) -> Vec<Word> {
        self.sources.iter().flat_map(|source| &source[BEFORE..]).copied().collect()
    }
}

/// The sum over cases of the probability of the right tool after the last word.
fn mass(student: Student<'_>, cases: &[Case], tokens: &Tensor, memory: Option<&[Kv]>) -> Result<f64, TrainError> {
    let (n, len) = tokens.dims2()?;
    let last: Vec<u32> = (1..=n).map(|row| (row * len - 1) as u32).collect();
    let hidden =
        student.model.forward(tokens, memory)?.hidden.index_select(&Tensor::from_vec(last, n, &Device::Cpu)?, 0)?;
    let shares = softmax(&student.model.logits(&hidden)?, D::Minus1)?.to_vec2::<f32>()?;
    Ok(shares.iter().zip(cases).map(|(shares, case)| f64::from(shares[student.tokens.of(case.right) as usize])).sum())
}
