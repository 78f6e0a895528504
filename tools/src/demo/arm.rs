//! The arms of the experiment: what the agent is given of its past.

use lagdb::agent::Recall;

/// What is recalled for a follow-up task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// Nothing: the memory-off arm.
    None,
    /// The tokens of the logs, in front of the prompt.
    Text,
    /// The KV logs, attached.
    Kv,
    /// KV logs too, but never the one of the task asked about: the control, which should fail.
    KvOfAnotherTask,
    /// Everything read and said in the recalled trajectories, in front of the prompt.
    FullContext,
}

impl Arm {
    /// All arms, in the order they are reported.
    pub const ALL: [Self; 5] = [Self::None, Self::Text, Self::Kv, Self::KvOfAnotherTask, Self::FullContext];

    /// The name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Text => "text",
            Self::Kv => "kv",
            Self::KvOfAnotherTask => "kv_of_another_task",
            Self::FullContext => "full_context",
        }
    }

    /// How the agent recalls in this arm.
    pub fn recall(self) -> Recall {
        match self {
            Self::None => Recall::Nothing,
            Self::Text => Recall::LogText,
            Self::Kv | Self::KvOfAnotherTask => Recall::KvLogs,
            Self::FullContext => Recall::FullContext,
        }
    }
}
