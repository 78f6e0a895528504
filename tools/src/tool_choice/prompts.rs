//! The texts that the model reads in its roles, and what it says in them.
//!
//! ```text
//! ACT    <bos> item* task SITE subgoal+ act SITE subgoal [TOOL] page SITE subgoal [TOOL] page
//! RETRY  … again SITE subgoal [TOOL] page …             earlier attempts at the task stay in view
//! JUDGE  <bos> task SITE subgoal+ act <attempt> judge [success | failure]
//! WRITE  <bos> task SITE subgoal+ act <attempt> judge LABEL write [item item item <end>]
//! CONTRAST <bos> task SITE subgoal+ act <the attempt that succeeded> [again <one that failed>]+ write [item … item <end>]
//! ```
//!
//! What stands in brackets is generated.

use super::{Item, ToolTask, Word};

/// One step: a tool was chosen for a subgoal, and a page came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was to be reached.
    pub subgoal: Word,
    /// The tool chosen.
    pub tool: Word,
    /// What the site showed then.
    pub page: Word,
}

impl Choice {
    /// Whether the page is that of the subgoal.
    pub fn matches(self) -> bool {
        self.page == self.subgoal
    }

    /// `Delta search api search`.
    pub fn words(self, site: Word) -> [Word; 4] {
        [site, self.subgoal, self.tool, self.page]
    }
}

impl ToolTask {
    /// `task Delta search pay act`.
    pub fn words(&self) -> Vec<Word> {
        let mut words = vec![Word::TASK, self.site];
        words.extend(&self.subgoals);
        words.push(Word::ACT);
        words
    }

    /// Everything before the first choice of an attempt, `Delta search` included.
    pub fn act_prompt(&self, items: &[Item], earlier: &[Vec<Choice>]) -> Vec<Word> {
        let mut words = vec![Word::BOS];
        words.extend(items.iter().flat_map(|item| item.words()));
        words.extend(self.words());
        for attempt in earlier {
            words.extend(self.attempt_words(attempt));
            words.push(Word::AGAIN);
        }
        words.push(self.site);
        words.extend(self.subgoals.first());
        words
    }

    /// `<bos> task … act <attempt> judge`.
    pub fn judge_prompt(&self, attempt: &[Choice]) -> Vec<Word> {
        let mut words = vec![Word::BOS];
        words.extend(self.words());
        words.extend(self.attempt_words(attempt));
        words.push(Word::JUDGE);
        words
    }

    /// The judge's prompt, the verdict that is to be believed, and `write`.
    pub fn write_prompt(&self, attempt: &[Choice], success: bool) -> Vec<Word> {
        let mut words = self.judge_prompt(attempt);
        words.extend([verdict(success), Word::WRITE]);
        words
    }

    /// The attempt that succeeded, those that failed after it, and `write`.
    pub fn contrast_prompt(&self, won: &[Choice], lost: &[Vec<Choice>]) -> Vec<Word> {
        let mut words = vec![Word::BOS];
        words.extend(self.words());
        words.extend(self.attempt_words(won));
        for attempt in lost {
            words.push(Word::AGAIN);
            words.extend(self.attempt_words(attempt));
        }
        words.push(Word::WRITE);
        words
    }

    fn attempt_words(&self, attempt: &[Choice]) -> Vec<Word> {
        attempt.iter().flat_map(|choice| choice.words(self.site)).collect()
    }
}

/// The word of a verdict.
pub fn verdict(success: bool) -> Word {
    if success { Word::SUCCESS } else { Word::FAILURE }
}

/// What was written: items up to `<end>`, and how many groups of words were none.
pub fn parse_items(words: &[Word]) -> (Vec<Item>, usize) {
    let end = words.iter().position(|word| *word == Word::END).unwrap_or(words.len());
    let groups = words[..end].chunks(4);
    let n_groups = groups.len();
    let items: Vec<Item> = groups.filter_map(Item::parse).collect();
    let n_bad = n_groups - items.len();
    (items, n_bad)
}
