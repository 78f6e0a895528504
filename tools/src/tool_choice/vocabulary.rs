//! The 60 words of the tool-choice world, in the order of their token ids, and the tokenizer file that maps them.
//!
//! Ids 0 to 13 are marks; then come 24 sites, 16 subgoals (a page is named like the subgoal it serves) and 6 tools.
//! Words are split at white space, one token a word.

use crate::word_level;
use serde_json::Value;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

const MARKS: &str = "<pad> <bos> task act again judge success failure write <end> works fails err blank";
const SITES: &str = "\
    Alba Borin Cresta Delta Elmo Fjord Gala Haven Iris Juno Kestrel Lumen Mira Nova Orion Pico Quill Rhea Sable Tern \
    Umbra Vela Wren Zephyr";
const SUBGOALS: &str =
    "search filter sort login pay export upload reply share rate book cancel track print merge archive";
const TOOLS: &str = "api menu form macro script click";

const N_MARKS: u8 = 14;
/// The number of sites there are names for.
pub const N_SITES: usize = 24;
/// The number of subgoals.
pub const N_SUBGOALS: usize = 16;
/// The number of tools, one of which works for a subgoal at a site.
pub const N_TOOLS: usize = 6;
/// The number of words, which is the vocabulary size of the model.
pub const N_WORDS: usize = N_MARKS as usize + N_SITES + N_SUBGOALS + N_TOOLS;

static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let words: Vec<_> = [MARKS, SITES, SUBGOALS, TOOLS].iter().flat_map(|list| list.split_whitespace()).collect();
    assert_eq!(words.len(), N_WORDS, "the word lists are of fixed length");
    words
});

/// One word of the tool-choice world; its id is its token id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(u8);

impl Word {
    /// Fills up short rows of a batch; no task contains it.
    pub const PAD: Word = Word(0);
    /// The first word of every prompt.
    pub const BOS: Word = Word(1);
    /// Opens a task: a site and subgoals follow.
    pub const TASK: Word = Word(2);
    /// Opens an attempt.
    pub const ACT: Word = Word(3);
    /// Opens another attempt at the same task.
    pub const AGAIN: Word = Word(4);
    /// Asks whether the attempt before it succeeded.
    pub const JUDGE: Word = Word(5);
    /// A verdict.
    pub const SUCCESS: Word = Word(6);
    /// A verdict.
    pub const FAILURE: Word = Word(7);
    /// Asks for the items that the attempt teaches.
    pub const WRITE: Word = Word(8);
    /// Ends a list of items.
    pub const END: Word = Word(9);
    /// Ends an item: the tool is right.
    pub const WORKS: Word = Word(10);
    /// Ends an item: the tool is wrong.
    pub const FAILS: Word = Word(11);
    /// A page: the tool was refused.
    pub const ERR: Word = Word(12);
    /// A page that says nothing.
    pub const BLANK: Word = Word(13);

    /// All sites.
    pub fn sites() -> impl Iterator<Item = Word> {
        range(N_MARKS, N_SITES).map(Word)
    }

    /// All subgoals; also the names of pages.
    pub fn subgoals() -> impl Iterator<Item = Word> {
        range(N_MARKS + N_SITES as u8, N_SUBGOALS).map(Word)
    }

    /// All tools.
    pub fn tools() -> impl Iterator<Item = Word> {
        range(FIRST_TOOL, N_TOOLS).map(Word)
    }

    /// The tool of a number in `0..N_TOOLS`.
    pub fn tool(number: usize) -> Option<Word> {
        Self::tools().nth(number)
    }

    /// The number of a tool, in `0..N_TOOLS`.
    pub fn tool_number(self) -> Option<usize> {
        Self::tools().position(|tool| tool == self)
    }

    /// Whether this is the name of a site.
    pub fn is_site(self) -> bool {
        range(N_MARKS, N_SITES).contains(&self.0)
    }

    /// Whether this is the name of a subgoal.
    pub fn is_subgoal(self) -> bool {
        range(N_MARKS + N_SITES as u8, N_SUBGOALS).contains(&self.0)
    }

    /// The token id, in `0..N_WORDS`.
    pub fn id(self) -> u32 {
        u32::from(self.0)
    }

    /// The word of a token id, or `None` where the vocabulary has none.
    pub fn from_id(id: u32) -> Option<Word> {
        u8::try_from(id).ok().filter(|id| usize::from(*id) < N_WORDS).map(Word)
    }

    /// The word spelled `text`, or `None` if the vocabulary lacks it.
    pub fn parse(text: &str) -> Option<Word> {
        WORDS.iter().position(|word| *word == text).map(|id| Word(id as u8))
    }

    /// The spelling.
    pub fn text(self) -> &'static str {
        WORDS[usize::from(self.0)]
    }
}

/// The token id of the first tool; the others follow it.
const FIRST_TOOL: u8 = N_MARKS + (N_SITES + N_SUBGOALS) as u8;

fn range(first: u8, n: usize) -> Range<u8> {
    first..first + n as u8
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Words as a text that the tokenizer maps back to the same words.
pub fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text()).collect::<Vec<_>>().join(" ")
}

/// The words of a text, or `None` where one is not of this world.
pub fn words(text: &str) -> Option<Vec<Word>> {
    text.split_whitespace().map(Word::parse).collect()
}

/// The content of `tokenizer.json`, in the format of Hugging Face tokenizers: word level, split at white space.
pub fn tokenizer_json() -> Value {
    let special = [Word::PAD, Word::BOS, Word::END].map(|word| (word.id(), word.text()));
    word_level::tokenizer_json(&WORDS, &special)
}
