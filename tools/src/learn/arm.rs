//! The arms of the experiment: which memory an agent has, who judges it, what it begins with, how often it tries.
//!
//! Every arm lives through the same streams; only what its name says differs. Each measured gain has its control here:
//! `none`, `irrelevant_items`, a symbolic agent with the teacher's rules as the ceiling, and as many steps spent without
//! scaling (`equal_budget`).

/// One arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Its name in the report.
    pub name: &'static str,
    /// Who acts, judges and writes.
    pub mind: Mind,
    /// What of the past is remembered and recalled.
    pub memory: Memory,
    /// Whose verdict is believed.
    pub judge: JudgedBy,
    /// What the memory holds before the first task.
    pub start: Start,
    /// Whether imported items are suspended that lose their credit (`lagdb::agent::Suppression` as it comes).
    pub credit: bool,
    /// How often a task is tried.
    pub tries: Tries,
    /// Streams are this many times as long as in the other arms.
    pub length: usize,
}

/// Who acts, judges and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    /// The language model.
    Model,
    /// The rules that the model was trained to follow.
    Symbolic,
}

/// What of the past is remembered and recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing.
    Nothing,
    /// Everything is remembered, but only items that say nothing about the task are recalled.
    Irrelevant,
    /// Items of attempts judged successful.
    Successes,
    /// Those, and of failures only what to avoid.
    AvoidOnly,
    /// Items of all attempts.
    All,
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

/// How often a task is tried, as in memory-aware test-time scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// So many attempts apart from each other; the best by the agent's judge counts.
    Parallel(usize),
    /// Up to so many apart from each other, until the agent's judge is content, and fewer where such tasks are usually done.
    ByDifficulty(usize),
    /// Up to so many, each after those before it, until the agent's judge is content; the last counts.
    Sequential(usize),
}

impl Arm {
    const BASE: Self = Self {
        name: "none",
        mind: Mind::Model,
        memory: Memory::Nothing,
        judge: JudgedBy::Itself,
        start: Start::Empty,
        credit: false,
        tries: Tries::Parallel(1),
        length: 1,
    };

    /// All arms, in the order they are reported.
    pub fn all() -> Vec<Self> {
        let arm = |name, memory| Self { name, memory, ..Self::BASE };
        let all = |name| arm(name, Memory::All);
        let successes = |name| arm(name, Memory::Successes);
        let with = |arm: Self, start| Self { start, ..arm };
        let credit = |arm: Self| Self { credit: true, ..arm };
        let tries = |arm: Self, tries| Self { tries, ..arm };
        let (parallel, sequential) = (Tries::Parallel, Tries::Sequential);
        let mut arms = vec![
            Self::BASE,
            arm("irrelevant_items", Memory::Irrelevant),
            successes("successes"),
            arm("avoid_only_failures", Memory::AvoidOnly),
            all("successes_and_failures"),
            Self { judge: JudgedBy::Truth, ..all("true_labels") },
            Self { judge: JudgedBy::Noise30, ..all("noisy_labels_30") },
            credit(Self { judge: JudgedBy::Noise30, ..all("noisy_labels_30_with_credit") }),
            credit(all("successes_and_failures_with_credit")),
            credit(successes("successes_with_credit")),
            with(all("poisoned"), Start::Poison),
            credit(with(all("poisoned_with_credit"), Start::Poison)),
            with(successes("poisoned_successes"), Start::Poison),
            credit(with(successes("poisoned_successes_with_credit"), Start::Poison)),
            with(successes("playbook"), Start::Playbook),
            credit(with(successes("playbook_with_credit"), Start::Playbook)),
            with(successes("wrong_playbook"), Start::WrongPlaybook),
            credit(with(successes("wrong_playbook_with_credit"), Start::WrongPlaybook)),
            with(all("wrong_playbook_and_failures"), Start::WrongPlaybook),
            credit(with(all("wrong_playbook_and_failures_with_credit"), Start::WrongPlaybook)),
            Self { mind: Mind::Symbolic, ..all("symbolic") },
            Self { mind: Mind::Symbolic, ..arm("symbolic_no_memory", Memory::Nothing) },
            tries(all("matts_parallel_1"), parallel(1)),
            tries(all("matts_parallel_3"), parallel(3)),
            tries(all("matts_parallel_5"), parallel(5)),
            tries(all("matts_by_difficulty_5"), Tries::ByDifficulty(5)),
            tries(all("matts_sequential_1"), sequential(1)),
            tries(all("matts_sequential_3"), sequential(3)),
            tries(all("matts_sequential_5"), sequential(5)),
            tries(arm("matts_parallel_1_no_memory", Memory::Nothing), parallel(1)),
            tries(arm("matts_parallel_3_no_memory", Memory::Nothing), parallel(3)),
            tries(arm("matts_parallel_5_no_memory", Memory::Nothing), parallel(5)),
            tries(arm("matts_sequential_1_no_memory", Memory::Nothing), sequential(1)),
            tries(arm("matts_sequential_3_no_memory", Memory::Nothing), sequential(3)),
            tries(arm("matts_sequential_5_no_memory", Memory::Nothing), sequential(5)),
        ];
        arms.push(Self { length: 3, ..all("equal_budget") });
        arms
    }

    /// The arm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|arm| arm.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_arm_has_a_name_of_its_own_and_differs_from_the_others() {
        let arms = Arm::all();
        let names: BTreeSet<_> = arms.iter().map(|arm| arm.name).collect();
        assert_eq!(names.len(), arms.len());
        for arm in &arms {
            assert_eq!(Arm::named(arm.name), Some(*arm));
        }
    }
}
