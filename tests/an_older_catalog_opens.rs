//! A catalog of the first version, whose records had no trust, status or domain and which knew none of their bitmaps,
//! opens, is sound, and answers the questions of today. And whatever is derived can be derived again.

use crate::kit::answers::{self, of_the_first_version, without_redbs_panic_messages};
use crate::kit::{self, embed, kv_log, model};
use lagdb::medium::MemoryMedium;
use lagdb::{
    Database, Error, Exposure, Filter, Offered, Outcome, Polarity, Query, Status, Strategy, StrategyKind, Trajectory,
    Trust,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the first version left on disk: one trajectory, judged twice, with a KV log, and a strategy drawn from it.
fn first_version() -> MemoryMedium {
    let unpacked = |bytes: &[u8]| zstd::stream::decode_all(bytes).unwrap();
    let catalog = unpacked(include_bytes!("fixtures/database_v1/catalog.redb.zst"));
    let segment = unpacked(include_bytes!("fixtures/database_v1/1.kv.zst"));
    MemoryMedium::from_dump(BTreeMap::from([
        ("catalog.redb".to_owned(), catalog),
        ("segments/1.kv".to_owned(), segment),
    ]))
}

#[test]
fn it_answers_the_questions_of_today() {
    let medium = first_version();
    let report = lagdb::maintenance::verify_on(&medium, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "before it is opened: {report:?}");
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    assert_eq!(database.admin().scopes().unwrap(), ["tenant/agent"]);
    let (_, snapshot) = database.admin().snapshots().unwrap().pop().unwrap();
    let id = snapshot.ids::<Trajectory>().unwrap()[0];
    let lived = kit::trajectory("book a flight to Seattle").rollout("task-3", 1).started_at_ms(12);
    assert_eq!(snapshot.get(id).unwrap().unwrap(), lived);
    assert_eq!(snapshot.judgments(id).unwrap(), [kit::failure(), kit::success()]);
    assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 300, 7));
    let near = Query::near(embed("a flight to Seattle"));
    let filter = Filter::time_ms(12..13) & Filter::trust(Trust::Medium..) & Filter::outcome(Outcome::Success);
    assert_eq!(snapshot.search::<Trajectory>(&near.clone().filter(filter.clone())).unwrap()[0].record, lived);
    assert!(snapshot.search::<Trajectory>(&near.clone().filter(!filter)).unwrap().is_empty());
    let active = near.filter(Filter::status(Status::Active) & Filter::kind(StrategyKind::Procedure));
    let learned = &snapshot.search::<Strategy>(&active).unwrap()[0];
    assert_eq!(learned.record, kit::strategy("ask for the date", id, Polarity::Support));
    let stats = snapshot.strategy_stats(learned.id).unwrap().unwrap();
    assert_eq!((stats.injected.n(), stats.uplift), (0, None));
    drop(snapshot);

    let scope = database.scope("tenant/agent").unwrap();
    let mut tx = scope.begin().unwrap();
    let offered = Offered::Strategy(scope.snapshot().unwrap().ids().unwrap()[0]);
    tx.expose(id, &[Exposure::injected(offered)]).unwrap();
    tx.commit().unwrap();
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    drop((scope, database));
    let again = Database::options().open_on(Arc::new(medium)).unwrap();
    assert!(again.verify(&mut |_| {}).unwrap().is_sound());
}

/// Rebuilding around a damaged record would make its loss invisible: nothing would miss it any more.
#[test]
fn a_damaged_record_is_not_rebuilt_away() {
    without_redbs_panic_messages();
    let files = of_the_first_version(answers::database());
    let text = b"task number 5 about flights";
    let at = files[answers::CATALOG].windows(text.len()).position(|window| window == text).unwrap();
    let mut damaged = files.clone();
    damaged.get_mut(answers::CATALOG).unwrap()[at] ^= 1;
    let open = |files| Database::options().open_on(Arc::new(MemoryMedium::from_dump(files)));
    assert!(open(files).unwrap().reindex().is_ok());
    assert!(matches!(open(damaged).unwrap().reindex(), Err(Error::Corrupt { .. })));
}

/// What a strategy inherited from a trajectory that is gone stands in no record any more: rebuilding lost it, and a
/// lesson drawn from the held-out task came back.
#[test]
fn rebuilding_keeps_what_no_record_says_any_more() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let gone = tx.put(&kit::trajectory("held out").rollout("g", 0)).unwrap();
    let lesson = tx.put(&kit::strategy("from it", gone, Polarity::Support)).unwrap();
    let other = tx.put(&kit::strategy("also", gone, Polarity::Support)).unwrap();
    tx.delete(gone).unwrap();
    tx.delete(other).unwrap();
    tx.commit().unwrap();
    database.reindex().unwrap();
    let snapshot = scope.snapshot().unwrap();
    let found =
        |query: &Query| snapshot.search::<Strategy>(query).unwrap().iter().map(|hit| hit.id).collect::<Vec<_>>();
    assert_eq!(found(&Query::newest()), [lesson]);
    assert_eq!(found(&Query::newest().exclude_task("held out")), []);
    assert_eq!(found(&Query::newest().exclude_group("g")), []);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}
