//! Trains the tool-choice model: one seed, one command, one run.
//!
//! The world is [`crate::tool_choice`]; the model is a Llama of 0.70 million weights which learns to choose tools, to
//! judge attempts and to write strategy items. What is *not* trained is the use of memory over a stream of tasks: that is
//! what the streams measure.
//!
//! | question | file |
//! |---|---|
//! | what is practised? | `practice.rs` |
//! | how long, at which rates, with what curriculum? | `recipe.rs` |
//! | what is descended? | `loss.rs` |
//! | where does a run start? | `preset.rs` |
//! | which token is which word? | `student.rs` |
//! | what came of it? | `evaluate.rs` (on drawn tasks), `retries.rs` (are refuted tools repeated?), `logs.rs` (are KV logs read?) |

mod evaluate;
mod logs;
mod loss;
mod practice;
mod preset;
mod recipe;
mod retries;
mod run;
mod student;
#[cfg(test)]
mod tests;

pub(crate) use evaluate::check;
pub(crate) use loss::losses;
pub(crate) use preset::preset_look_ups;
pub(crate) use recipe::Recipe;
pub(crate) use run::write_evaluation;
pub use run::{ToolChoiceOptions, evaluate_tool_choice, train_tool_choice};
pub(crate) use student::{Student, WordTokens};
