//! Whether the model repeats what its own earlier attempts refuted: five attempts at each of many tasks, sampled at
//! temperature 1, without any items.

use super::student::Student;
use crate::tool_choice::{Choice, Knowledge, ToolTask, Word, any_tool, page, sample};
use crate::train::TrainError;
use crate::world::Rng;
use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;
use serde_json::{Value, json};

const N_ATTEMPTS: usize = 5;
const N_SUBGOALS: usize = 2;

/// Choices of one attempt, over all tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Choices where something was refuted before and nothing had shown the right page.
    pub(crate) n_refuted: usize,
    pub(crate) n_repeated: usize,
    /// Choices where a tool had shown the right page and was never refuted.
    n_shown: usize,
    n_reused: usize,
    /// Words said that are no tools.
    n_other: usize,
}

struct Tried {
    task: ToolTask,
    right: Vec<Word>,
    attempts: Vec<Vec<Choice>>,
}

/// Counts, attempt by attempt, over `n` tasks.
pub(crate) fn retries(student: Student<'_>, seed: u64, n: usize) -> Result<Vec<Counts>, TrainError> {
    let mut rng = Rng::new(seed);
    let mut tried: Vec<Tried> = (0..n).map(|_| Tried::draw(&mut rng)).collect();
    let mut counts = Vec::new();
    for _ in 0..N_ATTEMPTS {
        let mut of_attempt = Counts::default();
        let mut now: Vec<Vec<Choice>> = vec![Vec::new(); n];
        for nth in 0..N_SUBGOALS {
            let rows: Vec<Vec<Word>> = tried.iter().zip(&now).map(|(tried, now)| tried.prompt(now)).collect();
            for (i, tool) in sampled(student, &rows, &mut rng)?.into_iter().enumerate() {
                let tool = of_attempt.note(&tried[i], nth, tool, &mut rng);
                let subgoal = tried[i].task.subgoals[nth];
                let right = tool == tried[i].right[nth];
                now[i].push(Choice { subgoal, tool, page: page(subgoal, right, &mut rng) });
            }
        }
        tried.iter_mut().zip(now).for_each(|(tried, now)| tried.attempts.push(now));
        counts.push(of_attempt);
    }
    Ok(counts)
}

impl Tried {
    fn draw(rng: &mut Rng) -> Self {
        let site = sample(Word::sites(), 1, rng)[0];
        let task = ToolTask { site, subgoals: sample(Word::subgoals(), N_SUBGOALS, rng) };
        Self { task, right: (0..N_SUBGOALS).map(|_| any_tool(rng)).collect(), attempts: Vec::new() }
    }

    /// All that was said so far, up to the subgoal of the next choice.
    fn prompt(&self, now: &[Choice]) -> Vec<Word> {
        let site = self.task.site;
        let mut words = self.task.act_prompt(&[], &self.attempts);
        for (choice, next) in now.iter().zip(self.task.subgoals.iter().skip(1)) {
            words.extend([choice.tool, choice.page, site, *next]);
        }
        words
    }
}

impl Counts {
    /// Counts a choice and returns the tool that was chosen; for a word that is no tool, any.
    fn note(&mut self, tried: &Tried, nth: usize, word: Word, rng: &mut Rng) -> Word {
        let mut known = Knowledge::default();
        tried.attempts.iter().for_each(|attempt| known.see(attempt[nth]));
        let Some(number) = word.tool_number() else {
            self.n_other += 1;
            return any_tool(rng);
        };
        let shown = known.works.numbers().any(|tool| !known.fails.contains(tool));
        if shown {
            self.n_shown += 1;
            self.n_reused += usize::from(known.allowed().contains(number));
        } else if !known.fails.is_empty() && known.works.is_empty() {
            self.n_refuted += 1;
            self.n_repeated += usize::from(known.fails.contains(number));
        }
        word
    }

    pub(crate) fn json(self) -> Value {
        let share = |k: usize, n: usize| (1e4 * k as f64 / n.max(1) as f64).round() / 1e4;
        json!({
            "refuted": self.n_refuted, "repeated": share(self.n_repeated, self.n_refuted),
            "shown": self.n_shown, "reused": share(self.n_reused, self.n_shown), "no_tool": self.n_other,
        })
    }
}

/// One word for each row, drawn at temperature 1; rows are of one length.
fn sampled(student: Student<'_>, rows: &[Vec<Word>], rng: &mut Rng) -> Result<Vec<Word>, TrainError> {
    let mut words = Vec::with_capacity(rows.len());
    for rows in rows.chunks(64) {
        let slices: Vec<&[Word]> = rows.iter().map(Vec::as_slice).collect();
        let tokens = student.rows(&slices)?;
        let (n, len) = tokens.dims2()?;
        let last: Vec<u32> = (1..=n).map(|row| (row * len - 1) as u32).collect();
        let hidden =
            student.model.forward(&tokens, None)?.hidden.index_select(&Tensor::from_vec(last, n, &Device::Cpu)?, 0)?;
        for shares in softmax(&student.model.logits(&hidden)?, D::Minus1)?.to_vec2::<f32>()? {
            let mut left = rng.unit() as f32;
            let passed = |share: &f32| {
                left -= share;
                left < 0.0
            };
            let id = shares.iter().position(passed).unwrap_or(shares.len() - 1);
            words.push(student.word(id as u32));
        }
    }
    Ok(words)
}
