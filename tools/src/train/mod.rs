//! Trains the demo models: one seed, one command, one run, about a quarter of an hour on one core.
//!
//! The second model, for [`crate::tool_choice`], is trained in `tool_choice/` with the same model code, optimiser, curve
//! and checkpoint; `both/` tries one model for the two worlds. Of the first, the task is [`crate::world`]; the model is a Llama of 0.47 million weights; what is trained is to use KV logs, by
//! letting gradients flow through the keys and values of the log into the pass that made them.
//!
//! | question | file |
//! |---|---|
//! | what is trained on, how long, at which rates? | `recipe.rs` |
//! | what does a batch look like? | `batch.rs` |
//! | what is descended? | `loss.rs` |
//! | where does a run start? | `raw_model.rs`, `copies.rs`, `preset.rs` |
//! | what is the model? | `model.rs`, `ops/` |
//! | what comes out? | `curve.rs`, `checkpoint.rs`, `evaluate.rs`, `table.rs` |

mod batch;
mod both;
mod checkpoint;
mod copies;
mod curve;
mod error;
mod evaluate;
mod loss;
mod model;
mod ops;
mod optimizer;
mod preset;
mod raw_model;
mod recipe;
mod run;
mod table;
#[cfg(test)]
mod tests;
mod tool_choice;

pub use both::{BothOptions, evaluate_both, train_both};
pub use error::TrainError;
pub use run::{TrainOptions, train};
pub use table::evaluate_checkpoint;
pub use tool_choice::{ToolChoiceOptions, evaluate_tool_choice, train_tool_choice};
