//! The tokenizer in a GGUF's metadata gives the ids of the `tokenizer.json` it was made from, or is refused.

use crate::generate_support::gguf::{Converted, refused, strings};
use crate::generate_support::*;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use lagdb::Error;
use lagdb::generate::{Generator, LoadOptions};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::LazyLock;

fn byte_level(pre: &str) -> Converted {
    Converted::of("llama", GgmlDType::F16).with_byte_level(pre, &[])
}

/// What the published tokenizers of Llama 3, Mistral Nemo, Qwen2, SmolLM2 and GPT-2 make of one text: digits by three, alone
/// or all together; blank lines together or apart; a whole word by its merges or at once; a beginning or none.
#[test]
fn text_is_split_as_the_name_says() {
    let text = "hello I'll 12345\n\nHi";
    let letters = ["h", "e", "l", "l", "o"];
    let (said, apart) = (["ĠI", "'ll", "Ġ"], ["1", "2", "3", "4", "5"]);
    let (blank, lines, end) = (["ĊĊ"], ["Ċ", "Ċ"], ["H", "i"]);
    let begun = ["<|begin|>", "hello"];
    for (pre, expected) in [
        ("llama-bpe", [&begun[..], &said, &["123", "4", "5"], &blank, &end].concat()),
        ("smaug-bpe", [&["hello"][..], &said, &["123", "4", "5"], &blank, &end].concat()),
        ("tekken", [&begun[..], &said, &apart, &blank, &end].concat()),
        ("qwen2", [&letters[..], &said, &apart, &blank, &end].concat()),
        ("smollm", [&letters[..], &said, &apart, &lines, &end].concat()),
        ("gpt-2", [&letters[..], &said, &["1234", "5"], &lines, &end].concat()),
    ] {
        let file = byte_level(pre);
        let generator = file.load();
        let ids = generator.encode(text, true).unwrap();
        assert_eq!(ids, file.ids(&expected), "{pre}");
        assert_eq!(generator.decode(&ids, false).unwrap(), text, "{pre}");
    }
}

#[test]
fn the_file_says_whether_a_text_begins() {
    for (pre, add) in [("llama-bpe", false), ("qwen2", true)] {
        let more = [("tokenizer.ggml.add_bos_token", Value::Bool(add))];
        let file = Converted::of("llama", GgmlDType::F16).with_byte_level(pre, &more);
        let expected = if add { file.ids(&["<|begin|>", "H"]) } else { file.ids(&["H"]) };
        assert_eq!(file.load().encode("H", true).unwrap(), expected);
    }
}

/// Converters name the first word of a vocabulary where there is no padding: it vanished from every reply.
#[test]
fn what_stands_for_padding_is_still_a_word() {
    let plain = byte_level("qwen2");
    let id = plain.ids(&["H"])[0];
    let generator = plain.with("tokenizer.ggml.padding_token_id", Value::U32(id)).load();
    let ids = generator.encode("Hi", false).unwrap();
    assert_eq!(generator.decode(&ids, false).unwrap(), "Hi");
}

/// A tool call is text; the end of a turn is not, and ends one wherever it stands in the vocabulary.
#[test]
fn control_tokens_are_no_text_and_user_defined_ones_are() {
    let file = byte_level("qwen2").with("tokenizer.ggml.eos_token_id", Value::U32(0));
    let generator = file.load();
    let ids = file.ids(&["<think>", "H", "i", "<|im_end|>"]);
    assert_eq!(generator.encode("<think>Hi<|im_end|>", false).unwrap(), ids);
    assert_eq!(generator.decode(&ids, false).unwrap(), "<think>Hi");
    assert_eq!(generator.decode(&ids, true).unwrap(), "<think>Hi<|im_end|>");
    assert_eq!(generator.config().eos_ids, [0, ids[3]]);
    // What only fills the table up is found in no text; here its letters are no tokens either.
    assert!(!generator.encode("[PAD]", false).unwrap().contains(&file.ids(&["[PAD]"])[0]));
}

/// Another way to split would give other ids, and logits that look right.
#[test]
fn what_is_not_known_is_refused_by_name() {
    assert!(refused(&byte_level("jais").bytes()).contains("tokenizer.ggml.pre is \"jais\", which is not known"));
    let mut unnamed = byte_level("qwen2");
    unnamed.metadata.retain(|(key, _)| key != "tokenizer.ggml.pre");
    assert!(refused(&unnamed.bytes()).contains("tokenizer.ggml.pre is missing"));
    let bert = byte_level("qwen2").with("tokenizer.ggml.model", Value::String("bert".into()));
    assert!(refused(&bert.bytes()).contains("tokenizer.ggml.model is \"bert\""));
    let twice = byte_level("qwen2").with("tokenizer.ggml.tokens", strings(&["a"; 53]));
    assert!(refused(&twice.bytes()).contains("token 1 is \"a\", and so is an earlier one"));
    let short = byte_level("qwen2").with("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1)]));
    assert!(refused(&short.bytes()).contains("token_type is a list of 1 for 53 tokens"));
    let merge = byte_level("qwen2").with("tokenizer.ggml.merges", strings(&["hello hello"]));
    assert!(refused(&merge.bytes()).contains("\"hellohello\" is no token"), "{}", refused(&merge.bytes()));
}

/// The model's own `tokenizer.json` beside the file is read then, and only that one; bytes have nothing beside them.
#[test]
fn the_tokenizer_beside_the_file_must_be_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.gguf");
    let words: Vec<String> = (0..N_VOCAB).map(|id| format!("w{id}")).collect();
    let file = Converted::of("llama", GgmlDType::F16)
        .with("tokenizer.ggml.model", Value::String("bert".into()))
        .with("tokenizer.ggml.tokens", strings(&words));
    std::fs::write(&path, file.bytes()).unwrap();
    assert!(Generator::load(&path).unwrap_err().to_string().contains("tokenizer.json beside the file"));
    let json = Files::of("llama").with_words().tokenizer.unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), &json).unwrap();
    assert_eq!(Generator::load(&path).unwrap().encode("w7 w9", false).unwrap(), [7, 9]);
    let other = json.replace("\"w7\": 7", "\"seven\": 7");
    std::fs::write(dir.path().join("tokenizer.json"), other).unwrap();
    match Generator::load(&path) {
        Err(Error::Model { path, problem }) => {
            assert!(path.ends_with("tokenizer.json"));
            assert!(problem.starts_with("token 7 is \"seven\""), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

/// Pieces, scores and types of a SentencePiece vocabulary; `é` has no piece and two bytes.
static PIECES: LazyLock<Vec<(String, f32, i32)>> = LazyLock::new(|| {
    let mut pieces = vec![("<unk>".to_owned(), 0.0, 2), ("<s>".to_owned(), 0.0, 3), ("</s>".to_owned(), 0.0, 3)];
    pieces.extend([0xC3, 0xA9, 0x0A].map(|byte: u8| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let merged = ["▁a", "ab", "▁ab", "ba", "bb", "abb", "▁b", "aa", "▁▁", "bba", "abba", "▁aa"];
    pieces.extend(merged.iter().enumerate().map(|(i, piece)| ((*piece).to_owned(), -(i as f32), 1)));
    pieces.extend(["▁", "a", "b", "c"].iter().enumerate().map(|(i, p)| ((*p).to_owned(), -(i as f32) - 100.0, 1)));
    pieces
});

fn sentence_piece() -> Converted {
    let list = |value: &dyn Fn(&(String, f32, i32)) -> Value| Value::Array(PIECES.iter().map(value).collect());
    Converted::of("llama", GgmlDType::F16)
        .with("tokenizer.ggml.model", Value::String("llama".into()))
        .with("tokenizer.ggml.pre", Value::String("default".into()))
        .with("tokenizer.ggml.tokens", list(&|(piece, ..)| Value::String(piece.clone())))
        .with("tokenizer.ggml.scores", list(&|&(_, score, _)| Value::F32(score)))
        .with("tokenizer.ggml.token_type", list(&|&(.., kind)| Value::I32(kind)))
        .with("tokenizer.ggml.unknown_token_id", Value::U32(0))
        .with("tokenizer.ggml.bos_token_id", Value::U32(1))
        .with("tokenizer.ggml.eos_token_id", Value::U32(2))
}

/// SentencePiece's algorithm, as it says itself: of all neighbours that are a piece together, the best score is merged
/// first, the leftmost of equals; what is no piece in the end becomes bytes.
fn by_scores(text: &str) -> Vec<u32> {
    let ids: HashMap<&str, (u32, f32)> =
        PIECES.iter().enumerate().map(|(id, (piece, score, _))| (piece.as_str(), (id as u32, *score))).collect();
    let mut parts: Vec<String> = format!(" {text}").replace(' ', "▁").chars().map(String::from).collect();
    loop {
        let merged = |at: usize| ids.get(format!("{}{}", parts[at], parts[at + 1]).as_str()).map(|(_, score)| *score);
        let best = (0..parts.len().saturating_sub(1)).filter_map(|at| Some((at, merged(at)?)));
        let best = best.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((at, _)) = best else { break };
        let right = parts.remove(at + 1);
        parts[at].push_str(&right);
    }
    let bytes = |part: &String| part.bytes().map(|byte| ids[format!("<0x{byte:02X}>").as_str()].0).collect::<Vec<_>>();
    parts.iter().flat_map(|part| ids.get(part.as_str()).map_or_else(|| bytes(part), |(id, _)| vec![*id])).collect()
}

static SENTENCE_PIECE: LazyLock<Generator> = LazyLock::new(|| sentence_piece().load());

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sentence_piece_merges_by_score(text in "[abcé ]{1,14}|[ab]{1,10}\n[ab ]{0,6}") {
        let ids = SENTENCE_PIECE.encode(&text, false).unwrap();
        prop_assert_eq!(&ids, &by_scores(&text), "{:?}", text);
        prop_assert_eq!(SENTENCE_PIECE.decode(&ids, false).unwrap(), text);
    }
}

#[test]
fn sentence_piece_begins_a_text() {
    let generator = &*SENTENCE_PIECE;
    assert_eq!(generator.encode("abba", true).unwrap()[0], 1);
    assert_eq!(generator.config().eos_ids, [2]);
    let scores = sentence_piece().with("tokenizer.ggml.scores", Value::Array(Vec::new()));
    assert!(refused(&scores.bytes()).contains("scores is no score for each token"));
    let bare = sentence_piece().with("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    let bare = Generator::from_gguf(&bare.bytes(), LoadOptions::default()).unwrap();
    assert_eq!(bare.decode(&bare.encode("abba", false).unwrap(), false).unwrap(), "abba");
    assert_ne!(bare.encode("abba", false).unwrap(), generator.encode("abba", false).unwrap());
}
