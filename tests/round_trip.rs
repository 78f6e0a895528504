//! What is committed is there after closing and opening again: records, judgments, embeddings, KV logs.

use crate::kit::{self, embed, kv_log, model};
use lagdb::format::planner::Budget;
use lagdb::format::{Encoding, KvRead, Precision};
use lagdb::{Database, KvStorage, Outcome, Polarity, Query, Strategy, StrategyKind, Trajectory};

#[test]
fn everything_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.lagdb");
    let log = kv_log(&model(1), 300, 7);
    let t = kit::trajectory("book a flight to Seattle").rollout("task-3", 1).started_at_ms(12);

    let database = Database::open(&path).unwrap();
    let scope = database.scope("tenant/agent").unwrap();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&t).unwrap();
    tx.judge(id, &kit::failure()).unwrap();
    tx.judge(id, &kit::success()).unwrap();
    tx.embed(id, &embed(&t.task)).unwrap();
    tx.put_kv_log(id, &log).unwrap();
    let s = kit::strategy("ask for the date", id, Polarity::Support);
    let strategy = tx.put(&s).unwrap();
    tx.embed(strategy, &embed("ask for the date of a flight")).unwrap();
    let commit = tx.commit().unwrap();
    drop((scope, database));

    let database = Database::open(&path).unwrap();
    assert_eq!(database.admin().scopes().unwrap(), ["tenant/agent"]);
    let snapshot = database.scope("tenant/agent").unwrap().snapshot().unwrap();
    assert_eq!(snapshot.commit_id(), commit);
    assert_eq!(snapshot.get(id).unwrap().unwrap(), t);
    assert_eq!(snapshot.get(strategy).unwrap().unwrap(), s);
    assert_eq!(snapshot.outcome(id).unwrap(), Outcome::Success);
    assert_eq!(snapshot.judgments(id).unwrap(), [kit::failure(), kit::success()]);
    assert_eq!(snapshot.embedding(id).unwrap().unwrap(), embed(&t.task));
    assert_eq!(snapshot.strategies_from(id).unwrap(), [strategy]);
    assert_eq!(snapshot.ids::<Trajectory>().unwrap(), [id]);
    assert_eq!(snapshot.len::<Strategy>().unwrap(), 1);
    assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), log);

    let near = Query::near(embed("a flight to Seattle"));
    let hits = snapshot.search::<Trajectory>(&near.clone().outcome(Outcome::Success).label("test")).unwrap();
    assert_eq!((hits.len(), hits[0].id, &hits[0].record), (1, id, &t));
    assert!(hits[0].score > 0.5);
    let hits = snapshot.search::<Strategy>(&near.clone().kind(StrategyKind::Procedure)).unwrap();
    assert_eq!(hits[0].id, strategy);
    for none in [
        near.clone().outcome(Outcome::Failure),
        near.clone().exclude_group("task-3"),
        near.clone().exclude_task(&t.task),
        near.clone().exclude(id),
        near.clone().label("another"),
        near.clone().floor(0.999),
        near.limit(0),
    ] {
        assert!(snapshot.search::<Trajectory>(&none).unwrap().is_empty());
    }
}

#[test]
fn strategies_of_an_excluded_task_are_left_out_too() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("t").rollout("g", 0)).unwrap();
    let strategy = tx.put(&kit::strategy("s", id, Polarity::Contradict)).unwrap();
    tx.embed(strategy, &embed("s")).unwrap();
    let near = Query::near(embed("s"));
    tx.commit().unwrap();

    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.search::<Strategy>(&near).unwrap().len(), 1);
    let without = [near.clone().exclude(id), near.clone().exclude_task("t"), near.exclude_group("g")];
    for query in without {
        assert!(snapshot.search::<Strategy>(&query).unwrap().is_empty());
    }
}

/// Outcomes of strategies were read off the polarity of their evidence: a strategy that a failed run supports was found
/// under success, and judging the run anew changed nothing.
#[test]
fn a_strategy_is_found_under_the_outcomes_of_its_evidence() {
    let (database, scope) = kit::in_memory();
    let found = |under: &[Outcome]| {
        let snapshot = scope.snapshot().unwrap();
        for outcome in Outcome::ALL {
            let hits = snapshot.search::<Strategy>(&Query::near(embed("s")).outcome(outcome)).unwrap();
            assert_eq!(hits.len(), usize::from(under.contains(&outcome)), "{outcome:?} of {under:?}");
        }
        let report = database.verify(&mut |_| {}).unwrap();
        assert!(report.is_sound(), "{report:?}");
    };
    let mut tx = scope.begin().unwrap();
    let failed = tx.put(&kit::trajectory("failed")).unwrap();
    let unknown = tx.put(&kit::trajectory("unknown")).unwrap();
    tx.judge(failed, &kit::failure()).unwrap();
    let mut strategy = kit::strategy("s", failed, Polarity::Support);
    let second = kit::strategy("s", unknown, Polarity::Support).provenance.evidence;
    strategy.provenance.evidence.extend(second);
    let id = tx.put(&strategy).unwrap();
    tx.embed(id, &embed("s")).unwrap();
    tx.commit().unwrap();
    found(&[Outcome::Failure, Outcome::Unknown]);

    let mut tx = scope.begin().unwrap();
    tx.judge(unknown, &kit::failure()).unwrap();
    tx.judge(failed, &kit::success()).unwrap();
    tx.commit().unwrap();
    found(&[Outcome::Failure, Outcome::Success]);

    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(unknown).unwrap());
    tx.commit().unwrap();
    found(&[Outcome::Success]);

    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(id).unwrap());
    tx.commit().unwrap();
    found(&[]);
}

#[test]
fn plain_kv_logs_are_read_as_lossless_ones() {
    let log = kv_log(&model(1), 65, 3);
    for encoding in Encoding::LOSSLESS {
        let database = Database::options().kv_storage(KvStorage::Encoding(encoding)).in_memory().unwrap();
        let scope = database.scope("a").unwrap();
        let id = kit::remember(&scope, "t", Some(&log));
        let view = scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().unwrap();
        drop((scope, database));
        assert_eq!(view.to_log().unwrap(), log, "the view outlives the database");
    }
}

/// A log of a few tokens was once compressed by a fiftieth, and took three times as long to attach.
#[test]
fn small_kv_logs_are_plain_and_large_ones_are_compressed() {
    let scope = Database::in_memory().unwrap().scope("a").unwrap();
    for (n_tokens, encoding) in [(2, Encoding::Plain), (2000, Encoding::ExponentHuffman)] {
        let log = kv_log(&model(1), n_tokens, 3);
        let id = kit::remember(&scope, &format!("{n_tokens} tokens"), Some(&log));
        let view = scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().unwrap();
        assert!(view.pages().all(|page| page.encoding == encoding), "{n_tokens} tokens");
    }
}

/// One log serves a reader in a hurry and an exact one, also after a compaction; and what was not read is not guessed.
#[test]
fn a_log_in_levels_is_read_as_precisely_as_wanted() {
    let log = kv_log(&model(1), 300, 7);
    let database = Database::options().kv_storage(KvStorage::Layered).in_memory().unwrap();
    let scope = database.scope("a").unwrap();
    let id = kit::remember(&scope, "t", Some(&log));
    let doomed = kit::remember(&scope, "another", Some(&log));
    let read = |precision| scope.snapshot().unwrap().kv_log_at(id, &model(1), precision).unwrap().unwrap();
    let error = |precision| {
        let view = read(precision);
        assert_eq!(view.is_approximate(), precision != Precision::Exact);
        let read_keys = |log: &dyn KvRead| {
            let mut keys = vec![0.0; log.layer_numbers(1).unwrap()];
            log.read_keys(1, &mut keys).unwrap();
            keys
        };
        let differences = read_keys(&log).into_iter().zip(read_keys(&view)).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f32::max)
    };
    for _ in 0..2 {
        let errors = [Precision::Base, Precision::Int8, Precision::Exact].map(error);
        assert!(errors[0] > 4.0 * errors[1] && errors[1] > 0.0 && errors[2] == 0.0, "{errors:?}");
        assert_eq!(scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), log);
        assert!(read(Precision::Base).with_precision(Precision::Exact).to_log().is_err(), "it was not read");
        let mut tx = scope.begin().unwrap();
        tx.delete(doomed).unwrap();
        tx.commit().unwrap();
        database.compact(&mut |_| {}).unwrap();
    }
}

#[test]
fn a_kv_budget_is_kept_or_refused_with_the_least_that_is_possible() {
    let log = kv_log(&model(1), 300, 7);
    let small = |budget| {
        let scope = Database::options().kv_storage(KvStorage::Budget(budget)).in_memory().unwrap().scope("a").unwrap();
        let id = kit::remember(&scope, "t", Some(&log));
        scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().unwrap()
    };
    let lossless = small(Budget::RelativeL2(0.0));
    assert_eq!(lossless.to_log().unwrap(), log);
    let lossy = small(Budget::RelativeL2(0.2));
    assert!(lossy.pages().all(|page| page.error.relative_l2 <= 0.2) && lossy.pages().any(|page| page.error.max > 0.0));
    let scope = Database::options()
        .kv_storage(KvStorage::Budget(Budget::BytesPerToken(1.0)))
        .in_memory()
        .unwrap()
        .scope("a")
        .unwrap();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("t")).unwrap();
    let refused = tx.put_kv_log(id, &log).unwrap_err().to_string();
    assert!(refused.contains("the least that is possible"), "{refused}");
}
