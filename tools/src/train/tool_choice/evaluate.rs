//! How well the three roles are learned, on tasks drawn from seeds that training never uses.
//!
//! *Choices*: the probability that the model gives to the tools an ideal agent would choose among, by what is known.
//! *Verdicts* and *items*: greedy; items count as right only if the whole output is the teacher's, `<end>` included.

use super::logs::logs;
use super::practice::{Extent, Practice};
use super::retries::retries;
use super::student::Student;
use crate::tool_choice::{Choice, Item, Knowledge, N_TOOLS, ToolTask, Word, any_tool, lessons, page, sample, verdict};
use crate::train::TrainError;
use crate::world::Rng;
use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CHECK_SEED: u64 = 777;
const TABLE_SEED: u64 = 424_242;
const IN_LIFE: Extent = Extent { max_items: 16, max_attempts: 5, past: 0.0 };

/// A short look during a run.
pub(crate) fn check(student: Student<'_>) -> Result<Map<String, Value>, TrainError> {
    let mut checks = Map::new();
    for (state, mass) in choices(student, CHECK_SEED, 150)? {
        if matches!(state.as_str(), "first use" | "retry avoid") {
            checks.insert(state, json!(round(mass.allowed / mass.n as f64)));
        }
    }
    let retries = retries(student, CHECK_SEED, 64)?;
    let (n, k) = retries.iter().fold((0, 0), |(n, k), counts| (n + counts.n_refuted, k + counts.n_repeated));
    checks.insert("repeated".into(), json!(round(k as f64 / n.max(1) as f64)));
    Ok(checks)
}

/// The whole table.
pub(crate) fn evaluate(student: Student<'_>) -> Result<Value, TrainError> {
    let choices = choices(student, TABLE_SEED, 1500)?.into_iter().map(|(state, mass)| {
        let n = mass.n as f64;
        json!({"known": state, "n": mass.n, "chance": round(mass.chance / n), "mass": round(mass.allowed / n)})
    });
    let attempts = attempts(TABLE_SEED, 3000);
    let retries = retries(student, TABLE_SEED, 400)?;
    Ok(json!({
        "choices": choices.collect::<Vec<_>>(),
        "verdicts": verdicts(student, &attempts)?,
        "items": { "true_label": items(student, &attempts, false)?, "wrong_label": items(student, &attempts, true)? },
        "logs": logs(student, TABLE_SEED, 600)?,
        "contrasts": contrasts(student, TABLE_SEED, 1000)?,
        "retries": retries.into_iter().map(|counts| counts.json()).collect::<Vec<_>>(),
    }))
}

#[derive(Clone, Copy, Default)]
struct Mass {
    n: usize,
    /// Sum of the probabilities of the allowed tools, and of their share among all tools.
    allowed: f64,
    chance: f64,
}

/// By what is known of the tools; `avoid` for every number of refuted tools together and apart.
fn choices(student: Student<'_>, seed: u64, n: usize) -> Result<BTreeMap<String, Mass>, TrainError> {
    let mut rng = Rng::new(seed);
    let lessons: Vec<Practice> = (0..n).map(|_| Practice::lesson(IN_LIFE, &mut rng)).collect();
    let mut masses: BTreeMap<String, Mass> = BTreeMap::new();
    for lessons in lessons.chunks(50) {
        let at = |(row, lesson)| {
            let lesson: &Practice = lesson;
            lesson.choices.iter().map(move |(at, _)| (row, *at))
        };
        let places: Vec<(usize, usize)> = lessons.iter().enumerate().flat_map(at).collect();
        let shares = shares_at(student, lessons, &places)?;
        let allowed = lessons.iter().flat_map(|lesson| lesson.choices.iter().map(move |choice| (lesson, choice)));
        for ((lesson, (at, allowed)), shares) in allowed.zip(shares) {
            let tool = |number: usize| f64::from(student.tools(&shares)[number]);
            for state in states(&lesson.words, *at) {
                let mass = masses.entry(state).or_default();
                mass.n += 1;
                mass.allowed += allowed.numbers().map(tool).sum::<f64>();
                mass.chance += allowed.len() as f64 / N_TOOLS as f64;
            }
        }
    }
    Ok(masses)
}

fn shares_at(
    student: Student<'_>,
    lessons: &[Practice],
    places: &[(usize, usize)],
) -> Result<Vec<Vec<f32>>, TrainError> {
    let rows: Vec<&[Word]> = lessons.iter().map(|lesson| lesson.words.as_slice()).collect();
    let tokens = student.rows(&rows)?;
    let len = tokens.dim(1)?;
    let at: Vec<u32> = places.iter().map(|(row, at)| (row * len + at) as u32).collect();
    let n = at.len();
    let hidden =
        student.model.forward(&tokens, None)?.hidden.index_select(&Tensor::from_vec(at, n, &Device::Cpu)?, 0)?;
    Ok(softmax(&student.model.logits(&hidden)?, D::Minus1)?.to_vec2()?)
}

/// What is known at the choice after the word `at`: from items only (`first`), or from earlier attempts too (`retry`).
fn states(words: &[Word], at: usize) -> Vec<String> {
    let (site, subgoal) = (words[at - 1], words[at]);
    let begin = words.iter().position(|word| *word == Word::TASK).unwrap_or(0);
    let act = words.iter().position(|word| *word == Word::ACT).unwrap_or(0);
    let (mut told, mut seen) = (Knowledge::default(), Knowledge::default());
    let items = words[1..begin].chunks(4).filter_map(Item::parse);
    items.filter(|item| (item.site, item.subgoal) == (site, subgoal)).for_each(|item| told.note(item.tool, item.works));
    let steps: Vec<Word> = words[act + 1..at - 1].iter().copied().filter(|word| *word != Word::AGAIN).collect();
    let mut retried = false;
    for step in steps.chunks_exact(4).filter(|step| step[1] == subgoal) {
        retried = true;
        seen.see(Choice { subgoal, tool: step[2], page: step[3] });
    }
    let when = if retried { "retry" } else { "first" };
    let mut all = told;
    seen.works.numbers().for_each(|tool| all.works.insert(tool));
    seen.fails.numbers().for_each(|tool| all.fails.insert(tool));
    let conflict = all.works.numbers().any(|tool| all.fails.contains(tool));
    let what = match (all.works.is_empty(), all.fails.is_empty()) {
        _ if conflict => "conflict",
        (true, true) => "nothing",
        (false, true) => "use",
        (false, false) => "use and avoid",
        (true, false) => "avoid",
    };
    let mut states = vec![format!("{when} {what}")];
    if what == "avoid" {
        states.push(format!("{when} avoid {}", all.fails.len()));
    }
    states
}

struct Attempt {
    task: ToolTask,
    choices: Vec<Choice>,
    success: bool,
}

fn attempts(seed: u64, n: usize) -> Vec<Attempt> {
    let mut rng = Rng::new(seed);
    let draw = |_| {
        let n_subgoals = rng.between(1, 3);
        let site = sample(Word::sites(), 1, &mut rng)[0];
        let task = ToolTask { site, subgoals: sample(Word::subgoals(), n_subgoals, &mut rng) };
        let p = rng.pick(&[0.2, 0.5, 0.9]);
        let mut success = true;
        let mut choose = |subgoal: &Word| {
            let right = rng.chance(p);
            success &= right;
            Choice { subgoal: *subgoal, tool: any_tool(&mut rng), page: page(*subgoal, right, &mut rng) }
        };
        let choices = task.subgoals.iter().map(&mut choose).collect();
        Attempt { task, choices, success }
    };
    (0..n).map(draw).collect()
}

/// Accuracy of the model's verdicts by what the pages show, beside a rule: failure exactly if an error is visible.
fn verdicts(student: Student<'_>, attempts: &[Attempt]) -> Result<Value, TrainError> {
    let mut cells: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let rows: Vec<Vec<Word>> = attempts.iter().map(|attempt| attempt.task.judge_prompt(&attempt.choices)).collect();
    let said = greedy(student, &rows, |row| row.len() - 1)?;
    for (attempt, said) in attempts.iter().zip(said) {
        let blank = |choice: &Choice| choice.page == Word::BLANK;
        let error = attempt.choices.iter().any(|choice| !choice.matches() && !blank(choice));
        let shown = match (error, attempt.choices.iter().any(blank)) {
            (true, _) => "visible error",
            (false, true) => "blank, no error",
            (false, false) => "all pages match",
        };
        for cell in [shown, "all"] {
            let [n, model, rule] = cells.entry(cell).or_default();
            *n += 1;
            *model += usize::from(said == [student.tokens.of(verdict(attempt.success))]);
            *rule += usize::from(attempt.success != error);
        }
    }
    let cell = |(pages, [n, model, rule]): (&str, [usize; 3])| {
        let share = |k: usize| round(k as f64 / n as f64);
        json!({"pages": pages, "n": n, "model": share(model), "rule": share(rule)})
    };
    Ok(cells.into_iter().map(cell).collect())
}

/// The share of attempts for which everything written is what the teacher writes; for the true label or the other.
fn items(student: Student<'_>, attempts: &[Attempt], wrong_label: bool) -> Result<Value, TrainError> {
    let attempts = &attempts[..attempts.len() / 2];
    let (mut rows, mut prompts, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for attempt in attempts {
        let label = attempt.success != wrong_label;
        let prompt = attempt.task.write_prompt(&attempt.choices, label);
        let items = lessons(attempt.task.site, &attempt.choices, label).into_iter().flat_map(Item::words);
        let items: Vec<Word> = items.chain([Word::END]).collect();
        rows.push([prompt.as_slice(), &items[..items.len() - 1]].concat());
        prompts.push(prompt.len());
        expected.push(items.into_iter().map(|word| student.tokens.of(word)).collect::<Vec<u32>>());
    }
    let mut firsts = prompts.into_iter();
    let said = greedy(student, &rows, |_| firsts.next().unwrap_or(1) - 1)?;
    let n_right = said.iter().zip(&expected).filter(|(said, expected)| said == expected).count();
    Ok(json!({"n": rows.len(), "as_the_teacher": round(n_right as f64 / rows.len() as f64)}))
}

/// The same of several attempts at a task that are looked at together.
fn contrasts(student: Student<'_>, seed: u64, n: usize) -> Result<Value, TrainError> {
    let mut rng = Rng::new(seed);
    let drawn: Vec<Practice> = (0..n).map(|_| drawn_contrast(&mut rng)).collect();
    let rows: Vec<Vec<Word>> = drawn.iter().map(|drawn| drawn.words[..drawn.words.len() - 1].to_vec()).collect();
    let mut firsts = drawn.iter().map(|drawn| drawn.written[0].0);
    let said = greedy(student, &rows, |_| firsts.next().unwrap_or(0))?;
    let is_right = |(said, drawn): &(&Vec<u32>, &Practice)| {
        said.iter().copied().eq(drawn.written.iter().map(|(_, word)| student.tokens.of(*word)))
    };
    let n_right = said.iter().zip(&drawn).filter(is_right).count();
    Ok(json!({"n": n, "as_the_teacher": round(n_right as f64 / n as f64)}))
}

fn drawn_contrast(rng: &mut Rng) -> Practice {
    let mut practice = Practice::default();
    practice.contrast(IN_LIFE, rng);
    practice
}

/// What the model would say next at each place from `first` on, row by row.
fn greedy(
    student: Student<'_>,
    rows: &[Vec<Word>],
    mut first: impl FnMut(&[Word]) -> usize,
) -> Result<Vec<Vec<u32>>, TrainError> {
    let mut said = Vec::with_capacity(rows.len());
    for rows in rows.chunks(100) {
        let slices: Vec<&[Word]> = rows.iter().map(Vec::as_slice).collect();
        let tokens = student.rows(&slices)?;
        let len = tokens.dim(1)?;
        let best =
            student.model.logits(&student.model.forward(&tokens, None)?.hidden)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        said.extend(rows.iter().enumerate().map(|(i, row)| best[i * len + first(row)..i * len + row.len()].to_vec()));
    }
    Ok(said)
}

pub(super) fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}
