//! The arms: what of the past is before the model when it answers.

/// One arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arm {
    /// Its name in the report.
    pub(super) name: &'static str,
    /// What is recalled.
    pub(super) memory: Memory,
    /// Whether it is recalled for the question asked; otherwise for another one, drawn by the seed: the control.
    pub(super) is_relevant: bool,
}

/// What is recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Nothing.
    Nothing,
    /// Questions and what was answered, as text.
    Text,
    /// Lessons.
    Strategies,
    /// KV logs of the same questions and answers.
    Kv,
    /// KV logs and lessons.
    Both,
}

impl Memory {
    /// Whether KV logs are attached.
    pub(super) fn has_logs(self) -> bool {
        matches!(self, Self::Kv | Self::Both)
    }

    /// Whether lessons are given.
    pub(super) fn has_lessons(self) -> bool {
        matches!(self, Self::Strategies | Self::Both)
    }
}

impl Arm {
    /// All, in the order they are reported.
    pub(super) const ALL: [Self; 9] = [
        Self { name: "none", memory: Memory::Nothing, is_relevant: true },
        Self { name: "text", memory: Memory::Text, is_relevant: true },
        Self { name: "strategies", memory: Memory::Strategies, is_relevant: true },
        Self { name: "kv", memory: Memory::Kv, is_relevant: true },
        Self { name: "both", memory: Memory::Both, is_relevant: true },
        Self { name: "irrelevant_text", memory: Memory::Text, is_relevant: false },
        Self { name: "irrelevant_strategies", memory: Memory::Strategies, is_relevant: false },
        Self { name: "irrelevant_kv", memory: Memory::Kv, is_relevant: false },
        Self { name: "irrelevant_both", memory: Memory::Both, is_relevant: false },
    ];

    /// The arm of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arm| arm.name == name)
    }
}
