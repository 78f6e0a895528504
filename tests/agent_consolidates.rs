//! The same lesson is one lesson with more evidence; two that contradict each other are linked and settled; what is too much
//! is suspended; and nothing is deleted.

use crate::kit;
use crate::kit::town::{self, Door};
use lagdb::agent::{Consolidated, Consolidation, Disagreement, Environment, Item, Learner, Living, Suppression};
use lagdb::{Database, Id, Polarity, Query, Scope, Status, Strategy, StrategyKind};

/// A lesson about one action: do it, or do not.
fn item(does: bool, action: &str) -> Item {
    let verb = if does { "use" } else { "avoid" };
    Item {
        title: format!("{verb} {action} for pay at Delta"),
        description: "At Delta, for pay.".to_owned(),
        content: format!("{verb} it"),
        kind: Some(if does { StrategyKind::Procedure } else { StrategyKind::Guardrail }),
        action_signatures: vec![format!("Delta pay {action}")],
        ..Item::default()
    }
}

/// Lives tasks in which the model writes the given items, one task each.
fn taught(consolidation: Consolidation, items: &[Item]) -> (Database, Scope, Consolidated) {
    let (database, scope) = kit::in_memory();
    let sum = teach(&scope, &consolidation, items);
    (database, scope, sum)
}

fn teach(scope: &Scope, consolidation: &Consolidation, items: &[Item]) -> Consolidated {
    let mut sum = Consolidated::default();
    for (at, item) in items.iter().enumerate() {
        let learner = Learner { consolidation: consolidation.clone(), ..town::writing(item.clone(), scope) };
        let mut door = Door::new(&format!("task {at} of Delta pay"), "sesame");
        let Living::Now(learned) = learner.live(&mut door, None).unwrap() else { panic!() };
        sum.n_added += learned.consolidated.n_added;
        sum.n_merged += learned.consolidated.n_merged;
        sum.n_contradictions += learned.consolidated.n_contradictions;
        sum.n_superseded += learned.consolidated.n_superseded;
        sum.n_evicted += learned.consolidated.n_evicted;
        sum.n_suppressed += learned.consolidated.n_suppressed;
    }
    sum
}

fn active(scope: &Scope) -> Vec<Strategy> {
    let hits = scope.snapshot().unwrap().search::<Strategy>(&Query::newest().limit(100)).unwrap();
    hits.into_iter().map(|hit| hit.record).collect()
}

fn all(scope: &Scope) -> Vec<Strategy> {
    let snapshot = scope.snapshot().unwrap();
    snapshot.ids::<Strategy>().unwrap().into_iter().map(|id| snapshot.get(id).unwrap().unwrap()).collect()
}

fn is_sound(database: &Database) -> bool {
    database.verify(&mut |_| {}).unwrap().is_sound()
}

#[test]
fn the_same_lesson_gathers_evidence() {
    let (database, scope, sum) =
        taught(Consolidation::default(), &[item(true, "api"), item(true, "api"), item(true, "api")]);
    assert_eq!((sum.n_added, sum.n_merged), (1, 2));
    let [lesson] = active(&scope).try_into().unwrap();
    let evidence = &lesson.provenance.evidence;
    assert_eq!(evidence.len(), 3);
    assert!(evidence.iter().all(|piece| piece.polarity == Polarity::Support));
    let snapshot = scope.snapshot().unwrap();
    let id = snapshot.strategies_from(evidence[2].trajectory).unwrap();
    assert_eq!(id.len(), 1, "it is found from the trajectory that came last");
    assert!(is_sound(&database), "what is derived is as if it had been put like this");
}

#[test]
fn lessons_about_other_actions_are_other_lessons_however_alike() {
    let (_, scope, sum) =
        taught(Consolidation::default(), &[item(true, "api"), item(true, "menu"), item(false, "form")]);
    assert_eq!((sum.n_added, sum.n_merged, sum.n_contradictions, active(&scope).len()), (3, 0, 0, 3));
}

#[test]
fn contradictions_are_linked_and_the_vote_decides() {
    let items = [item(true, "api"), item(true, "api"), item(false, "api")];
    let (database, scope, sum) = taught(Consolidation::default(), &items);
    assert_eq!((sum.n_contradictions, sum.n_superseded), (1, 1));
    let [standing] = active(&scope).try_into().unwrap();
    assert_eq!(standing.kind, StrategyKind::Procedure, "two to one");
    assert_eq!(standing.provenance.evidence.iter().filter(|e| e.polarity == Polarity::Contradict).count(), 1);
    assert_eq!(all(&scope).len(), 2, "the other is history");
    // It goes on to gather evidence, and wins in the end.
    let later = teach(&scope, &Consolidation::default(), &[item(false, "api")]);
    assert_eq!((later.n_added, later.n_merged), (0, 1));
    let [standing] = active(&scope).try_into().unwrap();
    assert_eq!(standing.kind, StrategyKind::Guardrail, "two to two, and seen last");
    let superseded = all(&scope).into_iter().find(|lesson| lesson.status == Status::Superseded).unwrap();
    assert_eq!(superseded.kind, StrategyKind::Procedure);
    assert!(superseded.superseded_by.is_some());
    assert!(is_sound(&database));
}

#[test]
fn what_happens_to_contradictions_is_a_choice() {
    let items = [item(true, "api"), item(true, "api"), item(false, "api")];
    let standing = |disagreement| {
        let consolidation = Consolidation { disagreement, ..Consolidation::default() };
        let mut kinds: Vec<StrategyKind> =
            active(&taught(consolidation, &items).1).iter().map(|one| one.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(standing(Disagreement::Keep), [StrategyKind::Procedure, StrategyKind::Guardrail]);
    assert_eq!(standing(Disagreement::Latest), [StrategyKind::Guardrail]);
    assert_eq!(standing(Disagreement::Vote), [StrategyKind::Procedure]);
}

#[test]
fn the_least_useful_are_suspended_when_there_are_too_many() {
    let consolidation = Consolidation { max_per_domain: 2, ..Consolidation::default() };
    let items = [item(true, "api"), item(true, "api"), item(true, "menu"), item(true, "form")];
    let (database, scope, sum) = taught(consolidation, &items);
    assert_eq!(sum.n_evicted, 1);
    let titles: Vec<String> = active(&scope).into_iter().map(|lesson| lesson.title).collect();
    assert!(titles.iter().any(|title| title.contains("api")), "{titles:?}: the one with most evidence stays");
    assert_eq!((titles.len(), all(&scope).len()), (2, 3));
    assert!(all(&scope).iter().any(|lesson| lesson.status == Status::Suspended));
    assert!(is_sound(&database));
}

/// An imported lesson, given to `n` tasks in which it was followed and which failed, beside as many that succeeded.
fn imported(consolidation: Consolidation, with_evidence: bool) -> (Scope, Id<Strategy>) {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let seen = tx.put_new(&kit::trajectory("an earlier task")).unwrap();
    let mut lesson = Strategy::new("say please", "when a door is shut", "say please").action_signature("say(please)");
    if with_evidence {
        lesson = lesson.evidence(seen, 0..=0, Polarity::Support);
    }
    let id = tx.put(&lesson).unwrap();
    tx.embed(id, &kit::embed("task of a door, say please")).unwrap();
    tx.commit().unwrap();
    for (at, says) in ["please", "sesame"].repeat(8).into_iter().enumerate() {
        let mut learner = town::saying(says, &scope);
        learner.consolidation = consolidation.clone();
        learner.recall.withhold = 0.0;
        // The lesson is given to those that follow it.
        learner.recall.limit = usize::from(says == "please");
        let mut door = Door::new(&format!("task {at} of a door"), "sesame");
        door.task.query = "task of a door, say please".to_owned();
        let before = scope.snapshot().unwrap().get(id).unwrap().unwrap().status;
        let Living::Now(learned) = learner.live(&mut door, None).unwrap() else { panic!() };
        assert_eq!(
            learned.offers.len(),
            usize::from(says == "please" && before == Status::Active),
            "{}",
            door.task().name
        );
    }
    (scope, id)
}

#[test]
fn credit_suspends_only_if_asked_and_only_what_was_imported() {
    let on = Consolidation { suppression: Some(Suppression::default()), ..Consolidation::default() };
    let status = |(scope, id): (Scope, Id<Strategy>)| scope.snapshot().unwrap().get(id).unwrap().unwrap().status;
    assert_eq!(status(imported(Consolidation::default(), false)), Status::Active, "off by default");
    assert_eq!(status(imported(on.clone(), false)), Status::Suspended);
    assert_eq!(status(imported(on, true)), Status::Active, "it has evidence of its own");
}
