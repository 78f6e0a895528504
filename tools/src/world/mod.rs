//! The demo world: a small, made-up world of people and firms, in which an agent answers follow-up questions.
//!
//! Every fact is three words (`Nova city Lagos`). A *source task* shows the documents of some firms and people and asks
//! one two-step question; answering it leaves a *log* of seven words (`think Chen employer Nova city Lagos <end>`).
//! A *follow-up task* comes later, with other documents, and may need what the source task saw. What was needed falls
//! into four [`Kind`]s: in the follow-up's own documents, spelled out in the log, seen by the source task but **not**
//! spelled in its log, or seen nowhere. A fact that is missing is looked up: the agent says `lookup` and
//! [`World::answer_lookup`] answers.
//!
//! Facts are drawn anew for every world, so nothing can be memorised in weights; and worlds of [`Pairs::HeldOut`]
//! use only (subject, value) pairs which no training world ever contains.
//!
//! | question | answered by |
//! |---|---|
//! | which words are there, how are they tokenised? | [`Word`], [`tokenizer_json`] |
//! | what is true? | [`Fact`], [`World`] |
//! | what is asked first, what later? | [`SourceTask`], [`FollowUp`] |
//! | what should the agent say, given what it can see? | [`expected_response`], [`Known`] |
//! | how do I show this to a person? | [`english_fact`], [`english_question`], [`english_response`] |
//!
//! ```
//! use lagdb_tools::world::{Kind, Pairs, TaskSize, Through, World, text};
//!
//! let mut world = World::new(7, Pairs::HeldOut);
//! let source = world.source_task(TaskSize::new(3, 3))?;
//! let follow_up = world.follow_up(&source, Kind::Unspelled, Through::Bridge)?;
//! assert!(text(&follow_up.prompt()).starts_with("<bos> "));
//! assert_eq!(source.log().len(), 7);
//! # Ok::<(), lagdb_tools::world::Exhausted>(())
//! ```

mod english;
mod fact;
mod follow_up;
mod held_out;
mod response;
mod rng;
mod source;
#[cfg(test)]
mod tests;
mod vocabulary;
#[expect(clippy::module_inception, reason = "the folder is the subject, the file is the type")]
mod world;

pub use english::{english_fact, english_question, english_response};
pub use fact::{Fact, Question, Relation};
pub(crate) use follow_up::FollowUpDocuments;
pub use follow_up::{FollowUp, Kind, Through};
pub use held_out::{Pairs, is_held_out};
pub use response::{Known, MarkedWords, expected_response};
pub use rng::Rng;
pub use source::{LOG_LEN, SourceTask, TaskSize};
pub use vocabulary::{VOCABULARY_LEN, Word, WordClass, text, tokenizer_json};
pub use world::{Exhausted, World};
