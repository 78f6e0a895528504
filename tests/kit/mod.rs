//! What the tests share: small records, KV logs and databases.

pub(crate) mod answers;
pub(crate) mod purging;
pub(crate) mod refusing;
pub(crate) mod town;

use lagdb::format::{CaptureStage, Digest, ElementType, KvGeometry, KvLayer, KvLog, ModelFingerprint};
use lagdb::{
    Database, Embedding, EmbeddingSpace, Evidence, Id, Judgment, LexicalEmbedder, Outcome, Polarity, Provenance, Scope,
    Strategy, StrategyKind, Trajectory,
};

/// A model like no other but those with the same `seed`.
pub(crate) fn model(seed: u8) -> ModelFingerprint {
    let digest = |part: &str| Digest::of("test", &[part.as_bytes(), &[seed]]);
    ModelFingerprint {
        weights: digest("weights"),
        config: digest("config"),
        tokenizer: digest("tokenizer"),
        rope: digest("rope"),
        adapters: None,
        geometry: KvGeometry { n_layers: 2, n_kv_heads: 2, head_dim: 4 },
        capture: CaptureStage::BeforeRope,
    }
}

/// A KV log of `model` with `n_tokens` tokens, whose numbers depend on `seed`.
pub(crate) fn kv_log(model: &ModelFingerprint, n_tokens: u32, seed: u32) -> KvLog {
    let n_numbers = n_tokens as usize * model.geometry.row_width();
    let column = |part: u32| {
        let number = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed * 31 + part) as f32 / 1e9;
        (0..n_numbers).flat_map(|i| number(i).to_le_bytes()).collect::<Vec<u8>>()
    };
    let layers =
        (0..model.geometry.n_layers).map(|l| KvLayer { keys: column(2 * l), values: column(2 * l + 1) }).collect();
    let positions = (0..n_tokens).map(|i| i * 2).collect();
    let token_ids = (0..n_tokens).map(|i| i + seed).collect();
    KvLog::new(*model, ElementType::F32, token_ids, positions, layers).unwrap()
}

pub(crate) fn trajectory(task: &str) -> Trajectory {
    Trajectory::new(task).step("saw", "did").step("saw more", "did more").label("test")
}

pub(crate) fn success() -> Judgment {
    Judgment::new(Outcome::Success, "test").score(1.0)
}

pub(crate) fn failure() -> Judgment {
    Judgment::new(Outcome::Failure, "test").rationale("wrong")
}

/// A strategy distilled from the first step of `from`.
pub(crate) fn strategy(title: &str, from: Id<Trajectory>, polarity: Polarity) -> Strategy {
    let evidence = vec![Evidence { trajectory: from, first_step: 0, last_step: 0, polarity }];
    let kind = match polarity {
        Polarity::Support => StrategyKind::Procedure,
        Polarity::Contradict => StrategyKind::Guardrail,
    };
    let provenance = Provenance { distiller: "test/1".into(), evidence };
    Strategy { kind, provenance, ..Strategy::new(title, "when", "how") }
}

pub(crate) fn embed(text: &str) -> Embedding {
    LexicalEmbedder::default().embed(text)
}

pub(crate) fn space(name: &str, dim: usize) -> EmbeddingSpace {
    EmbeddingSpace::new(name, dim).unwrap()
}

pub(crate) fn in_memory() -> (Database, Scope) {
    let database = Database::in_memory().unwrap();
    let scope = database.scope("test").unwrap();
    (database, scope)
}

/// One trajectory with embedding, judgment and KV log, committed.
pub(crate) fn remember(scope: &Scope, task: &str, log: Option<&KvLog>) -> Id<Trajectory> {
    let mut tx = scope.begin().unwrap();
    let id = tx.put_new(&trajectory(task)).unwrap();
    tx.embed(id, &embed(task)).unwrap();
    tx.judge(id, &success()).unwrap();
    if let Some(log) = log {
        tx.put_kv_log(id, log).unwrap();
    }
    tx.commit().unwrap();
    id
}
