//! The words of both worlds, in the order of their token ids: those of the demo world first, then the others.

use crate::tool_choice::{self, N_WORDS};
use crate::train::checkpoint::Speech;
use crate::train::tool_choice::WordTokens;
use crate::word_level;
use crate::world::{self, VOCABULARY_LEN};

/// Every word once.
pub(super) fn words() -> Vec<&'static str> {
    let of_demo = (0..VOCABULARY_LEN as u32).filter_map(world::Word::from_id).map(world::Word::text);
    let of_tools = (0..N_WORDS as u32).filter_map(tool_choice::Word::from_id).map(tool_choice::Word::text);
    of_demo.chain(of_tools.filter(|text| world::Word::parse(text).is_none())).collect()
}

/// Where the words of the tool-choice world stand among them.
pub(super) fn tool_choice_tokens() -> WordTokens {
    let words = words();
    let place = |word: tool_choice::Word| words.iter().position(|other| *other == word.text());
    WordTokens::placed(|word| place(word).unwrap_or_default() as u32)
}

/// What goes into the files of a checkpoint.
pub(super) fn speech() -> Speech {
    let [pad, bos, end] = [world::Word::PAD, world::Word::BOS, world::Word::END];
    let special = [pad, bos, end].map(|word| (word.id(), word.text()));
    Speech { tokenizer: word_level::tokenizer_json(&words(), &special), bos: bos.id(), end: end.id(), pad: pad.id() }
}
