//! The same lesson is one lesson with more evidence; two that contradict each other are linked and settled; what is too much
//! is put aside; and nothing is deleted.

use crate::kit;
use crate::kit::town::{self, Door};
use lagdb::agent::{
    Allot, Consolidated, Consolidation, Disagreement, Environment, Item, Learner, Living, Scaling, Suppression, Way,
};
use lagdb::{
    Database, Delivery, Exposure, Id, Judgment, Offered, Outcome, Polarity, Query, Scope, Status, Step, Strategy,
    StrategyKind, Trajectory,
};

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
        sum.n_returned += learned.consolidated.n_returned;
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
    let vote = Consolidation::default();
    let (database, scope, sum) = taught(vote.clone(), &items);
    assert_eq!((sum.n_contradictions, sum.n_superseded), (1, 1));
    let [standing] = active(&scope).try_into().unwrap();
    assert_eq!(standing.kind, StrategyKind::Procedure, "two to one");
    assert_eq!(standing.provenance.evidence.iter().filter(|e| e.polarity == Polarity::Contradict).count(), 1);
    assert_eq!(all(&scope).len(), 2, "the other is history");
    // It goes on to gather evidence, and wins in the end.
    let later = teach(&scope, &vote, &[item(false, "api")]);
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
fn the_least_useful_are_put_aside_when_there_are_too_many() {
    let consolidation = Consolidation { max_per_domain: 2, ..Consolidation::default() };
    let items = [item(true, "api"), item(true, "api"), item(true, "menu"), item(true, "form")];
    let (database, scope, sum) = taught(consolidation, &items);
    assert_eq!(sum.n_evicted, 1);
    let titles: Vec<String> = active(&scope).into_iter().map(|lesson| lesson.title).collect();
    assert!(titles.iter().any(|title| title.contains("api")), "{titles:?}: the one with most evidence stays");
    assert_eq!((titles.len(), all(&scope).len()), (2, 3));
    assert!(all(&scope).iter().any(|lesson| lesson.status == Status::Stale));
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
fn credit_puts_aside_only_if_asked_and_only_what_was_imported() {
    let on = Consolidation { suppression: Some(Suppression::default()), ..Consolidation::default() };
    let status = |(scope, id): (Scope, Id<Strategy>)| scope.snapshot().unwrap().get(id).unwrap().unwrap().status;
    assert_eq!(status(imported(Consolidation::default(), false)), Status::Active, "off by default");
    assert_eq!(status(imported(on.clone(), false)), Status::Stale);
    assert_eq!(status(imported(on, true)), Status::Active, "it has evidence of its own");
}

/// What became of lessons before a test: `n` tasks of each outcome in which one was given.
fn given(scope: &Scope, id: Id<Strategy>, delivery: Delivery, action: &str, outcomes: &[(Outcome, usize)]) {
    let mut tx = scope.begin().unwrap();
    for (outcome, n) in outcomes {
        for _ in 0..*n {
            let lived = Trajectory::new("an earlier task").domain("doors").step("a door", "said");
            let lived = Trajectory { steps: vec![Step::new("a door", "said").action_signature(action)], ..lived };
            let lived = tx.put_new(&lived).unwrap();
            tx.judge(lived, &Judgment::new(*outcome, "test")).unwrap();
            let propensity = if delivery == Delivery::Unused { 1.0 } else { 0.5 };
            let exposure = Exposure { delivery, propensity, ..Exposure::injected(Offered::Strategy(id)) };
            tx.expose(lived, &[exposure]).unwrap();
        }
    }
    tx.commit().unwrap();
}

fn put(scope: &Scope, kind: StrategyKind, title: &str, action: &str) -> Id<Strategy> {
    let mut tx = scope.begin().unwrap();
    let lesson = Strategy::new(title, "when a door is shut", title).domain("doors").action_signature(action);
    let id = tx.put_new(&Strategy { kind, ..lesson }).unwrap();
    tx.embed(id, &kit::embed(title)).unwrap();
    tx.commit().unwrap();
    id
}

fn status(scope: &Scope, id: Id<Strategy>) -> Status {
    scope.snapshot().unwrap().get(id).unwrap().unwrap().status
}

/// A lesson that was never given was thought to succeed in half of its tasks. Where most tasks fail, every proven lesson then
/// ranked below all that was never tried, and was thrown out first.
#[test]
fn what_is_proven_stays_where_most_tasks_fail() {
    let (_database, scope) = kit::in_memory();
    let proven = put(&scope, StrategyKind::Procedure, "knock three times", "knock");
    let refuted = put(&scope, StrategyKind::Procedure, "wait for an hour", "wait");
    given(&scope, proven, Delivery::Injected, "knock", &[(Outcome::Success, 4), (Outcome::Failure, 6)]);
    given(&scope, refuted, Delivery::Injected, "wait", &[(Outcome::Failure, 40)]);
    let other = put(&scope, StrategyKind::Procedure, "another", "another");
    given(&scope, other, Delivery::Unused, "x", &[(Outcome::Failure, 60)]);
    let consolidation = Consolidation { max_per_domain: 3, ..Consolidation::default() };
    let sum = teach(&scope, &consolidation, &[item(true, "api")]);
    assert_eq!((sum.n_added, sum.n_evicted), (1, 1));
    assert_eq!(status(&scope, proven), Status::Active, "4 of 10 where 4 of 110 is usual");
    assert_eq!(status(&scope, refuted), Status::Stale);
    assert_eq!(status(&scope, other), Status::Active);
}

/// Tasks need not have a domain, and by default have none: lessons about them were never capped.
#[test]
fn lessons_without_a_domain_are_capped_together() {
    let (database, scope) = kit::in_memory();
    let elsewhere = put(&scope, StrategyKind::Procedure, "knock three times", "knock");
    let consolidation = Consolidation { max_per_domain: 5, ..Consolidation::default() };
    for number in 0..20 {
        let item = Item { title: format!("use tool {number}"), ..item(true, &format!("{number}")) };
        let learner = Learner { consolidation: consolidation.clone(), ..town::writing(item, &scope) };
        let mut door = Door::new(&format!("task {number}"), "sesame");
        door.task.domain = None;
        learner.live(&mut door, None).unwrap();
        let n_active = active(&scope).iter().filter(|lesson| lesson.domain.is_none()).count();
        assert_eq!(n_active, (number + 1).min(5), "after task {number}");
    }
    assert_eq!(status(&scope, elsewhere), Status::Active, "it has a domain of its own");
    assert!(is_sound(&database));
}

/// A lesson that was suspended was not found among those that are known. Distilled once more it was added anew, active, without
/// its evidence: suppression was undone, and suspended copies grew without limit.
#[test]
fn a_suspended_lesson_that_is_distilled_again_stays_the_one_it_is() {
    let (database, scope, _) = taught(Consolidation::default(), &[item(true, "api")]);
    let snapshot = scope.snapshot().unwrap();
    let id = snapshot.ids::<Strategy>().unwrap()[0];
    let mut tx = scope.begin().unwrap();
    tx.set_status(id, Status::Suspended).unwrap();
    tx.commit().unwrap();
    for disagreement in [Disagreement::Keep, Disagreement::Vote, Disagreement::Latest] {
        let consolidation = Consolidation { disagreement, ..Consolidation::default() };
        let again = teach(&scope, &consolidation, &[item(true, "api"), item(true, "api")]);
        assert_eq!((again.n_added, again.n_merged), (0, 2));
    }
    let [lesson] = all(&scope).try_into().unwrap();
    assert_eq!((lesson.status, lesson.provenance.evidence.len()), (Status::Suspended, 7));
    // It speaks against another, and takes nobody's place.
    let latest = Consolidation { disagreement: Disagreement::Latest, ..Consolidation::default() };
    let other = teach(&scope, &latest, &[item(false, "api"), item(true, "api")]);
    assert_eq!((other.n_added, other.n_merged, other.n_superseded), (1, 1, 0));
    let [guardrail] = active(&scope).try_into().unwrap();
    assert_eq!(guardrail.kind, StrategyKind::Guardrail);
    assert!(is_sound(&database));
}

/// All evidence shared one limit: a lesson that had been contradicted so often had no room left for what spoke for it, and could
/// never win again however the world turned.
#[test]
fn a_lesson_that_was_refuted_often_may_win_again() {
    let vote =
        Consolidation { disagreement: Disagreement::Vote, max_evidence: 3, opposed: 0.1, ..Consolidation::default() };
    let (_database, scope, _) = taught(vote.clone(), &[item(true, "api"), item(false, "api")]);
    teach(&scope, &vote, &vec![item(false, "api"); 6]);
    let kinds = || active(&scope).iter().map(|lesson| lesson.kind).collect::<Vec<_>>();
    assert_eq!(kinds(), [StrategyKind::Guardrail]);
    teach(&scope, &vote, &vec![item(true, "api"); 3]);
    assert_eq!(kinds(), [StrategyKind::Procedure], "the world has turned");
    for lesson in all(&scope) {
        let n = |polarity| lesson.provenance.evidence.iter().filter(|piece| piece.polarity == polarity).count();
        assert!(n(Polarity::Support) <= 3 && n(Polarity::Contradict) <= 3);
    }
}

/// Whether it is put aside after one more task in which it was given, at the end of these.
fn put_aside(kind: StrategyKind, deliveries: &[(Delivery, &str, Outcome)], rule: Suppression) -> bool {
    let (_database, scope) = kit::in_memory();
    let id = put(&scope, kind, "open a door with please", "say(please)");
    let bystander = put(&scope, StrategyKind::Procedure, "zzz", "zzz");
    given(&scope, bystander, Delivery::Unused, "x", &[(Outcome::Success, 60)]);
    for (delivery, action, outcome) in deliveries {
        given(&scope, id, *delivery, action, &[(*outcome, 1)]);
    }
    let consolidation = Consolidation { suppression: Some(rule), ..Consolidation::default() };
    let mut learner = Learner { consolidation, ..town::saying("sesame", &scope) };
    learner.recall.withhold = 0.0;
    let Living::Now(learned) = learner.live(&mut Door::new("open a door", "sesame"), None).unwrap() else { panic!() };
    assert!(learned.offers.iter().any(|offer| offer.id == id), "it is given");
    status(&scope, id) == Status::Stale
}

/// Every delivery counted, also where the lesson had been withheld; and a guardrail was "followed" when its action was taken,
/// so that one which was right, and ignored, was suspended for it.
#[test]
fn credit_is_for_what_was_read_and_done() {
    use Delivery::{Injected, Unused, Withheld};
    use Outcome::{Failure, Success};
    use StrategyKind::{Contrast, Guardrail, Procedure};
    let rule = Suppression::default();
    let times = |delivery, action, outcome| vec![(delivery, action, outcome); 8];
    assert!(put_aside(Procedure, &times(Injected, "say(please)", Failure), rule));
    assert!(!put_aside(Procedure, &times(Injected, "other", Failure), rule), "it was not followed");
    assert!(!put_aside(Procedure, &times(Injected, "say(please)", Success), rule));
    assert!(!put_aside(Procedure, &times(Withheld, "say(please)", Failure), rule), "nobody read it");
    assert!(!put_aside(Procedure, &times(Unused, "say(please)", Failure), rule), "nobody read it");
    assert!(!put_aside(Guardrail, &times(Injected, "say(please)", Failure), rule), "it was right, and ignored");
    assert!(put_aside(Guardrail, &times(Injected, "other", Failure), rule), "it was followed, and tasks failed");
    assert!(!put_aside(Contrast, &times(Injected, "say(please)", Failure), rule), "nobody knows what it says");
    let any = Suppression { followed_only: false, ..rule };
    assert!(put_aside(Contrast, &times(Injected, "other", Failure), any));
    assert!(!put_aside(Contrast, &times(Withheld, "other", Failure), any));
    // What happened long ago counts for nothing any more.
    let mut turned = vec![(Injected, "say(please)", Failure); 70];
    turned.extend(vec![(Injected, "say(please)", Success); 64]);
    assert!(!put_aside(Procedure, &turned, rule));
}

/// One false `fails` stood for ever beside a `works` that thirty tasks spoke for: with 300 tasks the agent got worse from the
/// 60th on. The vote is the default again, and attempts at one task are one vote.
#[test]
fn a_vote_is_a_tasks_and_one_mistake_does_not_outvote_ten() {
    let mut items = vec![item(true, "api"); 10];
    items.push(item(false, "api"));
    let (_database, scope, _) = taught(Consolidation::default(), &items);
    let kinds = |scope: &Scope| active(scope).iter().map(|lesson| lesson.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&scope), [StrategyKind::Procedure]);
    // Two tasks speak for it, and four attempts at one task against it.
    let (_database, scope, _) = taught(Consolidation::default(), &[item(true, "api"), item(true, "api")]);
    let mut learner = town::writing(item(false, "api"), &scope);
    learner.scaling = Scaling { way: Way::Sequential, k: 4, allot: Allot::All };
    let Living::Now(learned) = learner.live(&mut Door::new("a third of Delta pay", "sesame"), None).unwrap() else {
        panic!()
    };
    assert_eq!((learned.attempts.len(), learned.consolidated.n_contradictions), (4, 4));
    assert_eq!(kinds(&scope), [StrategyKind::Procedure], "two tasks to one");
    teach(&scope, &Consolidation::default(), &[item(false, "api")]);
    assert_eq!(kinds(&scope), [StrategyKind::Guardrail], "two to two, and seen last");
}

/// Credit compared a lesson with all tasks: where a domain is hard, all that is right in it looked wrong.
#[test]
fn credit_compares_within_the_domain() {
    let (_database, scope) = kit::in_memory();
    let id = put(&scope, StrategyKind::Procedure, "open a door with please", "say(please)");
    given(&scope, id, Delivery::Injected, "say(please)", &[(Outcome::Success, 1), (Outcome::Failure, 9)]);
    let other = put(&scope, StrategyKind::Procedure, "zzz", "zzz");
    given(&scope, other, Delivery::Unused, "x", &[(Outcome::Failure, 90), (Outcome::Success, 10)]);
    let mut tx = scope.begin().unwrap();
    for _ in 0..300 {
        let easy = tx.put_new(&Trajectory::new("an easy task").domain("windows")).unwrap();
        tx.judge(easy, &kit::success()).unwrap();
    }
    tx.commit().unwrap();
    let suppression = Some(Suppression { followed_only: false, ..Suppression::default() });
    let consolidation = Consolidation { suppression, ..Consolidation::default() };
    let mut learner = Learner { consolidation, ..town::saying("please", &scope) };
    learner.recall.withhold = 0.0;
    learner.live(&mut Door::new("open a door", "sesame"), None).unwrap();
    assert_eq!(status(&scope, id), Status::Active, "one of ten is usual here");
}

/// What the cap or credit had put aside could never come back, however often it was confirmed.
#[test]
fn what_was_put_aside_comes_back_when_it_is_distilled_again() {
    let consolidation = Consolidation { max_per_domain: 2, ..Consolidation::default() };
    let (database, scope, sum) =
        taught(consolidation.clone(), &[item(true, "api"), item(true, "menu"), item(true, "form")]);
    assert_eq!((sum.n_added, sum.n_evicted), (3, 1));
    let gone = all(&scope).into_iter().find(|lesson| lesson.status == Status::Stale).unwrap();
    assert!(gone.title.contains("api"), "of equals the oldest: {}", gone.title);
    let sum = teach(&scope, &consolidation, &[item(true, "api"), item(true, "api")]);
    assert_eq!((sum.n_added, sum.n_merged, sum.n_returned, sum.n_evicted), (0, 2, 1, 1));
    let titles: Vec<String> = active(&scope).into_iter().map(|lesson| lesson.title).collect();
    assert!(titles.len() == 2 && titles.iter().any(|title| title.contains("api")), "{titles:?}");
    assert_eq!(all(&scope).len(), 3, "and none became two");
    assert!(is_sound(&database));
}
