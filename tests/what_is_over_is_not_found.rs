//! A record with a time limit is found until then and not afterwards, by the clock that the database was given; upkeep
//! takes it out, and bitmaps and counters agree.

use crate::kit;
use lagdb::{
    Database, Expiry, Exposure, Filter, Id, Offered, Options, Polarity, Query, Scope, Status, Strategy, StrategyKind,
    Trajectory, Upkeep,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;

/// A database whose clock is the number.
fn with_clock() -> (Options, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(0));
    let hand = clock.clone();
    (Database::options().clock(move || hand.load(Ordering::Relaxed)), clock)
}

struct Ids {
    lasting: Id<Trajectory>,
    passing: Id<Trajectory>,
    guardrail: Id<Strategy>,
}

/// A trajectory for ever, and until 10,000 s one more and a guardrail learned from it, offered to the first.
fn remember(scope: &Scope) -> Ids {
    let mut tx = scope.begin().unwrap();
    let lasting = tx.put(&kit::trajectory("cancel a flight")).unwrap();
    let passing = tx.put(&kit::trajectory("cancel my flight").expires_at_ms(10_000_000)).unwrap();
    let lesson = kit::strategy("ask first", passing, Polarity::Support).action_signature("cancel(*)");
    let lesson = lesson.kind(StrategyKind::Guardrail).error_signature("409").expires_at_ms(10_000_000);
    let guardrail = tx.put(&lesson).unwrap();
    for id in [lasting, passing] {
        tx.embed(id, &kit::embed("cancel a flight")).unwrap();
    }
    tx.judge(lasting, &kit::success()).unwrap();
    tx.judge(passing, &kit::failure()).unwrap();
    tx.embed(guardrail, &kit::embed("cancel a flight")).unwrap();
    tx.expose(lasting, &[Exposure::injected(Offered::Strategy(guardrail))]).unwrap();
    tx.commit().unwrap();
    Ids { lasting, passing, guardrail }
}

fn near() -> Query {
    Query::near(kit::embed("cancel a flight"))
}

/// How many trajectories and strategies each way to find something finds: search, the newest, near duplicates, guards,
/// contrasts.
fn found(snapshot: &lagdb::Snapshot) -> [usize; 7] {
    let n = |some: bool| usize::from(some);
    [
        snapshot.search::<Trajectory>(&near()).unwrap().len(),
        snapshot.search::<Trajectory>(&Query::newest()).unwrap().len(),
        snapshot.search::<Strategy>(&near()).unwrap().len(),
        n(snapshot.near_duplicate::<Strategy>(&kit::embed("cancel a flight"), 0.5).unwrap().is_some()),
        snapshot.guard("cancel(*)").unwrap().len(),
        snapshot.guard_error("409").unwrap().len(),
        n(snapshot.contrast(&near()).unwrap().is_some()),
    ]
}

#[test]
fn it_is_found_until_then_and_not_afterwards() {
    let (options, clock) = with_clock();
    let database = options.in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let ids = remember(&scope);
    let early = scope.snapshot().unwrap();
    for (now_ms, is_there) in [(0, true), (9_999_999, true), (10_000_000, false), (10 * HOUR_MS, false)] {
        clock.store(now_ms, Ordering::Relaxed);
        let snapshot = scope.snapshot().unwrap();
        let expected = if is_there { [2, 2, 1, 1, 1, 1, 1] } else { [1, 1, 0, 0, 0, 0, 0] };
        assert_eq!((snapshot.now_ms(), found(&snapshot)), (now_ms, expected));
        assert_eq!(found(&snapshot.at_ms(0)), [2, 2, 1, 1, 1, 1, 1], "another time can be asked for");
        assert_eq!(found(&scope.begin().unwrap()), expected, "a transaction has a time too");
    }
    assert_eq!(found(&early), [2, 2, 1, 1, 1, 1, 1], "a snapshot does not change");

    let late = scope.snapshot().unwrap();
    assert!(late.get(ids.passing).unwrap().is_some(), "whoever has the id can look");
    let over = Query::newest().filter(Filter::expired_at(10_000_000));
    let hits = late.search::<Trajectory>(&over).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [ids.passing]);
    assert_eq!(late.search::<Strategy>(&over).unwrap().len(), 1);
    assert!(late.search::<Strategy>(&Query::newest().filter(Filter::expired_at(9_999_999))).unwrap().is_empty());
}

#[test]
fn upkeep_takes_it_out_and_all_that_is_derived_agrees() {
    let (options, clock) = with_clock();
    let database = options.in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let ids = remember(&scope);
    let upkeep = database.keep_up(Upkeep { every: Duration::from_secs(3600), ..Upkeep::default() }).unwrap();
    assert_eq!(upkeep.look_now().unwrap().expired, Expiry::default(), "nothing is over yet");
    let before = scope.snapshot().unwrap();

    clock.store(10_000_000, Ordering::Relaxed);
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.expired.trajectories, report.expired.strategies, &report.failure), (1, 1, &None));
    assert_eq!(report.expired.commit, Some(scope.snapshot().unwrap().commit_id()));
    assert_eq!(upkeep.look_now().unwrap().expired, report.expired, "once");
    let snapshot = scope.snapshot().unwrap();
    assert!(snapshot.get(ids.passing).unwrap().is_none() && snapshot.ids::<Trajectory>().unwrap() == [ids.lasting]);
    let strategy = snapshot.get(ids.guardrail).unwrap().unwrap();
    assert_eq!(strategy.status, Status::Expired, "history stays");
    assert_eq!(found(&snapshot.at_ms(0)), [1, 1, 0, 0, 0, 0, 0], "also for an earlier time");
    assert_eq!(found(&before), [2, 2, 1, 1, 1, 1, 1]);

    let snapshot = scope.snapshot().unwrap();
    let expired = Query::newest().filter(Filter::status(Status::Expired));
    assert_eq!(snapshot.search::<Strategy>(&expired).unwrap().len(), 1, "it is found by its status");
    assert!(snapshot.search::<Strategy>(&expired.outcome(lagdb::Outcome::Failure)).unwrap().is_empty());
    assert_eq!(snapshot.strategy_stats(ids.guardrail).unwrap().unwrap().injected.success, 1);
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// Every strategy whose time was over was noted as expired, also one whose place another had taken: which one was lost.
#[test]
fn history_outlives_expiry() {
    let database = Database::options().clock(|| 5).in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    let put =
        |tx: &mut lagdb::Transaction, title: &str| tx.put(&Strategy::new(title, "", "").expires_at_ms(5)).unwrap();
    let ids = ["old", "new", "suspended", "stale"].map(|title| put(&mut tx, title));
    tx.supersede_by(ids[0], ids[1]).unwrap();
    tx.set_status(ids[2], Status::Suspended).unwrap();
    tx.set_status(ids[3], Status::Stale).unwrap();
    tx.commit().unwrap();
    assert_eq!(database.expire(5).unwrap().strategies, 1, "the active one");
    let snapshot = scope.snapshot().unwrap();
    let found = ids.map(|id| snapshot.get(id).unwrap().unwrap());
    assert_eq!(found[0].superseded_by, Some(ids[1]));
    let statuses = found.map(|strategy| strategy.status);
    assert_eq!(statuses, [Status::Superseded, Status::Expired, Status::Suspended, Status::Stale]);
    assert_eq!(database.expire(u64::MAX).unwrap(), Expiry::default(), "once");
}

#[test]
fn thousands_are_taken_out_in_every_scope() {
    let database = Database::options().clock(|| 5).in_memory().unwrap();
    for name in ["a", "b"] {
        let mut tx = database.scope(name).unwrap().begin().unwrap();
        for i in 0..1500 {
            tx.put(&Trajectory::new(format!("task {i}")).expires_at_ms(5 + i % 2)).unwrap();
        }
        tx.commit().unwrap();
    }
    let before = database.stats().unwrap().commit.as_u64();
    assert_eq!(database.expire(5).unwrap().trajectories, 1500);
    assert_eq!(database.expire(6).unwrap().trajectories, 1500);
    assert_eq!(database.expire(u64::MAX).unwrap(), Expiry::default());
    assert_eq!(database.stats().unwrap().commit.as_u64() - before, 4);
    assert_eq!(database.stats().unwrap().trajectories, 0);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}
