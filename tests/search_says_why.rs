//! A search says what spoke for each hit, why the others are not in the answer, and gives nothing rather than anything.

use crate::kit::{self, space};
use lagdb::retrieval::{Fate, Path};
use lagdb::{
    Database, Embedding, Exposure, Filter, Id, Judgment, Offered, Outcome, Query, Route, Scope, Strategy, Trajectory,
    Why,
};

/// A unit vector at so many degrees.
fn at(degrees: f32) -> Embedding {
    let angle = degrees.to_radians();
    Embedding::new(&space("plane", 2), vec![angle.cos(), angle.sin()]).unwrap()
}

/// Trajectories at these angles, with outcomes and the times at which they began.
fn circle(points: &[(f32, Outcome, u64)]) -> (Database, Scope, Vec<Id<Trajectory>>) {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let mut ids = Vec::new();
    for (i, (degrees, outcome, ms)) in points.iter().enumerate() {
        let id = tx.put(&kit::trajectory(&format!("task {i}")).started_at_ms(*ms)).unwrap();
        tx.embed(id, &at(*degrees)).unwrap();
        tx.judge(id, &Judgment::new(*outcome, "test")).unwrap();
        ids.push(id);
    }
    tx.commit().unwrap();
    (database, scope, ids)
}

fn ids(scope: &Scope, query: &Query) -> Vec<Id<Trajectory>> {
    scope.snapshot().unwrap().search::<Trajectory>(query).unwrap().iter().map(|hit| hit.id).collect()
}

use Outcome::{Failure, Success, Unknown};

#[test]
fn below_the_floor_there_is_nothing() {
    let (_database, scope, all) = circle(&[(0.0, Success, 1), (50.0, Success, 1)]);
    assert_eq!(ids(&scope, &Query::near(at(5.0)).floor(0.9)), [all[0]]);
    assert_eq!(ids(&scope, &Query::near(at(180.0)).floor(0.9)), []);
    assert_eq!(ids(&scope, &Query::near(at(5.0)).limit(0)), []);
}

#[test]
fn mmr_prefers_what_is_unlike_the_hits_before() {
    let (_database, scope, all) =
        circle(&[(28.0, Success, 1), (26.0, Success, 1), (50.0, Success, 1), (120.0, Success, 1)]);
    let near = Query::near(at(30.0)).limit(2);
    assert_eq!(ids(&scope, &near), [all[0], all[1]]);
    assert_eq!(ids(&scope, &near.clone().mmr(1.0)), [all[0], all[1]]);
    assert_eq!(ids(&scope, &near.clone().mmr(0.55)), [all[0], all[2]]);
    assert_eq!(ids(&scope, &near.clone().mmr(0.5)), [all[0], all[3]]);
    let explained = scope.snapshot().unwrap().explain::<Trajectory>(&near.mmr(0.5)).unwrap();
    let fates: Vec<_> = explained.considered.iter().map(|one| (one.id, one.fate)).collect();
    assert_eq!(fates[2..], [(all[1], Fate::LikeOthers), (all[2], Fate::LikeOthers)]);
}

#[test]
fn utility_and_recency_are_signals_beside_similarity() {
    let day_ms = 86_400_000;
    let (_database, scope, all) =
        circle(&[(0.0, Failure, day_ms), (10.0, Success, day_ms), (20.0, Unknown, 3 * day_ms)]);
    let near = Query::near(at(0.0));
    assert_eq!(ids(&scope, &near), all);
    assert_eq!(ids(&scope, &near.clone().utility(0.5)), [all[1], all[2], all[0]]);
    let young = near.recency(1.0, 3 * day_ms, day_ms);
    assert_eq!(ids(&scope, &young), [all[2], all[0], all[1]]);
    let hits = scope.snapshot().unwrap().search::<Trajectory>(&young.utility(0.5)).unwrap();
    let of = |id| hits.iter().find(|hit| hit.id == id).unwrap();
    let signals = of(all[1]).signals;
    assert_eq!((signals.utility, signals.recency), (Some(1.0), Some(0.25)));
    assert!((of(all[1]).score - (signals.similarity.unwrap() + 0.5 + 0.25)).abs() < 1e-6);
}

/// A reward for a run that changed nothing counted as much as one for a run that did the right thing.
#[test]
fn a_weak_success_is_worth_less() {
    let (_database, scope, all) = circle(&[(0.0, Success, 1), (10.0, Success, 1), (20.0, Success, 1)]);
    let mut tx = scope.begin().unwrap();
    tx.judge(all[0], &Judgment::new(Success, "reward").score(0.5)).unwrap();
    // A score on another scale says nothing of how strong it is.
    tx.judge(all[1], &Judgment::new(Success, "reward").score(7.0)).unwrap();
    tx.commit().unwrap();
    let near = Query::near(at(0.0));
    assert_eq!(ids(&scope, &near), all);
    assert_eq!(ids(&scope, &near.clone().utility(0.5)), [all[1], all[2], all[0]]);
    let hits = scope.snapshot().unwrap().search::<Trajectory>(&near.utility(0.5)).unwrap();
    let found: Vec<_> = hits.iter().map(|hit| hit.signals.utility).collect();
    assert_eq!(found, [Some(1.0), Some(1.0), Some(0.75)]);
}

#[test]
fn a_strategy_is_as_useful_as_it_has_been_at_least() {
    let (_database, scope, all) = circle(&[(0.0, Success, 1), (1.0, Success, 1), (2.0, Failure, 1)]);
    let mut tx = scope.begin().unwrap();
    let strategies: Vec<_> =
        ["proven", "new", "harmful"].map(|title| tx.put(&Strategy::new(title, "", "")).unwrap()).into();
    for (id, offered) in [(all[0], strategies[0]), (all[1], strategies[0]), (all[2], strategies[2])] {
        tx.expose(id, &[Exposure::injected(Offered::Strategy(offered))]).unwrap();
    }
    tx.commit().unwrap();
    let hits = scope.snapshot().unwrap().search::<Strategy>(&Query::newest().utility(1.0)).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.record.title.as_str()).collect::<Vec<_>>(), ["proven", "new", "harmful"]);
    // Of Beta(1, 1) one in twenty lies below 0.05, of Beta(3, 1) below its cube root.
    assert!((hits[1].score - 0.05).abs() < 1e-6 && (hits[0].score - 0.05f32.cbrt()).abs() < 1e-6);
}

#[test]
fn an_explanation_says_what_each_filter_left_and_what_became_of_each_candidate() {
    let (_database, scope, all) =
        circle(&[(0.0, Success, 1), (5.0, Success, 1), (60.0, Success, 1), (9.0, Failure, 1)]);
    let query = Query::near(at(0.0)).outcome(Success).limit(1).pool(10).floor(0.9);
    let explained = scope.snapshot().unwrap().at_ms(7).explain::<Trajectory>(&query).unwrap();
    assert_eq!(explained.hits, scope.snapshot().unwrap().search::<Trajectory>(&query).unwrap());
    let Path::Nearest(plan) = explained.path else { panic!("{:?}", explained.path) };
    assert_eq!((explained.n_records, plan.n_candidates), (4, 3));
    assert_eq!((plan.route, plan.why), (Route::Scan, Why::NoGraph));
    let kept: Vec<_> = explained.filters.iter().map(|kept| (kept.filter.to_string(), kept.n_left)).collect();
    let expected = [("an embedding in plane (dim 2)", 4), ("outcome success", 3), ("not expired at 7 ms", 3)];
    assert_eq!(kept, expected.map(|(filter, n_left)| (filter.to_owned(), n_left)));
    let fates: Vec<_> = explained.considered.iter().map(|one| (one.id, one.fate)).collect();
    assert_eq!(fates, [(all[0], Fate::Hit), (all[1], Fate::BeyondLimit), (all[2], Fate::BelowFloor)]);
}

#[test]
fn without_an_embedding_the_newest_come_first() {
    let (_database, scope, all) = circle(&[(0.0, Success, 1), (5.0, Failure, 1), (60.0, Success, 1)]);
    let mut tx = scope.begin().unwrap();
    let unembedded = tx.put(&kit::trajectory("no embedding")).unwrap();
    tx.commit().unwrap();
    assert_eq!(ids(&scope, &Query::newest().limit(2)), [unembedded, all[2]]);
    assert_eq!(ids(&scope, &Query::newest().filter(Filter::outcome(Success))), [all[2], all[0]]);
}

#[test]
fn a_contrast_is_the_best_success_beside_the_failure_nearest_to_it() {
    let (_database, scope, all) =
        circle(&[(0.0, Failure, 1), (30.0, Success, 1), (45.0, Failure, 1), (80.0, Success, 1)]);
    let snapshot = scope.snapshot().unwrap();
    let contrast = snapshot.contrast(&Query::near(at(10.0))).unwrap().unwrap();
    assert_eq!((contrast.success.id, contrast.failure.id), (all[1], all[2]), "not the failure nearest to the query");
    assert_eq!(contrast.diverges_at, None, "both did the same");
    let without = Query::near(at(10.0)).exclude(all[0]).exclude(all[2]);
    assert!(snapshot.contrast(&without).unwrap().is_none(), "there is nothing to compare with");
    assert!(snapshot.contrast(&Query::newest()).is_err());
}

#[test]
fn a_contrast_says_where_the_two_part() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    for (last, outcome) in [("ask()", Success), ("cancel()", Failure)] {
        let id = tx.put(&Trajectory::new("cancel").step("which?", "lookup()").step("found", last)).unwrap();
        tx.embed(id, &at(0.0)).unwrap();
        tx.judge(id, &Judgment::new(outcome, "test")).unwrap();
    }
    assert_eq!(tx.contrast(&Query::near(at(0.0))).unwrap().unwrap().diverges_at, Some(1));
}
