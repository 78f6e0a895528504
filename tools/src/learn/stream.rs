//! What is kept of a stream: task by task whether it was done, and sums over all of it.

use crate::journal::Noted;
use lagdb::Outcome;
use serde::{Deserialize, Serialize};

/// Which stream: an arm and a seed. The seed alone says world and tasks, so arms of one seed live through the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// The name of the arm.
    pub arm: String,
    /// The seed of the world, the tasks and everything drawn in them.
    pub seed: u64,
}

/// A stream that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Which.
    pub key: StreamKey,
    /// What its arm was then; a journal of other arms is refused.
    pub parameters: String,
    /// By task: 1 if the attempt that counts did it.
    pub success: Vec<u8>,
    /// By task: 1 if the first attempt did it.
    pub first_success: Vec<u8>,
    /// By task: attempts.
    pub attempts: Vec<u32>,
    /// By task: steps taken in the environment, over all attempts.
    pub steps: Vec<u32>,
    /// Trajectories in the database at the end.
    pub n_trajectories: u64,
    /// Items given to the agent's recall at the end: active strategies.
    pub items_live: u64,
    /// Tokens of KV logs that first attempts attended to, over all tasks.
    pub attached_tokens: u64,
    /// The agent's own verdicts.
    pub judge: Judged,
    /// The items it wrote.
    pub writer: Written,
    /// Items suppressed by credit: those that were wrong, and those that were right.
    pub suppressed: [u64; 2],
    /// Recalling and remembering, without the model: ms by task.
    pub overhead_ms: Vec<f32>,
}

/// Verdicts beside the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Verdicts.
    pub n: u64,
    /// Those that were right.
    pub n_right: u64,
    /// Those that said success, and of them those that were right.
    pub n_success: u64,
    /// Successes that were called so.
    pub n_true_success: u64,
    /// Replies that were no verdict.
    pub n_abstained: u64,
}

/// Items beside the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Groups of words written.
    pub n: u64,
    /// Those that are items.
    pub n_valid: u64,
    /// Those that are true.
    pub n_true: u64,
}

impl Noted for Stream {
    type Key = StreamKey;

    fn key(&self) -> StreamKey {
        self.key.clone()
    }
}

impl Stream {
    /// One that has not begun.
    pub(super) fn new(key: StreamKey, parameters: String) -> Self {
        Self {
            key,
            parameters,
            success: Vec::new(),
            first_success: Vec::new(),
            attempts: Vec::new(),
            steps: Vec::new(),
            n_trajectories: 0,
            items_live: 0,
            attached_tokens: 0,
            judge: Judged::default(),
            writer: Written::default(),
            suppressed: [0, 0],
            overhead_ms: Vec::new(),
        }
    }
}

impl Written {
    /// Takes in what another stream wrote.
    pub(super) fn add(&mut self, other: Self) {
        self.n += other.n;
        self.n_valid += other.n_valid;
        self.n_true += other.n_true;
    }
}

impl Judged {
    /// Takes in the verdicts of another stream.
    pub(super) fn add(&mut self, other: Self) {
        self.n += other.n;
        self.n_right += other.n_right;
        self.n_success += other.n_success;
        self.n_true_success += other.n_true_success;
        self.n_abstained += other.n_abstained;
    }

    /// Takes in one verdict.
    pub(super) fn note(&mut self, said: Outcome, truth: Outcome) {
        self.n += 1;
        self.n_right += u64::from(said == truth);
        self.n_success += u64::from(said == Outcome::Success);
        self.n_true_success += u64::from(said == Outcome::Success && truth == Outcome::Success);
        self.n_abstained += u64::from(said == Outcome::Unknown);
    }
}
