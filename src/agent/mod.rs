//! The learning loop: recall, solve, judge, remember. The only floor that sees both the store and the generator.
//!
//! ```text
//!   Task ──► recall ──► solve ◄──► Environment ──► judge ──► remember
//!              ▲          │  look-ups                          │ one transaction
//!              └──────────┴───────────── Scope ◄───────────────┘
//! ```
//!
//! | question | answered by |
//! |---|---|
//! | what is a task, who answers the agent and who judges it? | [`Task`], [`Environment`] |
//! | what of the past reaches the model, and how? | [`Recall`], [`Recollection`] |
//! | what happened? | [`Attempt`] |
//! | what is kept of it? | [`Agent::remember`] |
//!
//! Log-Augmented Generation, <https://arxiv.org/abs/2505.14398>; ReasoningBank, <https://arxiv.org/abs/2509.25140>.

mod environment;
mod recall;
mod remember;
mod solve;

pub use environment::{Environment, Task};
pub use recall::{Recall, Recollection};
pub use solve::Attempt;

use crate::generate::{Generator, Sampling};
use crate::{LexicalEmbedder, Outcome, Scope};
use lagdb_format::ElementType;

/// A model with a memory: one generator over one scope of a database.
///
/// Nothing is held open between calls: no transaction spans a model call.
#[derive(Clone)]
pub struct Agent {
    generator: Generator,
    scope: Scope,
    embedder: LexicalEmbedder,
    policy: Policy,
}

/// How an agent acts; what is the same for all its tasks.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How the next token is chosen, and at which tokens the model hands over to the environment.
    pub sampling: Sampling,
    /// Most steps of a task; the last one is not answered by the environment.
    pub max_steps: usize,
    /// What is kept of the last response; `None` keeps no KV log and computes a little less.
    pub capture: Option<Capture>,
    /// Recall only trajectories with this outcome; `None` recalls all that were not judged failures.
    pub recall_outcome: Option<Outcome>,
}

/// What a KV log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Prompt tokens before the last response that belong to it (a lead-in such as `think`).
    pub lead_in_tokens: usize,
    /// Number type of the stored keys and values.
    pub element: ElementType,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sampling: Sampling::greedy(256),
            max_steps: 8,
            capture: Some(Capture { lead_in_tokens: 0, element: ElementType::F16 }),
            recall_outcome: Some(Outcome::Success),
        }
    }
}

impl Agent {
    /// An agent that answers with `generator` and remembers in `scope`.
    pub fn new(generator: Generator, scope: Scope, policy: Policy) -> Self {
        Self { generator, scope, embedder: LexicalEmbedder::default(), policy }
    }

    /// What the agent remembers in.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What the agent answers with.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }
}
