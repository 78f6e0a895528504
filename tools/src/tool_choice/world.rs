//! One stream's world: four sites with four subgoals each, and for every pair the one tool that works.
//!
//! The mapping is drawn anew for every world, so no weights can know it; only memory can. Pages are noisy: the right
//! tool shows a blank page in 8 % of the cases; a wrong tool an error (40 %), a blank page (8 %), **the right-looking
//! page** (3 %, deceptive), or that of another subgoal. Whether a task succeeded is never shown.

use super::{Choice, N_TOOLS, Word};
use crate::world::Rng;

const N_SITES_A_WORLD: usize = 4;
const N_SUBGOALS_A_SITE: usize = 4;
const BLANK: f64 = 0.08;
const DECEPTIVE: f64 = 0.03;
const ERROR: f64 = 0.40;
/// How often a task has one, two or three subgoals.
const N_SUBGOALS: [(usize, f64); 3] = [(1, 0.3), (2, 0.4), (3, 0.3)];

/// The truth of one stream.
#[derive(Clone, Debug)]
pub struct ToolWorld {
    /// (site, subgoal, the tool that works), sites together.
    truth: Vec<(Word, Word, Word)>,
}

/// A task: at this site, reach these subgoals in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolTask {
    /// Where.
    pub site: Word,
    /// What, one to three.
    pub subgoals: Vec<Word>,
}

impl ToolWorld {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut truth = Vec::with_capacity(N_SITES_A_WORLD * N_SUBGOALS_A_SITE);
        for site in sample(Word::sites(), N_SITES_A_WORLD, rng) {
            for subgoal in sample(Word::subgoals(), N_SUBGOALS_A_SITE, rng) {
                truth.push((site, subgoal, any_tool(rng)));
            }
        }
        Self { truth }
    }

    /// The same sites and subgoals, the tools drawn anew.
    pub fn with_other_tools(&self, rng: &mut Rng) -> Self {
        Self { truth: self.truth.iter().map(|(site, subgoal, _)| (*site, *subgoal, any_tool(rng))).collect() }
    }

    /// Draws a task.
    pub fn task(&self, rng: &mut Rng) -> ToolTask {
        let (site, ..) = rng.pick(&self.truth);
        let there = self.truth.iter().filter(|(at, ..)| *at == site).map(|(_, subgoal, _)| *subgoal);
        let n = rng.pick_weighted(&N_SUBGOALS);
        ToolTask { site, subgoals: sample(there, n, rng) }
    }

    /// The tool that works there for this.
    pub fn right_tool(&self, site: Word, subgoal: Word) -> Option<Word> {
        self.truth.iter().find(|(at, what, _)| (*at, *what) == (site, subgoal)).map(|(.., tool)| *tool)
    }

    /// Every (site, subgoal) pair and its tool, sites together.
    pub fn pairs(&self) -> &[(Word, Word, Word)] {
        &self.truth
    }
}

/// The page that answers a choice of tool.
pub fn page(subgoal: Word, right: bool, rng: &mut Rng) -> Word {
    let u = rng.unit();
    if u < BLANK {
        return Word::BLANK;
    }
    if right || u < BLANK + DECEPTIVE {
        return subgoal;
    }
    if u < BLANK + DECEPTIVE + ERROR {
        return Word::ERR;
    }
    let others: Vec<Word> = Word::subgoals().filter(|other| *other != subgoal).collect();
    rng.pick(&others)
}

/// One of the six tools.
pub fn any_tool(rng: &mut Rng) -> Word {
    Word::tool(rng.below(N_TOOLS)).unwrap_or(Word::PAD)
}

/// `n` different ones of `all`, in random order.
pub(crate) fn sample(all: impl Iterator<Item = Word>, n: usize, rng: &mut Rng) -> Vec<Word> {
    let mut all: Vec<Word> = all.collect();
    rng.shuffle(&mut all);
    all.truncate(n);
    all
}

impl ToolTask {
    /// `At Delta: search, pay`.
    pub fn english(&self) -> String {
        let subgoals: Vec<_> = self.subgoals.iter().map(|subgoal| subgoal.text()).collect();
        format!("At {}: {}", self.site, subgoals.join(", "))
    }

    /// Whether every choice was the right one; a task that was broken off was not done.
    pub fn is_done_by(&self, choices: &[Choice], world: &ToolWorld) -> bool {
        let right = |choice: &Choice| world.right_tool(self.site, choice.subgoal) == Some(choice.tool);
        choices.len() == self.subgoals.len() && choices.iter().all(right)
    }
}
