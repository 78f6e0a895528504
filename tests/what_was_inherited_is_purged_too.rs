//! A strategy is filed under the tasks and groups that it was learned from: what a purge takes of them, nobody finds under
//! them any more, and what it leaves is left out with them.

use crate::kit;
use crate::kit::purging::{MARKER, in_files, live, options};
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Evidence, Filter, Id, Polarity, Query, Scope, Status, Strategy, Trajectory};
use std::sync::Arc;

/// A strategy learned from two trajectories, of these tasks; each is in the group of its task.
fn learned_from(scope: &Scope, tasks: [&str; 2]) -> ([Id<Trajectory>; 2], Strategy, Id<Strategy>) {
    let mut tx = scope.begin().unwrap();
    let ids = tasks.map(|task| tx.put_new(&kit::trajectory(task).rollout(format!("group {task}"), 0)).unwrap());
    let mut strategy = kit::strategy("lesson", ids[0], Polarity::Support);
    let evidence = Evidence { trajectory: ids[1], first_step: 0, last_step: 0, polarity: Polarity::Support };
    strategy.provenance.evidence.push(evidence);
    let id = tx.put(&strategy).unwrap();
    tx.commit().unwrap();
    (ids, strategy, id)
}

fn delete<R: lagdb::Record>(scope: &Scope, id: Id<R>) {
    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(id).unwrap());
    tx.commit().unwrap();
}

/// Strategies of any status that a filter lets through.
fn found(scope: &Scope, filter: Filter) -> Vec<Id<Strategy>> {
    let any_status = Filter::any_of(Status::ALL.map(Filter::status));
    let query = Query::newest().filter(filter & any_status);
    scope.snapshot().unwrap().search::<Strategy>(&query).unwrap().iter().map(|hit| hit.id).collect()
}

fn of_task(task: &str) -> [Filter; 2] {
    [Filter::task(task), Filter::group(format!("group {task}"))]
}

/// A trajectory that was deleted says no more of which task it was, so its purge took its evidence from a strategy and left
/// the strategy filed under that task: a search by it found the strategy, saw in the rows that it was not meant, and failed
/// with "a row is missing". Neither verification nor reindexing noticed.
#[test]
fn who_asks_for_the_task_of_what_was_deleted_and_purged_gets_an_answer() {
    let (database, scope) = kit::in_memory();
    let ([gone, _], strategy, id) = learned_from(&scope, ["a", "b"]);
    delete(&scope, gone);
    assert_eq!(
        found(&scope, Filter::task("a")),
        [id],
        "leaving the task out still leaves out what was learned from it"
    );
    assert_eq!(scope.purge(gone).unwrap().stale, [id]);
    let check = || {
        for (of_a, of_b) in of_task("a").into_iter().zip(of_task("b")) {
            assert_eq!((found(&scope, of_a), found(&scope, of_b)), (vec![], vec![id]));
        }
    };
    check();
    let mut kept = strategy;
    kept.provenance.evidence.remove(0);
    let mut tx = scope.begin().unwrap();
    assert_eq!(tx.put(&kept).unwrap(), id, "distilled again");
    tx.commit().unwrap();
    assert!(
        scope.snapshot().unwrap().search::<Strategy>(&Query::newest().filter(Filter::task("a"))).unwrap().is_empty()
    );
    database.reindex().unwrap();
    check();
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

/// A strategy that was learned from the purged trajectory alone went without what it had inherited: its id stayed filed
/// under a digest of the purged task, in every copy of the catalog. Whoever guesses the words can confirm them by that.
#[test]
fn no_file_has_a_digest_of_what_was_purged() {
    let digests = [MARKER.to_owned(), format!("task {MARKER}")].map(|text| blake3::hash(text.as_bytes()));
    for deleted_before in [&[][..], &["trajectory"], &["strategy"], &["trajectory", "strategy"]] {
        let medium = MemoryMedium::new();
        let database = options().open_on(Arc::new(medium.clone())).unwrap();
        let scope = database.scope("s").unwrap();
        let lived = live(&scope);
        let files_with = |digest: &blake3::Hash| in_files(&medium.dump(), &digest.as_bytes()[..16]);
        assert!(digests.iter().all(|digest| !files_with(digest).is_empty()), "the test must be able to find them");
        for what in deleted_before {
            match *what {
                "trajectory" => delete(&scope, lived.gone),
                _ => delete(&scope, lived.only),
            }
        }
        scope.purge(lived.gone).unwrap();
        for digest in &digests {
            assert_eq!(files_with(digest), Vec::<String>::new(), "deleted before: {deleted_before:?}");
        }
        assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    }
}

/// Of two attempts at one task the first was deleted and the second purged. The purge took the strategy out of that task,
/// though it was learned from the first attempt too: leaving the task out let the strategy in.
#[test]
fn a_task_that_is_left_out_stays_out_while_another_attempt_at_it_may_have_taught() {
    let (database, scope) = kit::in_memory();
    let ([deleted, purged], _, id) = learned_from(&scope, ["a", "a"]);
    delete(&scope, deleted);
    scope.purge(purged).unwrap();
    let mut tx = scope.begin().unwrap();
    tx.set_status(id, Status::Active).unwrap();
    tx.commit().unwrap();
    let check = || {
        let left_out = [Query::newest().exclude_task("a"), Query::newest().exclude_group("group a")];
        for query in left_out {
            assert!(scope.snapshot().unwrap().search::<Strategy>(&query).unwrap().is_empty());
        }
        assert_eq!(found(&scope, Filter::task("a")), [id]);
    };
    check();
    database.reindex().unwrap();
    check();
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    // With the other attempt, all of it goes.
    assert_eq!(scope.purge(deleted).unwrap().strategies, [id]);
    assert!(found(&scope, Filter::task("a")).is_empty());
}

/// What lives goes on being found by what it inherited, in this scope and in others.
#[test]
fn what_was_not_purged_keeps_what_it_inherited() {
    let database = Database::in_memory().unwrap();
    let [scope, other] = ["s", "t"].map(|name| database.scope(name).unwrap());
    let (_, _, theirs) = learned_from(&other, ["a", "b"]);
    let ([gone, _], _, id) = learned_from(&scope, ["a", "b"]);
    let mut tx = scope.begin().unwrap();
    let from = tx.put(&kit::trajectory("a").rollout("group a", 1)).unwrap();
    let third = tx.put(&kit::strategy("third", from, Polarity::Support)).unwrap();
    tx.commit().unwrap();
    scope.purge(gone).unwrap();
    for (of_a, of_b) in of_task("a").into_iter().zip(of_task("b")) {
        assert_eq!((found(&scope, of_a.clone()), found(&scope, of_b.clone())), (vec![third], vec![id]));
        assert_eq!((found(&other, of_a), found(&other, of_b)), (vec![theirs], vec![theirs]));
    }
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}
