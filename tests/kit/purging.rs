//! A life of which one trajectory is to be purged, and what must then be nowhere.

use super::{self as kit, embed, kv_log, model};
use lagdb::{
    Database, Evidence, Exposure, Id, Judgment, Offered, Outcome, Polarity, Query, Scope, Status, Strategy, Trajectory,
    Upkeep,
};
use std::time::Duration;

pub(crate) const MARKER: &str = "zanzibar-marker-7081";

pub(crate) fn in_files(files: &std::collections::BTreeMap<String, Vec<u8>>, needle: &[u8]) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    files.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.clone()).collect()
}

/// The stored bytes of a KV log that begins like no other: the values of its first tokens.
pub(crate) fn numbers(seed: u32) -> Vec<u8> {
    (0..4)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed * 31) as f32 / 1e9)
        .flat_map(f32::to_le_bytes)
        .collect()
}

pub(crate) struct Lived {
    pub(crate) kept: Id<Trajectory>,
    pub(crate) gone: Id<Trajectory>,
    pub(crate) only: Id<Strategy>,
    pub(crate) both: Id<Strategy>,
    /// Strategy whose place `only` took.
    pub(crate) replaced: Id<Strategy>,
}

pub(crate) fn live(scope: &Scope) -> Lived {
    let kept = kit::remember(scope, "an ordinary task", Some(&kv_log(&model(1), 40, 1)));
    let mut tx = scope.begin().unwrap();
    let gone = tx
        .put(&Trajectory::new(format!("task {MARKER}")).step(MARKER, "did").label(MARKER).rollout(MARKER, 0))
        .unwrap();
    tx.embed(gone, &embed(MARKER)).unwrap();
    tx.judge(gone, &Judgment::new(Outcome::Failure, "test").rationale(MARKER)).unwrap();
    tx.put_kv_log(gone, &kv_log(&model(1), 40, 2)).unwrap();
    let only = tx.put(&kit::strategy(&format!("only {MARKER}"), gone, Polarity::Support)).unwrap();
    tx.embed(only, &embed(MARKER)).unwrap();
    let mut both = kit::strategy("both", gone, Polarity::Support);
    let evidence = Evidence { trajectory: kept, first_step: 0, last_step: 0, polarity: Polarity::Support };
    both.provenance.evidence.push(evidence);
    let both = tx.put(&both).unwrap();
    tx.commit().unwrap();
    // A replaced log, and a second judgment: their bytes are dead before the purge.
    let mut tx = scope.begin().unwrap();
    tx.put_kv_log(gone, &kv_log(&model(1), 40, 3)).unwrap();
    tx.judge(gone, &Judgment::new(Outcome::Success, "test").rationale(MARKER)).unwrap();
    tx.commit().unwrap();
    // Another task was offered what goes, and what stays.
    let mut tx = scope.begin().unwrap();
    let replaced = tx.put(&Strategy::new("replaced", "", "")).unwrap();
    tx.supersede_by(replaced, only).unwrap();
    let offered = [Offered::Strategy(only), Offered::KvLog(gone), Offered::Strategy(both)];
    tx.expose(kept, &offered.map(Exposure::injected)).unwrap();
    let third = tx.put(&Trajectory::new("a third task")).unwrap();
    tx.expose(third, &[Exposure::injected(Offered::Strategy(only))]).unwrap();
    tx.commit().unwrap();
    Lived { kept, gone, only, both, replaced }
}

pub(crate) fn options() -> lagdb::Options {
    Database::options().kv_storage(lagdb::KvStorage::Encoding(lagdb::format::Encoding::Plain))
}

pub(crate) fn check_gone(scope: &Scope, lived: &Lived) {
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.get(lived.gone).unwrap(), None);
    assert!(!snapshot.contains(lived.gone).unwrap() && !snapshot.ids::<Trajectory>().unwrap().contains(&lived.gone));
    assert!(snapshot.judgments(lived.gone).unwrap().is_empty() && snapshot.embedding(lived.gone).unwrap().is_none());
    assert_eq!(snapshot.outcome(lived.gone).unwrap(), Outcome::Unknown);
    assert!(snapshot.kv_logs(lived.gone).unwrap().is_empty());
    assert!(snapshot.kv_log(lived.gone, &model(1)).unwrap().is_none());
    assert!(snapshot.strategies_from(lived.gone).unwrap().is_empty());
    assert_eq!(snapshot.get(lived.only).unwrap(), None);
    let found = snapshot.search::<Trajectory>(&Query::near(embed(MARKER)).limit(100)).unwrap();
    assert!(found.iter().all(|hit| hit.id != lived.gone));
    let found = snapshot.search::<Strategy>(&Query::near(embed(MARKER)).limit(100)).unwrap();
    assert!(found.iter().all(|hit| hit.id != lived.only));
    let both = snapshot.get(lived.both).unwrap().unwrap();
    assert!(both.provenance.evidence.iter().all(|evidence| evidence.trajectory == lived.kept));
    assert_eq!(snapshot.strategies_from(lived.kept).unwrap(), [lived.both]);
    for id in snapshot.ids::<Trajectory>().unwrap() {
        let offered: Vec<_> = snapshot.exposures(id).unwrap().iter().map(|exposure| exposure.offered).collect();
        let left = if id == lived.kept { vec![Offered::Strategy(lived.both)] } else { vec![] };
        assert_eq!(offered, left, "what trajectory {id} was offered");
    }
    for offered in [Offered::Strategy(lived.only), Offered::KvLog(lived.gone)] {
        assert!(snapshot.exposed_to(offered).unwrap().is_empty());
    }
    assert!(snapshot.strategy_stats(lived.only).unwrap().is_none());
    assert_eq!(snapshot.strategy_stats(lived.both).unwrap().unwrap().injected.n(), 1);
    let replaced = snapshot.get(lived.replaced).unwrap().unwrap();
    assert_eq!((replaced.status, replaced.superseded_by), (Status::Stale, None));
    assert_eq!(snapshot.kv_log(lived.kept, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 40, 1));
}

/// One commit with a KV log of each of these seeds, and so one segment.
pub(crate) fn logs_in_one_segment(scope: &Scope, seeds: &[u32]) -> Vec<Id<Trajectory>> {
    let mut tx = scope.begin().unwrap();
    let put = |seed: &u32| {
        let id = tx.put_new(&kit::trajectory(&format!("log {seed}"))).unwrap();
        tx.put_kv_log(id, &kv_log(&model(1), 40, *seed)).unwrap();
        id
    };
    let ids = seeds.iter().map(put).collect();
    tx.commit().unwrap();
    ids
}

/// An upkeep that moves whatever is dead, at a pace.
pub(crate) fn upkeep(bytes_per_second: u64) -> Upkeep {
    Upkeep { every: Duration::from_millis(1), dead_share: 0.0, dead_bytes: 1, bytes_per_second, ..Upkeep::default() }
}
