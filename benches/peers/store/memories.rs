//! What every store keeps: a trajectory, the strategy drawn from it and a vector of 384 numbers.

use crate::synthetic::Random;

/// Numbers of a vector.
pub(crate) const DIM: usize = 384;

/// One memory, the same for every store.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub task: String,
    pub observation: String,
    pub action: String,
    pub title: String,
    pub description: String,
    pub content: String,
    pub vector: Vec<f32>,
}

impl Memory {
    /// The `i`-th memory: about 1 KiB of text and 1.5 KiB of numbers, no two alike.
    pub(crate) fn number(i: u64) -> Self {
        let mut random = Random(i);
        let mut words = |n: usize| -> String {
            (0..n).map(|_| format!("w{:04}", (random.unit() * 10_000.0) as u32)).collect::<Vec<_>>().join(" ")
        };
        Self {
            task: format!("task {i}: {}", words(10)),
            observation: words(60),
            action: format!("act({})", words(8)),
            title: format!("lesson {i}"),
            description: words(12),
            content: words(60),
            vector: (0..DIM).map(|_| random.normal()).collect(),
        }
    }

    /// The trajectory as bytes, for a store that keeps bytes.
    pub(crate) fn trajectory_bytes(&self) -> Vec<u8> {
        [&self.task, &self.observation, &self.action].map(String::as_str).join("\n").into_bytes()
    }

    /// The strategy as bytes.
    pub(crate) fn strategy_bytes(&self) -> Vec<u8> {
        [&self.title, &self.description, &self.content].map(String::as_str).join("\n").into_bytes()
    }

    /// The vector as bytes.
    pub(crate) fn vector_bytes(&self) -> Vec<u8> {
        self.vector.iter().flat_map(|x| x.to_le_bytes()).collect()
    }
}
