//! Doors to parsers that are otherwise private, for the fuzz targets; no part of what is promised.

use super::tokenizer::TokenizerJson;
use std::path::PathBuf;

/// Reads bytes as a `tokenizer.json`; what is read encodes a text and decodes its ids.
///
/// # Panics
/// When the library does: that is what fuzzing looks for.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(json) = TokenizerJson::parse(bytes, PathBuf::from("tokenizer.json")) else { return };
    let Ok(tokenizer) = json.load(1 << 20) else { return };
    for text in ["", "Hello, I'LL pay 12345\n\n for <|im_end|> \u{e9}\u{301} \u{1f600}"] {
        if let Ok(ids) = tokenizer.encode(text, true) {
            drop(tokenizer.decode(&ids, false));
            let mut stream = tokenizer.stream();
            drop(ids.iter().try_for_each(|&id| stream.push(id).map(drop)));
        }
    }
}

/// Renders bytes as a chat template.
///
/// # Panics
/// When the engine does, or takes time or memory without bound.
pub fn chat_template(bytes: &[u8]) {
    super::chat_template::fuzz(&String::from_utf8_lossy(bytes));
}
