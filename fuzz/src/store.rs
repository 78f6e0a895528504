//! The store: its decoders, and sequences of operations against a plain map.

use lagdb::format::{CaptureStage, Digest, ElementType, KvGeometry, KvLayer, KvLog, ModelFingerprint};
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Id, Judgment, Outcome, Snapshot, Trajectory, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes as records of every kind; the first two are the schema.
pub fn record_decode(data: &[u8]) {
    if let Some((schema, bytes)) = data.split_first_chunk::<2>() {
        lagdb::fuzzing::record_decode(u16::from_le_bytes(*schema), bytes);
    }
}

/// Bytes as catalog values; the first says how many of the next are the key.
pub fn catalog_value(data: &[u8]) {
    if let Some((n, rest)) = data.split_first() {
        let (key, bytes) = rest.split_at(usize::from(*n).min(rest.len()));
        lagdb::fuzzing::catalog_value(key, bytes);
    }
}

/// Bytes as a file of the vector index.
pub fn index_generation(data: &[u8]) {
    lagdb::fuzzing::index_generation(data);
}

/// Bytes as operations, three bytes each, at most 64 of them.
pub fn store_ops(data: &[u8]) {
    let medium = MemoryMedium::new();
    let open = || Database::options().open_on(Arc::new(medium.clone())).expect("a sound database opens");
    let mut database = open();
    let mut lived = Model::new();
    for op in data.as_chunks::<3>().0.iter().take(64) {
        let [kind, which, value] = *op;
        match kind % 8 {
            6 => {
                drop(database);
                database = open();
            }
            7 => {
                database.compact(&mut |_| {}).expect("a sound database is compacted");
            }
            kind => change(&database, &mut lived, kind, which, value),
        }
    }
    let scope = database.scope("fuzz").expect("a name");
    check(&scope.snapshot().expect("a snapshot"), &lived);
    let report = database.verify(&mut |_| {}).expect("a report");
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
}

/// What was lived: judgments, and the seed of the KV log.
type Model = BTreeMap<Id<Trajectory>, (Vec<Judgment>, Option<u8>)>;

/// One transaction with one operation; an odd `which` above 127 drops it.
fn change(database: &Database, lived: &mut Model, kind: u8, which: u8, value: u8) {
    let mut after = lived.clone();
    let scope = database.scope("fuzz").expect("a name");
    let mut tx = scope.begin().expect("a transaction");
    apply(&mut tx, &mut after, kind, which, value).expect("an operation that fits");
    if which > 127 && which % 2 == 1 {
        return;
    }
    tx.commit().expect("a commit");
    *lived = after;
}

fn apply(tx: &mut Transaction, lived: &mut Model, kind: u8, which: u8, value: u8) -> lagdb::Result<()> {
    let chosen = lived.keys().nth(usize::from(which) % lived.len().max(1)).copied();
    match (kind, chosen) {
        (2, Some(id)) => {
            let outcome = Outcome::from_code(value % 4).unwrap_or_default();
            let judgment = Judgment::new(outcome, "fuzz");
            tx.judge(id, &judgment)?;
            lived.entry(id).or_default().0.push(judgment);
        }
        (3 | 4, Some(id)) => {
            tx.put_kv_log(id, &kv_log(value))?;
            lived.entry(id).or_default().1 = Some(value);
        }
        (5, Some(id)) => {
            assert!(tx.delete(id)?);
            lived.remove(&id);
        }
        _ => {
            let id = tx.put_new(&Trajectory::new(format!("task {value}")).label("fuzz"))?;
            assert!(lived.insert(id, Default::default()).is_none());
        }
    }
    Ok(())
}

fn check(snapshot: &Snapshot, lived: &Model) {
    assert_eq!(snapshot.ids::<Trajectory>().expect("ids"), lived.keys().copied().collect::<Vec<_>>());
    for (id, (judgments, seed)) in lived {
        assert!(snapshot.get(*id).expect("a row").is_some());
        assert_eq!(snapshot.judgments(*id).expect("judgments"), *judgments);
        let found = snapshot.kv_log(*id, &model()).expect("a KV log");
        assert_eq!(found.map(|view| view.to_log().expect("sound pages")), seed.map(kv_log));
    }
}

pub(crate) fn model() -> ModelFingerprint {
    let digest = Digest::of("fuzz", &[]);
    let geometry = KvGeometry { n_layers: 1, n_kv_heads: 1, head_dim: 2 };
    ModelFingerprint {
        weights: digest,
        config: digest,
        tokenizer: digest,
        rope: digest,
        adapters: None,
        geometry,
        capture: CaptureStage::BeforeRope,
    }
}

pub(crate) fn kv_log(seed: u8) -> KvLog {
    let n_tokens = u32::from(seed % 5);
    let column = vec![seed; n_tokens as usize * 2 * 2];
    let layer = KvLayer { keys: column.clone(), values: column };
    KvLog::new(model(), ElementType::F16, (0..n_tokens).collect(), (0..n_tokens).collect(), vec![layer])
        .expect("a log of its own geometry")
}
