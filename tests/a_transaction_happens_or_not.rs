//! A transaction that is dropped never happened; writers take turns; scopes see nothing of each other.

use crate::kit::{self, embed, kv_log, model};
use lagdb::{Database, Error, Id, Query, Trajectory};

#[test]
fn dropped_it_never_happened() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("a.lagdb")).unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    let lost = tx.put(&kit::trajectory("t")).unwrap();
    tx.embed(lost, &embed("lost words")).unwrap();
    tx.put_kv_log(lost, &kv_log(&model(1), 10, 1)).unwrap();
    assert_eq!(tx.search::<Trajectory>(&Query::near(embed("lost words"))).unwrap().len(), 1);
    drop(tx);

    assert!(database.admin().scopes().unwrap().is_empty());
    assert_eq!(scope.snapshot().unwrap().get(lost).unwrap(), None);
    let files = std::fs::read_dir(dir.path().join("a.lagdb/segments")).unwrap();
    assert_eq!(files.count(), 0);
    let id = kit::remember(&scope, "other words", None);
    assert_ne!(id, lost, "numbers are not given out twice");
    let hits = scope.snapshot().unwrap().search::<Trajectory>(&Query::near(embed("lost words"))).unwrap();
    assert!(hits.len() == 1 && hits[0].score < 0.9, "nothing of the lost embedding is left");
}

/// A search in a transaction left a vector cache of its embeddings' dimension behind. When the transaction was dropped
/// and the next one settled on another dimension, vectors were cut off to the dead one and every score was wrong.
#[test]
fn the_dimension_of_a_dropped_transaction_is_forgotten() {
    let (_database, scope) = kit::in_memory();
    let unit = |name: &str, dim: usize, at: usize| {
        let numbers = (0..dim).map(|i| f32::from(u8::from(i == at))).collect();
        lagdb::Embedding::new(&kit::space(name, dim), numbers).unwrap()
    };
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("t")).unwrap();
    tx.embed(id, &unit("small", 8, 1)).unwrap();
    assert_eq!(tx.search::<Trajectory>(&Query::near(unit("small", 8, 1))).unwrap().len(), 1);
    drop(tx);

    let mut tx = scope.begin().unwrap();
    for at in [12, 13] {
        let id = tx.put_new(&kit::trajectory("t")).unwrap();
        tx.embed(id, &unit("large", 16, at)).unwrap();
    }
    tx.commit().unwrap();
    let hits = scope.snapshot().unwrap().search::<Trajectory>(&Query::near(unit("large", 16, 13))).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.score).collect::<Vec<_>>(), [1.0, 0.0]);
}

#[test]
fn writers_take_turns() {
    let (_database, scope) = kit::in_memory();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let scope = scope.clone();
            threads.spawn(move || {
                for i in 0..10 {
                    kit::remember(&scope, &format!("{thread} {i}"), None);
                }
            });
        }
    });
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.len::<Trajectory>().unwrap(), 40);
    assert_eq!(snapshot.commit_id().as_u64(), 40);
}

/// A thread that began a transaction, a compaction or a verification while it had a transaction open waited for itself,
/// for ever.
#[test]
fn a_thread_does_not_wait_for_itself() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    assert!(matches!(scope.begin(), Err(Error::Invalid { .. })));
    assert!(matches!(database.scope("other").unwrap().begin(), Err(Error::Invalid { .. })));
    assert!(matches!(database.compact(&mut |_| {}), Err(Error::Invalid { .. })));
    assert!(matches!(database.verify(&mut |_| {}), Err(Error::Invalid { .. })));
    tx.put(&kit::trajectory("t")).unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| kit::remember(&scope, "u", None));
        tx.commit().unwrap();
        waiting.join().unwrap();
    });
    database.compact(&mut |_| {}).unwrap();
    assert!(scope.begin().is_ok() && database.verify(&mut |_| {}).is_ok());
}

#[test]
fn scopes_see_nothing_of_each_other() {
    let (database, a) = kit::in_memory();
    let b = database.scope("b").unwrap();
    let log = kv_log(&model(1), 10, 1);
    let id = kit::remember(&a, "secret", Some(&log));
    kit::remember(&b, "public", None);
    let snapshot = b.snapshot().unwrap();
    assert_eq!(snapshot.get(id).unwrap(), None);
    assert!(snapshot.kv_log(id, &model(1)).unwrap().is_none());
    assert!(snapshot.embedding(id).unwrap().is_none() && snapshot.judgments(id).unwrap().is_empty());
    let hits = snapshot.search::<Trajectory>(&Query::near(embed("secret"))).unwrap();
    assert!(hits.iter().all(|hit| hit.record.task == "public"));
    let mut tx = b.begin().unwrap();
    assert!(tx.judge(id, &kit::success()).is_err() && !tx.delete(id).unwrap());
    assert!(tx.put(&kit::strategy("s", id, lagdb::Polarity::Support)).is_err());
}

#[test]
fn what_is_deleted_in_the_transaction_that_put_it_is_gone() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let id: Id<Trajectory> = tx.put(&kit::trajectory("t")).unwrap();
    tx.put_kv_log(id, &kv_log(&model(1), 10, 1)).unwrap();
    assert!(tx.kv_log(id, &model(1)).is_err(), "readable once it is committed");
    assert!(tx.delete(id).unwrap());
    tx.commit().unwrap();
    assert_eq!(database.stats().unwrap().kv_logs, 0);
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}
