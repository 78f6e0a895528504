//! The arms of the experiment: which memory an agent has, who judges it, what it begins with, how often it tries.
//!
//! Every arm lives through the same streams; only what its name says differs. Each measured gain has its control here:
//! `none`, `irrelevant_items`, contradictions kept, logs of another stream, a symbolic agent with the teacher's rules as the ceiling, and as many
//! steps spent without scaling (`equal_budget`).

use super::settings::{Credit, JudgedBy, Library, Logs, Memory, Mind, Start, Tries};

/// One arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Its name in the report.
    pub name: &'static str,
    /// Who acts, judges and writes.
    pub mind: Mind,
    /// Which items are remembered and recalled.
    pub memory: Memory,
    /// How KV logs of past successes are recalled beside them.
    pub logs: Logs,
    /// Whose verdict is believed.
    pub judge: JudgedBy,
    /// What the memory holds before the first task.
    pub start: Start,
    /// Whose items are suspended when they lose their credit.
    pub credit: Credit,
    /// How often a task is tried.
    pub tries: Tries,
    /// Read the attempts at a task together where some succeeded and others did not, instead of one by one. Only the teacher's
    /// rules do: the model was not found to learn it.
    pub joint: bool,
    /// Which settings of the library are used.
    pub library: Library,
    /// Streams are this many times as long as in the other arms.
    pub length: usize,
}

/// Short names, and the arms that they stand for.
pub const SHORT: [(&str, &str); 7] = [
    ("text", "kv_logs_as_text"),
    ("strategies", "successes_and_failures"),
    ("kv", "kv_logs"),
    ("both", "kv_logs_and_strategies"),
    ("matts:1", "matts_parallel_1"),
    ("matts:3", "matts_parallel_3"),
    ("matts:5", "matts_parallel_5"),
];

impl Arm {
    const BASE: Self = Self {
        name: "none",
        mind: Mind::Model,
        memory: Memory::Nothing,
        logs: Logs::None,
        judge: JudgedBy::Itself,
        start: Start::Empty,
        credit: Credit::Off,
        tries: Tries::Parallel(1),
        joint: false,
        library: Library::Plain,
        length: 1,
    };

    /// All arms, in the order they are reported.
    pub fn all() -> Vec<Self> {
        let arm = |name, memory| Self { name, memory, ..Self::BASE };
        let all = |name| arm(name, Memory::All);
        let successes = |name| arm(name, Memory::Successes);
        let with = |arm: Self, start| Self { start, ..arm };
        let imported = |arm: Self| Self { credit: Credit::Imported, ..arm };
        let credit = |arm: Self| Self { credit: Credit::All, ..arm };
        let tries = |arm: Self, tries| Self { tries, ..arm };
        let joint = |arm: Self| Self { joint: true, ..arm };
        let logs = |arm: Self, logs| Self { logs, ..arm };
        let (parallel, sequential) = (Tries::Parallel, Tries::Sequential);
        vec![
            Self::BASE,
            arm("irrelevant_items", Memory::Irrelevant),
            successes("successes"),
            arm("avoid_only_failures", Memory::AvoidOnly),
            all("successes_and_failures"),
            arm("failures", Memory::Failures),
            logs(arm("kv_logs", Memory::Nothing), Logs::Attached),
            logs(arm("kv_logs_as_text", Memory::Nothing), Logs::AsText),
            logs(arm("kv_logs_of_another_stream", Memory::Nothing), Logs::OfAnother),
            logs(arm("kv_logs_and_failures", Memory::Failures), Logs::Attached),
            logs(all("kv_logs_and_strategies"), Logs::Attached),
            Self { judge: JudgedBy::Truth, ..all("true_labels") },
            Self { judge: JudgedBy::Noise30, ..all("noisy_labels_30") },
            credit(Self { judge: JudgedBy::Noise30, ..all("noisy_labels_30_with_credit") }),
            credit(all("successes_and_failures_with_credit")),
            credit(successes("successes_with_credit")),
            with(all("poisoned"), Start::Poison),
            imported(with(all("poisoned_with_credit"), Start::Poison)),
            with(successes("poisoned_successes"), Start::Poison),
            imported(with(successes("poisoned_successes_with_credit"), Start::Poison)),
            with(successes("playbook"), Start::Playbook),
            imported(with(successes("playbook_with_credit"), Start::Playbook)),
            with(successes("wrong_playbook"), Start::WrongPlaybook),
            imported(with(successes("wrong_playbook_with_credit"), Start::WrongPlaybook)),
            with(all("wrong_playbook_and_failures"), Start::WrongPlaybook),
            imported(with(all("wrong_playbook_and_failures_with_credit"), Start::WrongPlaybook)),
            Self { library: Library::Keeping, ..all("contradictions_kept") },
            Self { library: Library::Defaults, ..all("defaults") },
            Self { library: Library::DefaultsGuarded, ..all("defaults_guarded") },
            Self { library: Library::DefaultsOf8, ..all("defaults_of_8") },
            Self { library: Library::DefaultsUnweighted, ..all("defaults_unweighted") },
            Self { mind: Mind::Symbolic, ..all("symbolic") },
            Self { mind: Mind::Symbolic, ..arm("symbolic_no_memory", Memory::Nothing) },
            tries(Self { mind: Mind::Symbolic, ..all("symbolic_parallel_3") }, parallel(3)),
            joint(tries(Self { mind: Mind::Symbolic, ..all("symbolic_parallel_3_joint") }, parallel(3))),
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
            tries(arm("failures_sequential_3", Memory::Failures), sequential(3)),
            tries(logs(arm("kv_logs_sequential_3", Memory::Nothing), Logs::Attached), sequential(3)),
            tries(logs(arm("kv_logs_and_failures_sequential_3", Memory::Failures), Logs::Attached), sequential(3)),
            Self { length: 5, ..all("equal_budget") },
        ]
    }

    /// The arm of this name or short name.
    pub fn named(name: &str) -> Option<Self> {
        let long = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| *long);
        Self::all().into_iter().find(|arm| arm.name == long)
    }

    /// All that makes streams of the arm what they are, as a journal notes it.
    pub(super) fn parameters(&self) -> String {
        format!("{self:?}")
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
        for (short, long) in SHORT {
            assert_eq!(Arm::named(short).map(|arm| arm.name), Some(long), "{short}");
        }
    }
}
