//! What arms can differ in.

use lagdb::agent::{Allot, Consolidation, Disagreement, LessonRecall, Scaling, Suppression, Way};

/// Items in a prompt, as in training.
pub(super) const N_RECALLED: usize = 16;

/// Who acts, judges and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    /// The language model.
    Model,
    /// The rules that the model was trained to follow.
    Symbolic,
}

/// Which items are remembered and recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// None.
    Nothing,
    /// All are remembered, but only items that say nothing about the task are recalled.
    Irrelevant,
    /// Items of attempts judged successful.
    Successes,
    /// Those, and of failures only what to avoid.
    AvoidOnly,
    /// Items of attempts judged failures: what to avoid, and what worked in them.
    Failures,
    /// Items of all attempts.
    All,
}

/// How KV logs of past successes are recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// Not at all; none are kept.
    None,
    /// Attached, as attention.
    Attached,
    /// The same tokens, computed again in front of the prompt.
    AsText,
    /// Attached, but of a stream with another mapping, in which the same sites and subgoals occur: the control.
    OfAnother,
}

/// Whose verdict is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgedBy {
    /// The agent's own.
    Itself,
    /// The world's.
    Truth,
    /// The agent's own, turned round in three of ten cases.
    Noise30,
}

impl JudgedBy {
    /// How often a verdict is turned round.
    pub(super) fn noise(self) -> f64 {
        if self == Self::Noise30 { 0.3 } else { 0.0 }
    }
}

/// What the memory holds before the first task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Empty,
    /// One wrong recommendation for each site: 4 of 16 pairs.
    Poison,
    /// A recommendation for every pair, imported from elsewhere, all right.
    Playbook,
    /// The same with 4 of the 16 wrong.
    WrongPlaybook,
}

/// Whose items are suspended when they lose their credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// Nobody's.
    Off,
    /// Those that were imported: `Suppression` as it comes.
    Imported,
    /// Those of the agent itself too.
    All,
}

impl Credit {
    fn suppression(self) -> Option<Suppression> {
        let rule = Suppression::default();
        match self {
            Self::Off => None,
            Self::Imported => Some(rule),
            Self::All => Some(Suppression { imported_only: false, ..rule }),
        }
    }
}

/// Which settings of the library an arm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// All that is near is recalled and nothing is held back; of items that contradict each other the one with more behind it
    /// is given. Nothing but memory differs.
    Plain,
    /// The same, but items that contradict each other are all given.
    Keeping,
    /// What the library comes with: recall by similarity and earned trust with a slot for exploration, withholding. Only the
    /// number of tokens and the temperature are the world's.
    Defaults,
    /// The same, but guardrails are given before the action that they speak about.
    DefaultsGuarded,
    /// The defaults with eight items.
    DefaultsOf8,
    /// The defaults, but trust does not count beside similarity.
    DefaultsUnweighted,
}

impl Library {
    /// Which items are recalled, where that is the library's.
    pub(super) fn recall(self, seed: u64) -> Option<LessonRecall> {
        let come = LessonRecall { seed, ..LessonRecall::default() };
        match self {
            Self::Plain | Self::Keeping => None,
            Self::Defaults | Self::DefaultsGuarded => Some(come),
            Self::DefaultsOf8 => Some(LessonRecall { limit: 8, ..come }),
            Self::DefaultsUnweighted => Some(LessonRecall { weight: 0.0, ..come }),
        }
    }
}

/// How often a task is tried, as in memory-aware test-time scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// So many attempts apart from each other; the best by the agent's judge counts.
    Parallel(usize),
    /// Up to so many apart from each other, until the agent's judge is content, and fewer where such tasks are usually done.
    ByDifficulty(usize),
    /// Up to so many, each after those before it, until the agent's judge is content; the best by that judge counts.
    Sequential(usize),
}

impl Tries {
    pub(super) fn scaling(self) -> Scaling {
        match self {
            Self::Parallel(k) => Scaling { way: Way::Parallel, k, allot: Allot::All },
            Self::ByDifficulty(k) => Scaling { way: Way::Parallel, k, allot: Allot::ByDifficulty },
            Self::Sequential(k) => Scaling { way: Way::Sequential, k, allot: Allot::UntilSuccess },
        }
    }
}

/// How new items are taken in.
pub(super) fn consolidation(library: Library, credit: Credit) -> Consolidation {
    let come = Consolidation { suppression: credit.suppression(), ..Consolidation::default() };
    match library {
        Library::Plain => Consolidation { disagreement: Disagreement::Vote, ..come },
        Library::Keeping => Consolidation { disagreement: Disagreement::Keep, ..come },
        Library::Defaults | Library::DefaultsGuarded | Library::DefaultsOf8 | Library::DefaultsUnweighted => come,
    }
}
