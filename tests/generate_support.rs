//! The tiny random checkpoints of `tests/fixtures/parity` and what is shared by the promises about them.

pub(crate) mod gguf;

use lagdb::Result;
use lagdb::format::{ElementType, KvLayer, KvLog, KvRead};
use lagdb::generate::{Generator, ModelFiles, NewToken, Selection, Session, SessionOptions};
use safetensors::SafeTensors;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Every family with a fixture.
pub(crate) const FAMILIES: [&str; 7] = ["llama", "llama3", "mistral", "mistral_window", "qwen2", "qwen3", "smollm3"];

/// Tokens of a fixture's vocabulary.
pub(crate) const N_VOCAB: usize = 96;

/// The files of a fixture, to be changed and loaded.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) config: String,
    pub(crate) weights: Vec<u8>,
    pub(crate) tokenizer: Option<String>,
    pub(crate) tokenizer_config: Option<String>,
}

impl Files {
    /// The files of `family`.
    pub(crate) fn of(family: &str) -> Self {
        Self {
            config: std::fs::read_to_string(dir(family).join("config.json")).unwrap(),
            weights: std::fs::read(dir(family).join("model.safetensors")).unwrap(),
            tokenizer: None,
            tokenizer_config: None,
        }
    }

    /// With a chat template.
    pub(crate) fn with_template(self, template: &str) -> Self {
        let config = serde_json::json!({
            "bos_token": {"content": "<s>", "special": true}, "eos_token": "</s>", "chat_template": template,
        });
        Self { tokenizer_config: Some(config.to_string()), ..self }
    }

    /// With every number of the tensors whose names end so in the place of what it was; they are of 16 bits.
    pub(crate) fn with_tensors(mut self, name_ends: &str, change: impl Fn([u8; 2]) -> [u8; 2]) -> Self {
        let tensors = SafeTensors::deserialize(&self.weights).unwrap();
        let of_name = tensors.tensors().into_iter().filter(|(name, _)| name.ends_with(name_ends));
        let places: Vec<_> = of_name
            .map(|(_, tensor)| {
                let start = tensor.data().as_ptr().addr() - self.weights.as_ptr().addr();
                start..start + tensor.data().len()
            })
            .collect();
        assert!(!places.is_empty(), "no tensor is called {name_ends}");
        for number in places.into_iter().flat_map(|place| place.step_by(2)) {
            let was = [self.weights[number], self.weights[number + 1]];
            self.weights[number..number + 2].copy_from_slice(&change(was));
        }
        self
    }

    /// With the words `w0` to `w95` as vocabulary; `w2` is special.
    pub(crate) fn with_words(self) -> Self {
        let vocab: Vec<String> = (0..N_VOCAB).map(|id| format!(r#""w{id}": {id}"#)).collect();
        let tokenizer = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
                "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "decoder": null,
                "added_tokens": [{{"id": 2, "content": "w2", "single_word": false, "lstrip": false, "rstrip": false,
                                   "normalized": false, "special": true}}],
                "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w0"}}}}"#,
            vocab.join(", ")
        );
        Self { tokenizer: Some(tokenizer), ..self }
    }

    /// Loads them.
    pub(crate) fn load(&self) -> Result<Generator> {
        Generator::from_files(ModelFiles {
            config: self.config.as_bytes(),
            weights: &[&self.weights],
            tokenizer: self.tokenizer.as_ref().map(String::as_bytes),
            generation_config: None,
            tokenizer_config: self.tokenizer_config.as_ref().map(String::as_bytes),
        })
    }
}

/// Directory of a fixture.
pub(crate) fn dir(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(family)
}

/// The model of a fixture; it has no tokenizer.
pub(crate) fn model(family: &str) -> Generator {
    Generator::load(dir(family)).unwrap()
}

/// A session with the defaults.
pub(crate) fn session(generator: &Generator) -> Session {
    generator.session(SessionOptions::default()).unwrap()
}

/// A session whose row 0 has this position.
pub(crate) fn session_at(generator: &Generator, first_position: u32) -> Session {
    generator.session(SessionOptions { first_position, ..Default::default() }).unwrap()
}

/// `ids` computed in a new session, as a KV log.
pub(crate) fn log_of(generator: &Generator, ids: &[u32], element: ElementType) -> KvLog {
    let mut session = session(generator);
    session.feed(ids).unwrap();
    session.capture(Selection::Tokens(0..ids.len()), element).unwrap()
}

/// Logits after each of `ids` in a new session.
pub(crate) fn logits(generator: &Generator, ids: &[u32]) -> Vec<f32> {
    session(generator).feed_for_logits(ids).unwrap()
}

/// `n` token ids that differ by `seed`.
pub(crate) fn tokens(n: usize, seed: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919 + 13 + seed * 31) % N_VOCAB) as u32).collect()
}

/// Lets generation go on.
pub(crate) fn go_on(_: NewToken<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What transformers computed for a fixture.
pub(crate) struct Reference {
    /// `[n_tokens]`
    pub(crate) ids: Vec<u32>,
    /// `[n_tokens, vocab_size]`
    pub(crate) logits: Vec<f32>,
    /// Turned keys of layer 0, `[n_kv_heads, n_kept, head_dim]`; a windowed cache keeps the last tokens only.
    pub(crate) keys: Vec<f32>,
    /// The middle number of that shape.
    pub(crate) n_kept: usize,
}

/// Reads `ref.safetensors`.
pub(crate) fn reference(family: &str) -> Reference {
    let bytes = std::fs::read(dir(family).join("ref.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let bytes = tensors.tensor(name).unwrap().data().as_chunks::<4>().0;
        bytes.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let ids = tensors.tensor("ids").unwrap().data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let n_kept = tensors.tensor("k0_rot").unwrap().shape()[1];
    Reference { ids, logits: numbers("logits"), keys: numbers("k0_rot"), n_kept }
}

/// The largest absolute difference.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The index of the largest logit.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

/// The mean over tokens of `Σ p ln(p / q)`, in nats.
pub(crate) fn kl_divergence(p: &[f32], q: &[f32], n_vocab: usize) -> f64 {
    let log_softmax = |logits: &[f32]| -> Vec<f64> {
        let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        logits.iter().map(|x| f64::from(*x) - sum.ln()).collect()
    };
    let of_token = |(p, q): (&[f32], &[f32])| -> f64 {
        log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    p.chunks_exact(n_vocab).zip(q.chunks_exact(n_vocab)).map(of_token).sum::<f64>() / (p.len() / n_vocab) as f64
}

/// The log with `x` in place of one of its values, at the last layer.
pub(crate) fn with_value(log: &KvLog, x: f32) -> KvLog {
    let mut layers: Vec<KvLayer> = log.layers().to_vec();
    let values = &mut layers.last_mut().unwrap().values;
    values[400..404].copy_from_slice(&x.to_le_bytes());
    let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
    KvLog::new(*log.fingerprint(), ElementType::F32, ids, positions, layers).unwrap()
}
