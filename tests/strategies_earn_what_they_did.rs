//! A strategy is credited with the outcomes of the tasks in which it was injected, as they are judged now; with nothing
//! else.

use crate::kit;
use lagdb::{
    Database, Error, Exposure, Id, Judgment, Offered, Outcome, Polarity, Scope, Snapshot, Strategy, Tally, Trajectory,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

/// A scope with a strategy and `n` trajectories that it can be offered to.
fn lived(n: usize) -> (Database, Scope, Id<Strategy>, Vec<Id<Trajectory>>) {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let ids: Vec<_> = (0..n).map(|i| tx.put(&kit::trajectory(&format!("task {i}"))).unwrap()).collect();
    let strategy = tx.put(&kit::strategy("ask first", ids[0], Polarity::Support)).unwrap();
    tx.commit().unwrap();
    (database, scope, strategy, ids)
}

fn judge(scope: &Scope, id: Id<Trajectory>, outcome: Outcome) {
    let mut tx = scope.begin().unwrap();
    tx.judge(id, &Judgment::new(outcome, "test")).unwrap();
    tx.commit().unwrap();
}

fn expose(scope: &Scope, id: Id<Trajectory>, exposures: &[Exposure]) {
    let mut tx = scope.begin().unwrap();
    tx.expose(id, exposures).unwrap();
    tx.commit().unwrap();
}

fn injected(scope: &Scope, strategy: Id<Strategy>) -> Tally {
    scope.snapshot().unwrap().strategy_stats(strategy).unwrap().unwrap().injected
}

fn is_sound(database: &Database) -> bool {
    database.verify(&mut |_| {}).unwrap().is_sound()
}

#[test]
fn judging_again_recomputes_every_counter() {
    let (database, scope, strategy, ids) = lived(3);
    let offered = Offered::Strategy(strategy);
    for id in &ids {
        expose(&scope, *id, &[Exposure::injected(offered)]);
    }
    assert_eq!(injected(&scope, strategy), Tally { unknown: 3, ..Tally::default() });
    judge(&scope, ids[0], Outcome::Failure);
    judge(&scope, ids[1], Outcome::Failure);
    judge(&scope, ids[2], Outcome::Success);
    assert_eq!(injected(&scope, strategy), Tally { failure: 2, success: 1, ..Tally::default() });
    judge(&scope, ids[0], Outcome::Success);
    judge(&scope, ids[1], Outcome::Partial);
    assert_eq!(injected(&scope, strategy), Tally { success: 2, partial: 1, ..Tally::default() });
    let mut tx = scope.begin().unwrap();
    tx.delete(ids[0]).unwrap();
    tx.commit().unwrap();
    assert_eq!(injected(&scope, strategy), Tally { success: 1, partial: 1, ..Tally::default() });
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.exposed_to(offered).unwrap(), ids[1..]);
    assert_eq!(snapshot.exposures(ids[1]).unwrap(), [Exposure::injected(offered)]);
    assert!(is_sound(&database));
}

#[test]
fn an_unknown_outcome_is_no_failure() {
    let (_database, scope, strategy, ids) = lived(20);
    for id in &ids {
        expose(&scope, *id, &[Exposure::injected(Offered::Strategy(strategy))]);
    }
    let stats = scope.snapshot().unwrap().strategy_stats(strategy).unwrap().unwrap();
    assert_eq!((stats.success.mean, stats.injected.n()), (0.5, 20), "as if nothing had happened");
    judge(&scope, ids[0], Outcome::Success);
    let stats = scope.snapshot().unwrap().strategy_stats(strategy).unwrap().unwrap();
    assert!((stats.success.mean - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn what_was_withheld_or_not_used_earns_no_credit() {
    let (database, scope, strategy, ids) = lived(30);
    let offered = Offered::Strategy(strategy);
    for (i, id) in ids.iter().enumerate() {
        let exposure = match i % 3 {
            0 => Exposure { propensity: 0.5, ..Exposure::injected(offered) },
            1 => Exposure::withheld(offered, 0.5),
            _ => Exposure::unused(offered),
        };
        expose(&scope, *id, &[exposure]);
        judge(&scope, *id, if i % 3 == 1 || i % 15 == 0 { Outcome::Failure } else { Outcome::Success });
    }
    let stats = scope.snapshot().unwrap().strategy_stats(strategy).unwrap().unwrap();
    assert_eq!(stats.injected, Tally { success: 8, failure: 2, ..Tally::default() });
    assert_eq!(stats.withheld, Tally { failure: 10, ..Tally::default() });
    assert_eq!(stats.n_unused, 10);
    // Beta(9, 3), and its 5 % and 95 % points.
    let near = |a: f64, b: f64| (a - b).abs() < 1e-4;
    assert!(near(stats.success.mean, 0.75), "{stats:?}");
    assert!(near(stats.success.lower, 0.529_9) && near(stats.success.upper, 0.921_2), "{stats:?}");
    let uplift = stats.uplift.unwrap();
    assert!(near(uplift.mean, 0.75 - 1.0 / 12.0) && uplift.lower > 0.3 && uplift.upper < 1.0, "{uplift:?}");
    assert!(is_sound(&database));
}

#[test]
fn one_task_counts_once_and_as_what_decides() {
    let (database, scope, strategy, ids) = lived(2);
    let offered = Offered::Strategy(strategy);
    judge(&scope, ids[0], Outcome::Success);
    expose(&scope, ids[0], &[Exposure::unused(offered), Exposure::withheld(offered, 0.2)]);
    let stats = |scope: &Scope| scope.snapshot().unwrap().strategy_stats(strategy).unwrap().unwrap();
    assert_eq!((stats(&scope).withheld.n(), stats(&scope).n_unused), (1, 0));
    expose(&scope, ids[0], &[Exposure::injected(offered), Exposure::injected(offered)]);
    assert_eq!((stats(&scope).injected.n(), stats(&scope).withheld.n()), (1, 0));
    assert_eq!(stats(&scope).uplift, None, "nothing was withheld");
    assert_eq!(scope.snapshot().unwrap().exposures(ids[0]).unwrap().len(), 4);
    assert!(is_sound(&database));
}

#[test]
fn exposures_that_cannot_have_been_are_refused() {
    let (_database, scope, strategy, ids) = lived(1);
    let offered = Offered::Strategy(strategy);
    let mut tx = scope.begin().unwrap();
    let sound = Exposure::injected(offered);
    for (field, wrong) in [
        ("propensity", Exposure { propensity: 0.0, ..sound }),
        ("propensity", Exposure { propensity: f32::NAN, ..sound }),
        ("propensity", Exposure::withheld(offered, 1.0)),
        ("score", Exposure { score: f32::INFINITY, ..sound }),
        ("id", Exposure::injected(Offered::Strategy(Id::from_u64(99)))),
        ("id", Exposure::injected(Offered::KvLog(Id::from_u64(strategy.as_u64())))),
    ] {
        let refused = tx.expose(ids[0], &[sound, wrong]);
        assert!(matches!(refused, Err(Error::Invalid { what, .. }) if what == field), "{wrong:?}: {refused:?}");
    }
    assert!(tx.expose(Id::from_u64(99), &[sound]).is_err());
    assert!(tx.exposures(ids[0]).unwrap().is_empty(), "nothing was written");
    tx.commit().unwrap();
}

fn counted(snapshot: &Snapshot, strategies: &[Id<Strategy>]) -> Vec<String> {
    strategies.iter().map(|id| format!("{:?}", snapshot.strategy_stats(*id).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order things are offered, judged and deleted: the counters are those that the records give.
    #[test]
    fn counters_are_what_the_records_say(
        ops in proptest::collection::vec((0..6u8, any::<u8>(), any::<u8>()).prop_map(|op| op), 1..40),
    ) {
        let (database, scope, first, ids) = lived(5);
        let mut tx = scope.begin().unwrap();
        let second = tx.put(&kit::strategy("ask twice", ids[1], Polarity::Support)).unwrap();
        for (kind, which, value) in ops {
            let id = ids[usize::from(which) % ids.len()];
            let strategy = if value % 2 == 0 { first } else { second };
            let offered = if value % 5 == 0 { Offered::KvLog(ids[4]) } else { Offered::Strategy(strategy) };
            let propensity = f32::from(1 + value % 9) / 10.0;
            // What was deleted is refused, and that changes nothing.
            drop(match kind {
                0 => tx.expose(id, &[Exposure { propensity, ..Exposure::injected(offered) }]),
                1 => tx.expose(id, &[Exposure::withheld(offered, propensity)]),
                2 => tx.expose(id, &[Exposure::unused(offered)]),
                3 if value > 200 => tx.delete(id).map(drop),
                4 if value > 240 => tx.delete(strategy).map(drop),
                _ => tx.judge(id, &Judgment::new(Outcome::from_code(value % 4).unwrap(), "test")),
            });
        }
        tx.commit().unwrap();
        let report = database.verify(&mut |_| {}).unwrap();
        prop_assert!(report.is_sound(), "{report:?}");
        let before = counted(&scope.snapshot().unwrap(), &[first, second]);
        database.reindex().unwrap();
        prop_assert_eq!(counted(&scope.snapshot().unwrap(), &[first, second]), before);
        prop_assert!(is_sound(&database));
    }
}
