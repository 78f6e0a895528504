//! The learning loop: recall, solve, judge, remember. The only floor that sees both the store and the generator.
//!
//! ```text
//!   Task ──► recall ──► solve ◄──► Environment ──► judge ──► remember
//!              ▲          ▲ │                                  │ one transaction
//!              │          │ ▼                                  ▼
//!              │     LanguageModel                             │
//!              └──────────────────── Scope ◄───────────────────┘
//! ```
//!
//! | question | answered by |
//! |---|---|
//! | what is a task, who answers the agent and who checks? | [`Task`], [`Environment`] |
//! | who speaks? | [`LanguageModel`], [`Conversation`]; [`Scripted`] for tests |
//! | what of the past reaches the model, and how? | [`Recall`], [`Recollection`] |
//! | what happened? | [`Attempt`], [`Ending`] |
//! | in which words? | [`Dialect`]: [`English`], or one of a model's own |
//! | how did it end? | [`Judge`]: [`Verifier`], [`ModelJudge`], [`Ensemble`] |
//! | what is to be learned from it? | [`Distiller`], [`Item`], [`Rejection`] |
//! | what is kept of it? | [`Agent::remember`] |
//!
//! Log-Augmented Generation, <https://arxiv.org/abs/2505.14398>; ReasoningBank, <https://arxiv.org/abs/2509.25140>.

mod dialect;
mod dice;
mod distill;
mod environment;
mod judge;
mod model;
mod recall;
mod remember;
mod solve;

pub use dialect::{Dialect, English, Item, Learning, Lived, Material, Rejected, Rejection};
pub(crate) use distill::fuzz;
pub use distill::{Distilled, Distiller, ItemLimits};
pub use environment::{Answer, Environment, EnvironmentError, Task};
pub use judge::{Caution, Ensemble, Judge, ModelJudge, Verdict, Verifier};
pub use model::{Conversation, ConversationOptions, Decoding, LanguageModel, Reply, Scripted};
pub use recall::{Recall, Recollection, Said};
pub use solve::{Attempt, Ending};

use crate::{LexicalEmbedder, Outcome, Scope};
use lagdb_format::ElementType;
use std::sync::Arc;

/// A model with a memory: one language model over one scope of a database.
///
/// Nothing is held open between calls: no transaction spans a model call.
#[derive(Clone)]
pub struct Agent {
    model: Arc<dyn LanguageModel>,
    scope: Scope,
    embedder: LexicalEmbedder,
    policy: Policy,
}

/// How an agent acts; what is the same for all its tasks.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How replies are chosen, and at which texts the model hands over to the environment.
    pub decoding: Decoding,
    /// Most actions of a task.
    pub max_steps: usize,
    /// What is kept of the last reply; `None` keeps no KV log and computes a little less.
    pub capture: Option<Capture>,
    /// Recall only trajectories with this outcome; `None` recalls all. Failures never are.
    pub recall_outcome: Option<Outcome>,
}

/// What a KV log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Prompt tokens before the last reply that belong to it (a lead-in such as `think`).
    pub lead_in_tokens: usize,
    /// Number type of the stored keys and values.
    pub element: ElementType,
}

impl Default for Policy {
    fn default() -> Self {
        Self { decoding: Decoding::greedy(256), max_steps: 8, capture: None, recall_outcome: Some(Outcome::Success) }
    }
}

impl Agent {
    /// An agent that speaks with `model` and remembers in `scope`.
    pub fn new(model: impl LanguageModel + 'static, scope: Scope, policy: Policy) -> Self {
        Self { model: Arc::new(model), scope, embedder: LexicalEmbedder::default(), policy }
    }

    /// What the agent remembers in.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who speaks.
    pub fn model(&self) -> &dyn LanguageModel {
        &*self.model
    }
}
