//! The tokenizer file of a world whose texts are words at white space, one token a word.

use serde_json::{Map, Value, json};

/// A `tokenizer.json` of `words`, whose ids are their places; `special` are shown only when asked for, the first of them
/// stands for what is no word.
pub(crate) fn tokenizer_json(words: &[&str], special: &[(u32, &str)]) -> Value {
    let vocab: Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let added_token = |(id, text): &(u32, &str)| {
        json!({
            "id": id,
            "content": text,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": true,
        })
    };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special.iter().map(added_token).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null,
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": special.first().map(|(_, text)| *text) },
    })
}
