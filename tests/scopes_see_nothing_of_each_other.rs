//! Two tenants in one database: no public path of the one leads to anything of the other, not even with its ids.

use crate::kit::{self, embed, kv_log, model};
use lagdb::format::Precision;
use lagdb::{
    Database, Error, Exposure, Filter, Id, Judgment, Offered, Outcome, Polarity, Query, Record, Status, Strategy,
    StrategyKind, Trajectory,
};

/// A database in which only "owner" remembers something.
fn two_tenants() -> (Database, Id<Trajectory>, Id<Strategy>) {
    let database = Database::in_memory().unwrap();
    let owner = database.scope("tenant/owner").unwrap();
    let id = kit::remember(&owner, "cancel a flight", Some(&kv_log(&model(1), 4, 1)));
    let mut tx = owner.begin().unwrap();
    tx.put(&kit::trajectory("cancel a flight").rollout("group", 1)).unwrap();
    let lesson = kit::strategy("ask first", id, Polarity::Support).action_signature("cancel(*)").error_signature("409");
    let strategy = tx.put(&Strategy { kind: StrategyKind::Guardrail, ..lesson }).unwrap();
    tx.embed(strategy, &embed("ask first")).unwrap();
    tx.expose(id, &[Exposure::injected(Offered::Strategy(strategy)), Exposure::injected(Offered::KvLog(id))]).unwrap();
    tx.commit().unwrap();
    // The other one has records too, or the least look-up would find an empty scope.
    let other = database.scope("tenant/other").unwrap();
    kit::remember(&other, "something else", None);
    (database, id, strategy)
}

fn found<R: Record>(database: &Database, query: &Query) -> usize {
    database.scope("tenant/other").unwrap().snapshot().unwrap().search::<R>(query).unwrap().len()
}

#[test]
fn nothing_can_be_read() {
    let (database, id, strategy) = two_tenants();
    for name in ["tenant/other", "tenant", "tenant/owne", "tenant/owner2", "nobody"] {
        let snapshot = database.scope(name).unwrap().snapshot().unwrap();
        assert!(snapshot.get(id).unwrap().is_none() && snapshot.get(strategy).unwrap().is_none());
        assert!(!snapshot.contains(id).unwrap() && !snapshot.contains(strategy).unwrap());
        assert!(!snapshot.ids::<Trajectory>().unwrap().contains(&id) && snapshot.is_empty::<Strategy>().unwrap());
        assert_eq!(snapshot.outcome(id).unwrap(), Outcome::Unknown);
        assert!(snapshot.judgments(id).unwrap().is_empty());
        assert!(snapshot.strategies_from(id).unwrap().is_empty());
        assert!(snapshot.embedding(id).unwrap().is_none() && snapshot.embedding(strategy).unwrap().is_none());
        assert!(snapshot.kv_logs(id).unwrap().is_empty() && snapshot.kv_log(id, &model(1)).unwrap().is_none());
        assert!(snapshot.kv_log_mismatch(id, &model(2)).unwrap().is_none());
        assert!(snapshot.kv_log_at(id, &model(1), Precision::Base).unwrap().is_none());
        assert!(snapshot.embedding_in(id, embed("x").space()).unwrap().is_none());
        assert!(snapshot.find(&kit::trajectory("cancel a flight")).unwrap().is_none());
        assert!(snapshot.near_duplicate::<Trajectory>(&embed("cancel a flight"), 0.99).unwrap().is_none());
        let nearest = snapshot.nearest::<Trajectory>(&Query::near(embed("cancel a flight"))).unwrap();
        assert!(nearest.hits.iter().all(|(found, _)| *found != id) && nearest.hits.len() <= 1);
        assert!(snapshot.nearest::<Strategy>(&Query::near(embed("ask first"))).unwrap().hits.is_empty());
        assert!(snapshot.near_duplicate::<Strategy>(&embed("ask first"), -1.0).unwrap().is_none());
        assert!(snapshot.guard("cancel(*)").unwrap().is_empty() && snapshot.guard_error("409").unwrap().is_empty());
        assert!(snapshot.exposures(id).unwrap().is_empty());
        assert!(snapshot.exposed_to(Offered::Strategy(strategy)).unwrap().is_empty());
        assert!(snapshot.exposed_to(Offered::KvLog(id)).unwrap().is_empty());
        assert!(snapshot.strategy_stats(strategy).unwrap().is_none() && snapshot.kv_log_stats(id).unwrap().is_none());
        assert!(snapshot.contrast(&Query::near(embed("cancel a flight"))).unwrap().is_none());
    }
}

#[test]
fn no_query_finds_anything() {
    let (database, id, strategy) = two_tenants();
    let own = |query: &Query| (found::<Trajectory>(&database, query), found::<Strategy>(&database, query));
    for query in [Query::near(embed("cancel a flight")), Query::newest(), Query::newest().utility(1.0).mmr(0.5)] {
        assert_eq!(own(&query), (1, 0), "only its own record");
    }
    for filter in [
        Filter::id(id),
        Filter::id(strategy),
        Filter::evidence(id),
        Filter::task("cancel a flight"),
        Filter::group("group"),
        Filter::action_signature("cancel(*)"),
        Filter::kind(StrategyKind::Guardrail),
        Filter::has_kv_log(),
        Filter::status(Status::Active),
    ] {
        assert_eq!(own(&Query::newest().filter(filter.clone())), (0, 0), "{filter}");
        assert_eq!(own(&Query::newest().filter(!filter)), (1, 0));
    }
    let explained = database.scope("tenant/other").unwrap().snapshot().unwrap();
    let explained = explained.explain::<Trajectory>(&Query::near(embed("cancel a flight"))).unwrap();
    assert_eq!((explained.n_records, explained.considered.len()), (1, 1), "an explanation counts its own scope only");
}

#[test]
fn nothing_can_be_written_to() {
    let (database, id, strategy) = two_tenants();
    let other = database.scope("tenant/other").unwrap();
    let own = other.snapshot().unwrap().ids::<Trajectory>().unwrap()[0];
    let mut tx = other.begin().unwrap();
    let refused = |result: lagdb::Result<()>| matches!(result, Err(Error::Invalid { what: "id", .. }));
    assert!(refused(tx.judge(id, &Judgment::new(Outcome::Failure, "other"))));
    assert!(refused(tx.embed(id, &embed("x"))) && refused(tx.embed(strategy, &embed("x"))));
    assert!(refused(tx.put_kv_log(id, &kv_log(&model(1), 4, 2))));
    assert!(refused(tx.put(&kit::strategy("steal", id, Polarity::Support)).map(drop)));
    assert!(refused(tx.expose(id, &[Exposure::injected(Offered::KvLog(own))])));
    assert!(refused(tx.expose(own, &[Exposure::injected(Offered::Strategy(strategy))])));
    assert!(refused(tx.expose(own, &[Exposure::injected(Offered::KvLog(id))])));
    assert!(refused(tx.set_status(strategy, Status::Suspended)));
    let mine = tx.put(&Strategy::new("mine", "", "")).unwrap();
    assert!(refused(tx.supersede_by(mine, strategy)) && refused(tx.supersede_by(strategy, mine)));
    assert!(!tx.delete(id).unwrap() && !tx.delete(strategy).unwrap());
    tx.commit().unwrap();
    let owner = database.scope("tenant/owner").unwrap().snapshot().unwrap();
    assert_eq!(owner.judgments(id).unwrap(), [kit::success()]);
    assert_eq!(owner.get(strategy).unwrap().unwrap().status, Status::Active);
    assert_eq!(owner.exposures(id).unwrap().len(), 2);
    assert_eq!(owner.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 4, 1));
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn only_the_admin_handle_sees_all() {
    let (database, id, _) = two_tenants();
    let admin = database.admin();
    assert_eq!(admin.scopes().unwrap(), ["tenant/other", "tenant/owner"]);
    let seen: Vec<_> =
        admin.snapshots().unwrap().into_iter().filter(|(_, snapshot)| snapshot.contains(id).unwrap()).collect();
    assert_eq!(seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["tenant/owner"]);
}
