//! What the model practises on: sequences of words with the right thing to say at some of them, worlds drawn anew.
//!
//! * a *lesson* is a whole task as in life: items, attempts, and after a single attempt the judging and the writing;
//! * a *quiz* asks for ten look-ups over one list of items; all pages are blank, so only items tell;
//! * a *drill* is one task tried many times, mostly with wrong tools: what an attempt refuted acts as a `fails` item;
//! * a *review* is three times an attempt to be judged and written about, or one that succeeded and up to four that failed, to
//!   be written about together; pages stay blank more often than in life, as what is written then is the hardest.
//!
//! In lessons and quizzes some of what is told stands in front of `<bos>` as *past steps* with their pages instead of items:
//! that is where the KV log of a past attempt stands when it is attached.

use crate::tool_choice::{
    Choice, Item, Knowledge, N_TOOLS, ToolTask, Tools, Word, any_tool, contrast, lessons, page, sample, verdict,
};
use crate::world::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A sequence of words and what should be said in it.
#[derive(Debug, Default)]
pub(crate) struct Practice {
    pub(crate) words: Vec<Word>,
    /// After the word of this index a tool is chosen, one of these, all alike.
    pub(crate) choices: Vec<(usize, Tools)>,
    /// After the word of this index comes the verdict.
    pub(crate) verdicts: Vec<(usize, Word)>,
    /// After the word of this index this word is written.
    pub(crate) written: Vec<(usize, Word)>,
}

/// How much is in view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) max_items: usize,
    pub(crate) max_attempts: usize,
    /// In what share of the sequences some of what is told is told by past steps.
    pub(crate) past: f64,
}

/// What is known of the tools for one subgoal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    Works,
    Fails,
    Both,
}

const TOLD: [(Told, f64); 4] = [(Told::Nothing, 0.2), (Told::Works, 0.2), (Told::Fails, 0.4), (Told::Both, 0.2)];
const N_SUBGOALS: [(usize, f64); 3] = [(1, 0.2), (2, 0.4), (3, 0.4)];
const N_ATTEMPTS: [(usize, f64); 5] = [(1, 0.68), (2, 0.14), (3, 0.08), (4, 0.05), (5, 0.05)];
/// How many tools are refuted where only failures are told, and where a recommendation is told too.
const N_FAILS: [usize; 10] = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6];
const N_FAILS_BESIDE: [usize; 5] = [1, 1, 2, 3, 4];
/// Choices of a drill.
const N_DRILLED: usize = 14;

type Known = BTreeMap<(Word, Word), Knowledge>;

impl Practice {
    /// A task as in life.
    pub(crate) fn lesson(extent: Extent, rng: &mut Rng) -> Self {
        let n_attempts = rng.pick_weighted(&N_ATTEMPTS).min(extent.max_attempts);
        let mut drawn = Drawn::task(rng);
        let items = if rng.chance(0.88) { drawn.items(extent.max_items, rng) } else { Vec::new() };
        let mut practice = Self::beginning(items, extent.past, &drawn.task, rng);
        let mut attempt = Vec::new();
        for nth in 0..n_attempts {
            if nth > 0 {
                practice.words.push(Word::AGAIN);
            }
            attempt = practice.attempt(&mut drawn, Habit::of_life(rng), rng);
        }
        if n_attempts == 1 {
            practice.review(&drawn, &attempt, rng);
        }
        practice
    }

    /// A task tried again and again, with or without items.
    pub(crate) fn drill(extent: Extent, rng: &mut Rng) -> Self {
        let mut drawn = Drawn::task(rng);
        let items = if rng.chance(0.4) { drawn.items(extent.max_items.min(8), rng) } else { Vec::new() };
        let mut practice = Self::beginning(items, 0.0, &drawn.task, rng);
        let n_attempts = (N_DRILLED / drawn.task.subgoals.len()).min(6);
        for nth in 0..n_attempts {
            if nth > 0 {
                practice.words.push(Word::AGAIN);
            }
            practice.attempt(&mut drawn, Habit::FAILING, rng);
        }
        practice
    }

    /// Three times in a row: an attempt to be judged and written about, or several at one task to be written about together.
    pub(crate) fn reviews(extent: Extent, rng: &mut Rng) -> Self {
        let mut practice = Self::default();
        for _ in 0..3 {
            if rng.chance(0.4) {
                practice.contrast(extent, rng);
            } else {
                let drawn = Drawn::task(rng);
                practice.words.push(Word::BOS);
                practice.words.extend(drawn.task.words());
                let right = rng.pick(&[0.2, 0.5, 0.9]);
                let attempt = drawn.attempt(right, rng.pick(&[0.0, 0.3]), rng);
                practice.words.extend(attempt.iter().flat_map(|choice| choice.words(drawn.task.site)));
                practice.review(&drawn, &attempt, rng);
            }
        }
        practice
    }

    /// Attempts at one task, of which the first succeeded (or was taken to have), and the items that they teach together.
    pub(crate) fn contrast(&mut self, extent: Extent, rng: &mut Rng) {
        let drawn = Drawn::task(rng);
        let won = drawn.attempt(if rng.chance(0.95) { 1.0 } else { 0.7 }, 0.0, rng);
        let n_lost = rng.between(1, (extent.max_attempts - 1).max(1));
        let right = rng.pick(&[0.2, 0.5, 0.7]);
        let lost: Vec<Vec<Choice>> = (0..n_lost).map(|_| drawn.attempt(right, 0.0, rng)).collect();
        self.words.extend(drawn.task.contrast_prompt(&won, &lost));
        self.write(contrast(drawn.task.site, &won, &lost));
    }

    /// Look-ups over one list of items; `fails` is the share of items that refute, `past` as in [`Extent`].
    pub(crate) fn quiz(max_items: usize, fails: f64, past: f64, rng: &mut Rng) -> Self {
        let n_sites = rng.pick(&[1, 1, 2, 3]);
        let n_subgoals = rng.between(2, 5);
        let sites = sample(Word::sites(), n_sites, rng);
        let subgoals = sample(Word::subgoals(), n_subgoals, rng);
        let mut known = Known::new();
        for _ in 0..rng.between((max_items / 2).max(1), max_items) {
            let entry = known.entry((rng.pick(&sites), rng.pick(&subgoals))).or_default();
            quiz_item(entry, fails, rng);
        }
        let mut items: Vec<Item> = known.iter().flat_map(|(key, known)| items_of(*key, *known)).collect();
        rng.shuffle(&mut items);
        let task = ToolTask { site: rng.pick(&sites), subgoals: vec![rng.pick(&subgoals)] };
        let mut practice = Self::beginning(items, past, &task, rng);
        let told: Vec<(Word, Word)> = known.keys().copied().collect();
        for _ in 0..10 {
            let key = if rng.chance(0.85) { rng.pick(&told) } else { (rng.pick(&sites), rng.pick(&subgoals)) };
            let allowed = known.get(&key).copied().unwrap_or_default().allowed();
            practice.ask(key, allowed);
            let tool = if rng.chance(0.6) { pick_tool(allowed, rng) } else { any_tool(rng) };
            practice.words.extend([tool, Word::BLANK]);
        }
        practice
    }

    /// What is known, and the task. In a share of `past` of the cases some of the items, or all, are past steps.
    fn beginning(items: Vec<Item>, past: f64, task: &ToolTask, rng: &mut Rng) -> Self {
        let share = if rng.chance(past) { rng.pick(&[0.3, 0.6, 1.0]) } else { 0.0 };
        let (steps, items): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|_| rng.chance(share));
        let mut words = Vec::new();
        for log in steps.chunks(3) {
            words.extend(log.iter().flat_map(|item| past_step(*item, rng).words(item.site)));
            if rng.chance(0.2) {
                let shown = Choice { subgoal: rng.pick(&task.subgoals), tool: any_tool(rng), page: Word::BLANK };
                words.extend(shown.words(task.site));
            }
            // As a log does that was kept when the attempt was judged.
            if rng.chance(0.7) {
                words.extend([Word::JUDGE, Word::SUCCESS]);
            }
        }
        words.push(Word::BOS);
        words.extend(items.iter().flat_map(|item| item.words()));
        words.extend(task.words());
        Self { words, ..Self::default() }
    }

    /// Names the site and the subgoal, after which one of the allowed tools should come.
    fn ask(&mut self, (site, subgoal): (Word, Word), allowed: Tools) {
        self.words.extend([site, subgoal]);
        self.choices.push((self.words.len() - 1, allowed));
    }

    /// One attempt at the task; what its pages show is known from then on.
    fn attempt(&mut self, drawn: &mut Drawn, habit: Habit, rng: &mut Rng) -> Vec<Choice> {
        let site = drawn.task.site;
        let mut attempt = Vec::new();
        for i in 0..drawn.task.subgoals.len() {
            let (subgoal, right) = (drawn.task.subgoals[i], drawn.right[i]);
            let allowed = drawn.known[i].allowed();
            self.ask((site, subgoal), allowed);
            let tool = habit.tool(allowed, right, rng);
            let choice = Choice { subgoal, tool, page: page(subgoal, tool == right, rng) };
            self.words.extend([choice.tool, choice.page]);
            drawn.known[i].see(choice);
            attempt.push(choice);
        }
        attempt
    }

    /// Judging, and writing for a label that is wrong now and then.
    fn review(&mut self, drawn: &Drawn, attempt: &[Choice], rng: &mut Rng) {
        let truth = attempt.iter().zip(&drawn.right).all(|(choice, right)| choice.tool == *right);
        self.words.push(Word::JUDGE);
        self.verdicts.push((self.words.len() - 1, verdict(truth)));
        let label = truth != rng.chance(0.2);
        self.words.extend([verdict(label), Word::WRITE]);
        self.write(lessons(drawn.task.site, attempt, label));
    }

    /// Items and the end.
    fn write(&mut self, items: Vec<Item>) {
        for word in items.into_iter().flat_map(Item::words).chain([Word::END]) {
            self.written.push((self.words.len() - 1, word));
            self.words.push(word);
        }
    }
}

/// How tools are chosen in practice; the model is trained on the ideal choice, whatever was chosen.
#[derive(Clone, Copy)]
struct Habit {
    /// How often the teacher's choice is made.
    allowed: f64,
    /// How often the right tool is taken; otherwise any tool.
    right: f64,
    /// Whether the teacher's choice avoids the right tool, so that failures pile up.
    misses: bool,
}

impl Habit {
    const FAILING: Self = Self { allowed: 0.8, right: 0.04, misses: true };

    /// Mostly right in a third of the attempts, so that judging is balanced.
    fn of_life(rng: &mut Rng) -> Self {
        match rng.chance(0.35) {
            true => Self { allowed: 0.0, right: 0.8, misses: false },
            false => Self { allowed: 0.5, right: 0.4, misses: false },
        }
    }

    fn tool(self, allowed: Tools, right: Word, rng: &mut Rng) -> Word {
        let u = rng.unit();
        if u < self.allowed {
            let chosen = pick_tool(allowed, rng);
            // Once more, if it happens to be the right one.
            return if self.misses && chosen == right { pick_tool(allowed, rng) } else { chosen };
        }
        if u < self.allowed + self.right { right } else { any_tool(rng) }
    }
}

/// A task with its truth, and what the model has been told of it.
struct Drawn {
    task: ToolTask,
    /// The right tool for each subgoal.
    right: Vec<Word>,
    known: Vec<Knowledge>,
}

impl Drawn {
    fn task(rng: &mut Rng) -> Self {
        let n = rng.pick_weighted(&N_SUBGOALS);
        let task = ToolTask { site: sample(Word::sites(), 1, rng)[0], subgoals: sample(Word::subgoals(), n, rng) };
        Self { task, right: (0..n).map(|_| any_tool(rng)).collect(), known: vec![Knowledge::default(); n] }
    }

    /// One attempt at the task; each choice is right with one probability, else any; more pages than usual stay blank with
    /// another, whatever was chosen.
    fn attempt(&self, right: f64, blank: f64, rng: &mut Rng) -> Vec<Choice> {
        let choose = |(subgoal, truth): (&Word, &Word)| {
            let tool = if rng.chance(right) { *truth } else { any_tool(rng) };
            let page = if rng.chance(blank) { Word::BLANK } else { page(*subgoal, tool == *truth, rng) };
            Choice { subgoal: *subgoal, tool, page }
        };
        self.task.subgoals.iter().zip(&self.right).map(choose).collect()
    }

    /// Items about the task, mostly true, and distractors, in random order; at most `max_items`.
    fn items(&mut self, max_items: usize, rng: &mut Rng) -> Vec<Item> {
        let ToolTask { site, subgoals } = self.task.clone();
        let about = subgoals.iter().zip(&self.right);
        let told: Vec<Item> =
            about.flat_map(|(subgoal, right)| items_of((site, *subgoal), told(*right, rng))).collect();
        let mut items = told;
        rng.shuffle(&mut items);
        items.truncate(max_items);
        for (subgoal, known) in subgoals.iter().zip(&mut self.known) {
            let about = items.iter().filter(|item| item.subgoal == *subgoal);
            about.for_each(|item| known.note(item.tool, item.works));
        }
        let n = rng.between(0, max_items);
        let mut seen: BTreeSet<Item> = items.iter().copied().collect();
        while items.len() < n {
            let item = distractor(&self.task, rng);
            if (item.site != site || !subgoals.contains(&item.subgoal)) && seen.insert(item) {
                items.push(item);
            }
        }
        rng.shuffle(&mut items);
        items
    }
}

/// What is told of one subgoal: recommendations are right in 85 %, refutations in 93 % of the cases.
fn told(right: Word, rng: &mut Rng) -> Knowledge {
    let mut known = Knowledge::default();
    let kind = rng.pick_weighted(&TOLD);
    if matches!(kind, Told::Works | Told::Both) {
        known.note(if rng.chance(0.85) { right } else { any_tool(rng) }, true);
        if rng.chance(0.07) {
            known.note(any_tool(rng), true);
        }
    }
    if matches!(kind, Told::Fails | Told::Both) {
        let n = if kind == Told::Fails { rng.pick(&N_FAILS) } else { rng.pick(&N_FAILS_BESIDE) };
        let mut tools = sample(Word::tools(), N_TOOLS, rng);
        if rng.chance(0.93) {
            tools.sort_by_key(|tool| *tool == right);
        }
        if kind == Told::Both && rng.chance(0.8) {
            tools.retain(|tool| tool.tool_number().is_some_and(|number| !known.works.contains(number)));
        }
        tools.into_iter().take(n).for_each(|tool| known.note(tool, false));
    }
    known
}

/// An item about something else: another subgoal of the site, the same subgoal elsewhere, or neither.
fn distractor(task: &ToolTask, rng: &mut Rng) -> Item {
    let (mut site, mut subgoal) = (sample(Word::sites(), 1, rng)[0], sample(Word::subgoals(), 1, rng)[0]);
    match rng.below(5) {
        0 | 1 => subgoal = rng.pick(&task.subgoals),
        2 | 3 => site = task.site,
        _ => {}
    }
    Item { site, subgoal, tool: any_tool(rng), works: rng.chance(0.5) }
}

/// One more thing told in a quiz; contradictions are rare.
fn quiz_item(known: &mut Knowledge, fails: f64, rng: &mut Rng) {
    let tool = any_tool(rng);
    let number = tool.tool_number().unwrap_or_default();
    if rng.chance(fails) {
        if !known.works.contains(number) || rng.chance(0.1) {
            known.note(tool, false);
        }
    } else if (known.works.is_empty() || rng.chance(0.1)) && (!known.fails.contains(number) || rng.chance(0.15)) {
        known.note(tool, true);
    }
}

fn items_of((site, subgoal): (Word, Word), known: Knowledge) -> Vec<Item> {
    let item = |number, works| Word::tool(number).map(|tool| Item { site, subgoal, tool, works });
    let recommended = known.works.numbers().filter_map(|number| item(number, true));
    let refuted = known.fails.numbers().filter_map(|number| item(number, false));
    recommended.chain(refuted).collect()
}

/// A step whose page tells what an item says.
fn past_step(item: Item, rng: &mut Rng) -> Choice {
    let Item { subgoal, tool, works, .. } = item;
    let page = loop {
        let page = page(subgoal, works, rng);
        if page != Word::BLANK && (page == subgoal) == works {
            break page;
        }
    };
    Choice { subgoal, tool, page }
}

fn pick_tool(tools: Tools, rng: &mut Rng) -> Word {
    let numbers: Vec<usize> = tools.numbers().collect();
    Word::tool(rng.pick(&numbers)).unwrap_or(Word::PAD)
}
