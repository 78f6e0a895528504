//! The learning loop: recall, try, judge, distill, consolidate, remember. The only floor that sees both the store and the
//! generator.
//!
//! ```text
//!            ┌──────── Environment ◄────────┐
//!            ▼                              │ actions
//!   Task ──► recall ──► try, once or k times ──► judge ──► distill ──► consolidate
//!              ▲              ▲    ▲                          ▲             │
//!              │     guard ───┘    └───── LanguageModel ──────┘             │
//!              └─────────────────────── Scope ◄─────────────────────────────┘
//!                                             one transaction a task
//! ```
//!
//! | question | answered by |
//! |---|---|
//! | what is a task, who answers the agent and who checks? | [`Task`], [`Environment`] |
//! | who speaks? | [`LanguageModel`], [`Conversation`]: a generator, a server (feature `openai`), [`Scripted`] for tests |
//! | in which words? | [`Dialect`]: [`English`], or one of a model's own |
//! | what of the past reaches the model, and how? | [`LessonRecall`], [`Guarding`], [`Recall`], [`Recollection`] |
//! | what happened? | [`Attempt`], [`Ending`] |
//! | how often is a task tried? | [`Scaling`] |
//! | how did it end? | [`Judge`]: [`Verifier`], [`ModelJudge`], [`Ensemble`] |
//! | what is to be learned from it? | [`Distiller`], [`Item`], [`Rejection`] |
//! | what becomes of a lesson among others? | [`Consolidation`], [`Disagreement`], [`Suppression`] |
//! | all of it, for one task of a stream? | [`Learner::live`], [`TaskKey`] |
//!
//! ```
//! use lagdb::agent::{
//!     Agent, Answer, Distiller, English, Environment, EnvironmentError, Learner, Living, Policy, Scripted, Task, Verifier,
//! };
//! use lagdb::{Database, Judgment, Outcome, Step};
//! use std::sync::Arc;
//!
//! /// A door that opens to one word.
//! struct Door(Task);
//!
//! impl Environment for Door {
//!     fn task(&self) -> &Task {
//!         &self.0
//!     }
//!     fn reset(&mut self) -> Result<String, EnvironmentError> {
//!         Ok("A door. What do you say?\n".to_owned())
//!     }
//!     fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
//!         Ok(if action == "sesame" { Answer::end("It opens.") } else { Answer::next("Nothing happens.\n") })
//!     }
//!     fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
//!         let is_open = steps.iter().any(|step| step.observation == "It opens.");
//!         Ok(Some(Judgment::new(if is_open { Outcome::Success } else { Outcome::Failure }, "door")))
//!     }
//! }
//!
//! # fn main() -> lagdb::Result<()> {
//! let lesson = "title: Magic words\ndescription: When a door is to be opened.\ncontent: Say sesame.";
//! let model = Scripted::new(["sesame", lesson, "sesame", "NONE"]);
//! let scope = Database::in_memory()?.scope("doorman")?;
//! let agent = Agent::new(model.clone(), scope.clone(), Policy::default());
//! let distiller = Distiller::new(Arc::new(model.clone()), Arc::new(English));
//! let mut learner = Learner::new(agent, Arc::new(Verifier), distiller);
//! learner.recall.withhold = 0.0;
//!
//! learner.live(&mut Door(Task::new("open the old door")), None)?;
//! let Living::Now(learned) = learner.live(&mut Door(Task::new("open the new door")), None)? else { unreachable!() };
//! assert_eq!(learned.offers[0].lesson.title, "Magic words");
//! assert!(model.prompts()[2].contains("Say sesame."), "what was learned is in the next prompt");
//! assert_eq!(scope.snapshot()?.strategy_stats(learned.offers[0].id)?.unwrap().injected.success, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Log-Augmented Generation, <https://arxiv.org/abs/2505.14398>; ReasoningBank, <https://arxiv.org/abs/2509.25140>.

mod consolidate;
mod dialect;
mod dice;
mod distill;
mod environment;
#[cfg(feature = "generate")]
mod hidden;
mod judge;
mod learn;
mod model;
mod recall;
mod remember;
mod scale;
mod solve;

pub use consolidate::{Consolidated, Consolidation, Disagreement, Suppression};
pub use dialect::{Dialect, English, Item, Learning, Lived, Material, Rejected, Rejection};
pub(crate) use distill::fuzz;
pub use distill::{Distilled, Distiller, ItemLimits};
pub use environment::{Answer, Environment, EnvironmentError, Task};
#[cfg(feature = "generate")]
pub use hidden::{HiddenEmbedder, HiddenPooling};
pub use judge::{Caution, Ensemble, Judge, ModelJudge, Verdict, Verifier};
pub use learn::{Learned, Learner, Lessons, Living, TaskKey};
#[cfg(feature = "openai")]
pub use model::OpenAi;
#[cfg(feature = "generate")]
pub use model::{ChatModel, ServedGenerator, Serving};
pub use model::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, Scripted};
pub use recall::{LessonRecall, Offer, Recall, Recollection, Said, TrajectoryRecall};
pub use scale::{Allot, Judged, Scaling, Way};
pub use solve::{Attempt, Ending};

use crate::{Embedder, LexicalEmbedder, Outcome, Scope};
use lagdb_format::ElementType;
use std::sync::Arc;

/// A model with a memory: one language model over one scope of a database.
///
/// Nothing is held open between calls: no transaction spans a model call.
#[derive(Clone)]
pub struct Agent {
    model: Arc<dyn LanguageModel>,
    scope: Scope,
    dialect: Arc<dyn Dialect>,
    embedder: Arc<dyn Embedder>,
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
    /// Lessons of failures are given right before the action that they speak about, if the environment has
    /// [signatures](Environment::signature). `None`, the default, gives them with the others before the first step: in the
    /// tool-choice world that is eleven points better (`lagdb learn --env demo`, arm `defaults_guarded`). A guard is for lessons
    /// that have no room in the prompt.
    pub guard: Option<Guarding>,
}

/// How lessons of failures are given before an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guarding {
    /// The most lessons before one action.
    pub limit: usize,
    /// How likely a lesson that would be given is withheld, 0 to below 1.
    pub withhold: f64,
    /// Seed of the withholding.
    pub seed: u64,
}

impl Default for Guarding {
    fn default() -> Self {
        Self { limit: 3, withhold: 0.05, seed: 0 }
    }
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
        Self {
            decoding: Decoding::greedy(256),
            max_steps: 8,
            capture: None,
            recall_outcome: Some(Outcome::Success),
            guard: None,
        }
    }
}

impl Agent {
    /// An agent that speaks with `model` and remembers in `scope`.
    pub fn new(model: impl LanguageModel + 'static, scope: Scope, policy: Policy) -> Self {
        let (dialect, embedder) = (Arc::new(English), Arc::new(LexicalEmbedder::default()));
        Self { model: Arc::new(model), scope, dialect, embedder, policy }
    }

    /// Speaking in another dialect than [`English`].
    #[must_use]
    pub fn dialect(self, dialect: Arc<dyn Dialect>) -> Self {
        Self { dialect, ..self }
    }

    /// Finding by the embeddings of another embedder than [`LexicalEmbedder`], such as a model of the user's own.
    #[must_use]
    pub fn embedder(self, embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder, ..self }
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
