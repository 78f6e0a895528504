//! What an ideal agent does: the rules the model is trained to follow, and those of the symbolic agent.
//!
//! *Contrast*: what the winner chose works, and what the others chose instead fails.
//! *Act*: choose among the tools that are recommended and not refuted; if there is none, among all that are not refuted.
//! *Judge*: whether all pages match. *Write*: `works` for what matched, `fails` for what visibly did not; the label is
//! believed, so a wrong label writes wrong items.

use super::{Choice, Item, N_TOOLS, Word};

/// A set of tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tools(u8);

impl Tools {
    /// All of them.
    pub const ALL: Tools = Tools((1 << N_TOOLS) - 1);

    /// Adds a tool by its number, in `0..N_TOOLS`.
    pub fn insert(&mut self, tool: usize) {
        self.0 |= Self::ALL.0 & (1 << tool);
    }

    /// Whether a tool is in the set.
    pub fn contains(self, tool: usize) -> bool {
        tool < N_TOOLS && self.0 & (1 << tool) != 0
    }

    /// The numbers of the tools, ascending.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..N_TOOLS).filter(move |tool| self.contains(*tool))
    }

    /// How many tools there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn without(self, other: Tools) -> Tools {
        Tools(self.0 & !other.0)
    }
}

/// What is known of the tools for one subgoal at one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Tools said to work.
    pub works: Tools,
    /// Tools said to fail.
    pub fails: Tools,
}

impl Knowledge {
    /// The tools an ideal agent chooses among, all alike.
    pub fn allowed(self) -> Tools {
        let recommended = self.works.without(self.fails);
        let open = Tools::ALL.without(self.fails);
        [recommended, open].into_iter().find(|tools| !tools.is_empty()).unwrap_or(Tools::ALL)
    }

    /// Takes in what a text says.
    pub fn note(&mut self, tool: Word, works: bool) {
        if let Some(number) = tool.tool_number() {
            if works { self.works.insert(number) } else { self.fails.insert(number) }
        }
    }

    /// Takes in what a page shows; a blank one shows nothing.
    pub fn see(&mut self, choice: Choice) {
        if choice.page != Word::BLANK {
            self.note(choice.tool, choice.matches());
        }
    }
}

/// The items that an attempt with this verdict teaches, in the order of its choices.
///
/// A failure is blamed on what visibly went wrong, else on what stayed blank, else on the last choice.
pub fn lessons(site: Word, choices: &[Choice], success: bool) -> Vec<Item> {
    let blank = |choice: &Choice| choice.page == Word::BLANK;
    let bad = |choice: &Choice| !choice.matches() && !blank(choice);
    let (any_bad, any_blank) = (choices.iter().any(bad), choices.iter().any(blank));
    let verdict = |i: usize, choice: &Choice| match success {
        true => Some(true),
        false if bad(choice) => Some(false),
        false if blank(choice) => (!any_bad).then_some(false),
        false => Some(any_bad || any_blank || i + 1 < choices.len()),
    };
    let item = |(i, choice): (usize, &Choice)| {
        let Choice { subgoal, tool, .. } = *choice;
        verdict(i, choice).map(|works| Item { site, subgoal, tool, works })
    };
    choices.iter().enumerate().filter_map(item).collect()
}

/// The most items that a contrast teaches.
pub const N_CONTRASTED: usize = 5;

/// The items that attempts at one task teach when they are looked at together: what the one that succeeded chose works, and
/// where one that failed chose otherwise, its tool fails, whatever its page showed: a blank page and a deceptive one cannot
/// hide behind a success. At most [`N_CONTRASTED`], what works first.
pub fn contrast(site: Word, won: &[Choice], lost: &[Vec<Choice>]) -> Vec<Item> {
    let works = won.iter().map(|choice| Item { site, subgoal: choice.subgoal, tool: choice.tool, works: true });
    let mut items: Vec<Item> = works.collect();
    let right = items.clone();
    for Choice { subgoal, tool, .. } in lost.iter().flatten().copied() {
        let differs = right.iter().any(|item| item.subgoal == subgoal && item.tool != tool);
        let item = Item { site, subgoal, tool, works: false };
        if differs && !items.contains(&item) {
            items.push(item);
        }
    }
    items.truncate(N_CONTRASTED);
    items
}

/// Whether pages look like success: none is wrong, at most one is blank. The boolean's weight: 1 if none is blank, less
/// if one is, -1 for a failure.
pub fn looks_like_success(choices: &[Choice]) -> (bool, f64) {
    let n_blank = choices.iter().filter(|choice| choice.page == Word::BLANK).count();
    let bad = choices.iter().any(|choice| !choice.matches() && choice.page != Word::BLANK);
    let success = !bad && n_blank <= 1;
    (success, if success { 1.0 - 0.5 * n_blank as f64 } else { -1.0 })
}
