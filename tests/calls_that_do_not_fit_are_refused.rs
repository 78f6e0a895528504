//! A call that does not fit the data is a typed error, and a KV log of another model is not found.

use crate::kit::{self, embed, kv_log, model, space};
use lagdb::medium::MemoryMedium;
use lagdb::{
    Database, Embedding, Error, ErrorKind, Evidence, Id, Judgment, Outcome, Polarity, Query, Status, Strategy,
    Trajectory,
};
use std::sync::Arc;

fn is_invalid<T: std::fmt::Debug>(result: lagdb::Result<T>) -> bool {
    matches!(result, Err(Error::Invalid { .. }))
}

#[test]
fn a_kv_log_is_found_by_its_own_model_only() {
    let (_database, scope) = kit::in_memory();
    let id = kit::remember(&scope, "t", Some(&kv_log(&model(1), 10, 1)));
    let mut tx = scope.begin().unwrap();
    tx.put_kv_log(id, &kv_log(&model(2), 12, 2)).unwrap();
    tx.commit().unwrap();
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 10, 1));
    assert_eq!(snapshot.kv_log(id, &model(2)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(2), 12, 2));
    assert!(snapshot.kv_log(id, &model(3)).unwrap().is_none());
    assert_eq!(snapshot.kv_logs(id).unwrap().len(), 2);
}

#[test]
fn embeddings_of_two_spaces_do_not_mix() {
    let (_database, scope) = kit::in_memory();
    let id = kit::remember(&scope, "t", None);
    let other = Embedding::new(&space("minilm/2", 4), vec![1.0, 0.0, 0.0, 0.0]).unwrap();
    let mut tx = scope.begin().unwrap();
    assert!(matches!(tx.embed(id, &other), Err(Error::SpaceMismatch { .. })));
    drop(tx);
    let found = scope.snapshot().unwrap().search::<Trajectory>(&Query::near(other.clone()));
    assert!(matches!(found, Err(Error::SpaceMismatch { .. })));
    assert!(matches!(other.similarity(&embed("t")), Err(Error::SpaceMismatch { .. })));
}

#[test]
fn the_space_of_a_database_is_settled_once() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name| Database::options().embedding_space(space(name, 2)).open(dir.path());
    let database = open("a").unwrap();
    let scope = database.scope("s").unwrap();
    let id = {
        let mut tx = scope.begin().unwrap();
        let id = tx.put(&kit::trajectory("t")).unwrap();
        assert!(matches!(tx.embed(id, &embed("t")), Err(Error::SpaceMismatch { .. })));
        tx.embed(id, &Embedding::new(&space("a", 2), vec![3.0, 4.0]).unwrap()).unwrap();
        tx.commit().unwrap();
        id
    };
    assert_eq!(scope.snapshot().unwrap().embedding(id).unwrap().unwrap().as_slice(), [0.6, 0.8]);
    drop((scope, database));
    assert!(matches!(open("b"), Err(Error::SpaceMismatch { .. })));
    open("a").unwrap();
}

#[test]
fn embeddings_are_finite_directions_and_given_once() {
    let two = space("a", 2);
    for wrong in [vec![], vec![1.0], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
        assert!(is_invalid(Embedding::new(&two, wrong)));
    }
    let large = Embedding::new(&two, vec![f32::MAX, f32::MAX]).unwrap();
    assert!((large.similarity(&large).unwrap() - 1.0).abs() < 1e-6);

    let (_database, scope) = kit::in_memory();
    let id = kit::remember(&scope, "t", None);
    let mut tx = scope.begin().unwrap();
    tx.embed(id, &embed("t")).unwrap();
    assert!(is_invalid(tx.embed(id, &embed("u"))), "an embedding is not changed");
}

#[test]
fn records_are_checked_before_they_are_put() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("t")).unwrap();
    assert!(is_invalid(tx.put(&Trajectory::new(""))));
    assert!(is_invalid(tx.put(&Trajectory::new("t").label(""))));
    assert!(is_invalid(tx.put(&Trajectory::new("t").label("x".repeat(256)))));
    assert!(is_invalid(tx.put(&Trajectory::new("t").rollout("", 1))));
    assert!(is_invalid(tx.put(&Strategy::new("", "", ""))));
    let mut backwards = kit::strategy("s", id, lagdb::Polarity::Support);
    backwards.provenance.evidence[0].first_step = 2;
    assert!(is_invalid(tx.put(&backwards)));
    let unknown = Id::from_u64(999);
    assert!(is_invalid(tx.put(&kit::strategy("s", unknown, lagdb::Polarity::Support))));
    assert!(is_invalid(tx.judge(unknown, &kit::success())));
    assert!(is_invalid(tx.judge(id, &Judgment::new(Outcome::Success, ""))));
    assert!(is_invalid(tx.judge(id, &kit::success().score(f64::NAN))));
    assert!(is_invalid(tx.embed(unknown, &embed("t"))));
    assert!(is_invalid(tx.put_kv_log(unknown, &kv_log(&model(1), 3, 1))));
    assert!(!tx.delete(unknown).unwrap());
    assert_eq!(tx.len::<Trajectory>().unwrap(), 1);
    assert!(is_invalid(database.scope("")) && is_invalid(database.scope("a\nb")));
}

/// A call, and what it should be refused with.
type Refused = (&'static str, Box<dyn Fn(&mut lagdb::Transaction) -> lagdb::Result<()>>);

fn call(field: &'static str, call: impl Fn(&mut lagdb::Transaction) -> lagdb::Result<()> + 'static) -> Refused {
    (field, Box::new(call))
}

/// Every way of calling wrongly: the field is named, the transaction stays usable, and its commit writes none of it.
#[test]
fn a_refused_call_writes_nothing() {
    let medium = MemoryMedium::new();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("mine").unwrap();
    let id = kit::remember(&scope, "t", Some(&kv_log(&model(1), 5, 1)));
    let foreign = kit::remember(&database.scope("theirs").unwrap(), "u", None);
    let mut tx = scope.begin().unwrap();
    let stale = tx.put(&kit::trajectory("gone")).unwrap();
    assert!(tx.delete(stale).unwrap());
    tx.commit().unwrap();

    let wide = Embedding::new(&space("lexical-1024/1", 3), vec![1.0, 0.0, 0.0]).unwrap();
    let other_space =
        Embedding::new(&space("other", embed("t").as_slice().len()), embed("t").as_slice().to_vec()).unwrap();
    let oversized = "x".repeat((64 << 20) + 1);
    let mut calls: Vec<Refused> = vec![
        call("embedding space", move |tx| tx.embed(id, &wide)),
        call("embedding space", move |tx| tx.embed(id, &other_space)),
        call("embedding", move |tx| tx.embed(id, &embed("another"))),
        call("embedding", move |tx| tx.embed(id, &Embedding::new(&space("a", 2), vec![0.0, 0.0])?)),
        call("embedding", move |tx| tx.embed(id, &Embedding::new(&space("a", 2), vec![f32::NAN, 1.0])?)),
        call("embedding", move |tx| tx.embed(id, &Embedding::new(&space("a", 2), vec![1.0])?)),
        call("score", move |tx| tx.judge(id, &kit::success().score(f64::NAN))),
        call("trajectory", move |tx| tx.put(&Trajectory::new(oversized.clone())).map(drop)),
    ];
    for id in [stale, foreign, Id::from_u64(u64::MAX), Id::from_u64(0)] {
        let polarity = lagdb::Polarity::Support;
        calls.push(call("id", move |tx| tx.judge(id, &kit::success())));
        calls.push(call("id", move |tx| tx.embed(id, &embed("t"))));
        calls.push(call("id", move |tx| tx.put_kv_log(id, &kv_log(&model(1), 3, 1))));
        calls.push(call("id", move |tx| tx.put(&kit::strategy("s", id, polarity)).map(drop)));
    }
    let before = (database.stats().unwrap(), medium.dump().into_keys().collect::<Vec<_>>());
    for (number, (field, call)) in calls.iter().enumerate() {
        let mut tx = scope.begin().unwrap();
        let error = call(&mut tx).expect_err(field);
        assert_eq!(error.kind(), ErrorKind::Invalid, "call {number}: {error}");
        assert!(error.to_string().contains(field), "call {number}: {error} does not name {field}");
        tx.commit().unwrap();
    }
    let after = database.stats().unwrap();
    let lagdb::Stats { commit, catalog_bytes, checksum_bytes, .. } = before.0;
    assert_eq!(lagdb::Stats { commit, catalog_bytes, checksum_bytes, ..after }, before.0);
    assert_eq!(medium.dump().into_keys().collect::<Vec<_>>(), before.1);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 1);
}

/// A successor or evidence that is not there was stored, and two strategies could take each other's place and both vanish.
#[test]
fn references_lead_somewhere() {
    let (_database, scope) = kit::in_memory();
    let t = kit::remember(&scope, "t", None);
    let mut tx = scope.begin().unwrap();
    let ids = ["a", "b", "c"].map(|title| tx.put(&Strategy::new(title, "", "")).unwrap());
    let before = tx.ids::<Strategy>().unwrap();
    let mut superseded = Strategy::new("d", "", "");
    (superseded.status, superseded.superseded_by) = (Status::Superseded, Some(Id::from_u64(999)));
    assert!(matches!(tx.put(&superseded), Err(Error::Invalid { .. })), "nobody took its place");
    let n_steps = tx.get(t).unwrap().unwrap().steps.len() as u32;
    for (last_step, is_there) in [(n_steps, false), (n_steps - 1, true)] {
        let mut strategy = Strategy::new("e", "", "");
        strategy.provenance.evidence =
            vec![Evidence { trajectory: t, first_step: 0, last_step, polarity: Polarity::Support }];
        assert_eq!(tx.put(&strategy).is_ok(), is_there, "step {last_step} of {n_steps}");
    }
    tx.supersede_by(ids[0], ids[1]).unwrap();
    tx.supersede_by(ids[1], ids[2]).unwrap();
    for id in ids {
        assert!(matches!(tx.supersede_by(ids[2], id), Err(Error::Invalid { .. })), "a circle");
    }
    assert_eq!(tx.ids::<Strategy>().unwrap().len(), before.len() + 1);
}

/// Once a trajectory of its evidence was deleted, a strategy could get no other: what it had was looked at again.
#[test]
fn evidence_is_added_beside_some_that_is_gone() {
    let (database, scope) = kit::in_memory();
    let [gone, kept] = ["gone", "kept"].map(|task| kit::remember(&scope, task, None));
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::strategy("lesson", gone, Polarity::Support)).unwrap();
    tx.delete(gone).unwrap();
    tx.commit().unwrap();
    let of = |trajectory| Evidence { trajectory, first_step: 0, last_step: 0, polarity: Polarity::Contradict };
    let mut tx = scope.begin().unwrap();
    assert!(is_invalid(tx.add_evidence(id, &[of(kept), of(gone)])), "not of what is gone");
    tx.add_evidence(id, &[of(kept)]).unwrap();
    tx.commit().unwrap();
    let strategy = scope.snapshot().unwrap().get(id).unwrap().unwrap();
    assert_eq!(strategy.provenance.evidence.iter().map(|piece| piece.trajectory).collect::<Vec<_>>(), [gone, kept]);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn options_that_make_no_sense() {
    let refused = Database::options().catalog_cache_bytes(4096).in_memory();
    assert!(matches!(refused, Err(Error::Invalid { what: "catalog_cache_bytes", .. })));
    let database = Database::options().catalog_cache_bytes(1 << 20).in_memory().unwrap();
    assert_eq!(database.stats().unwrap().catalog_cache_bytes, 1 << 20);
    let scope = database.scope("s").unwrap();
    for i in 0..40 {
        let mut tx = scope.begin().unwrap();
        tx.put(&Trajectory::new(format!("task {i} {}", "x".repeat(100_000)))).unwrap();
        tx.commit().unwrap();
    }
    assert_eq!(scope.snapshot().unwrap().search::<Trajectory>(&Query::newest().limit(50)).unwrap().len(), 40);
}
