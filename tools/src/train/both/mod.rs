//! Trains one model for both demo worlds: a try, whose outcome the model cards report.
//!
//! Every step has a batch of each world, whose losses are added; the recipes are those of [the parent](super) and of
//! [`tool_choice`](super::tool_choice). Words that both worlds spell alike are one token.
//!
//! | question | file |
//! |---|---|
//! | which token is which word? | `vocabulary.rs` |
//! | how large, how long, at which rates, from where? | `recipe.rs` |
//! | what comes out? | `run.rs` |

mod recipe;
mod run;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use run::{BothOptions, evaluate_both, train_both};
