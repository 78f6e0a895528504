//! The tool-choice world: sites, subgoals and tools, and a mapping between them that only experience can teach.
//!
//! A task names a site and one to three subgoals (`task Delta search pay act`); for each, the agent chooses one of six
//! tools and sees a page. Which tool works for which subgoal at which site is drawn anew for every stream of tasks, so
//! weights cannot know it: an agent gets better only by remembering *strategy items*, `Delta search api works`
//! (shown to people as "Use api for search at Delta"). The same small model acts, judges its own attempts and writes
//! the items, each in its own prompt.
//!
//! | question | answered by |
//! |---|---|
//! | which words are there, how are they tokenised? | [`Word`], [`tokenizer_json`] |
//! | what is true, what is asked, what does a page show? | [`ToolWorld`], [`ToolTask`], [`page`] |
//! | what was done, what was learned? | [`Choice`], [`Item`] |
//! | what does the model read, what should it say? | `prompts.rs`, [`Knowledge`], [`lessons`] |
//!
//! ```
//! use lagdb_tools::tool_choice::{Choice, ToolWorld, lessons, page, text};
//! use lagdb_tools::world::Rng;
//!
//! let mut rng = Rng::new(7);
//! let world = ToolWorld::draw(&mut rng);
//! let task = world.task(&mut rng);
//! let subgoal = task.subgoals[0];
//! let tool = world.right_tool(task.site, subgoal).ok_or("every pair has a tool")?;
//! let choice = Choice { subgoal, tool, page: page(subgoal, true, &mut rng) };
//! assert_eq!(lessons(task.site, &[choice], true)[0].words()[2], tool);
//! assert!(text(&task.judge_prompt(&[choice])).ends_with(" judge"));
//! # Ok::<(), &str>(())
//! ```

mod item;
mod prompts;
mod teacher;
#[cfg(test)]
mod tests;
mod vocabulary;
mod world;

pub use item::Item;
pub use prompts::{Choice, parse_items, verdict};
pub use teacher::{Knowledge, N_CONTRASTED, Tools, contrast, lessons, looks_like_success};
pub use vocabulary::{N_SITES, N_SUBGOALS, N_TOOLS, N_WORDS, Word, text, tokenizer_json, words};
pub(crate) use world::sample;
pub use world::{ToolTask, ToolWorld, any_tool, page};
