//! A filter, however it is joined, lets through exactly the records that a look at each of them would, whatever became of
//! them since they were put.

use crate::kit::{self, embed};
use lagdb::{
    Database, Error, Evidence, Filter, Id, Judgment, Outcome, Polarity, Provenance, Query, Scope, Status, Step,
    Strategy, StrategyKind, Trajectory, Trust,
};
use proptest::prelude::{Just, ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{BoxedStrategy, Strategy as _};
use std::collections::BTreeSet;

const HOUR_MS: u64 = 3_600_000;

/// A trajectory, and what became of it.
#[derive(Clone, Debug)]
struct Lived {
    id: Id<Trajectory>,
    trajectory: Trajectory,
    outcome: Outcome,
    is_embedded: bool,
    is_there: bool,
}

/// A strategy, and what became of it.
#[derive(Clone, Debug)]
struct Learned {
    id: Id<Strategy>,
    strategy: Strategy,
    /// The trajectories of its evidence, also those that were deleted.
    from: BTreeSet<usize>,
    /// The tasks and groups that it is filed under.
    tasks: BTreeSet<String>,
    groups: BTreeSet<String>,
    is_embedded: bool,
    is_there: bool,
}

/// What one record is made of; a byte decides on each property.
#[derive(Clone, Debug)]
struct Made {
    trajectory: Trajectory,
    outcome: Outcome,
    strategy: Strategy,
    /// Which others the strategy was learned from too.
    others: [u8; 2],
    is_embedded: bool,
}

fn word(n: u8) -> String {
    format!("w{}", n % 3)
}

fn made([label, domain, trust, time, outcome, kind_byte, status, signature]: [u8; 8]) -> Made {
    let trust = Trust::ALL[usize::from(trust % 3)];
    // Close to the edges of hours, and one without a time.
    let ms = u64::from(time % 5) * HOUR_MS + u64::from(time / 100);
    let step = Step::new("saw", "did").action_signature(word(signature)).error_signature(word(signature / 3));
    let mut trajectory =
        Trajectory::new(format!("task {}", label % 2)).label(word(label)).trust(trust).started_at_ms(ms);
    trajectory = trajectory.rollout(word(domain), u32::from(label));
    trajectory.steps.push(step);
    trajectory.domain = (domain % 4 > 0).then(|| word(domain));
    trajectory.expires_at_ms = (time % 3 > 0).then(|| 1 + ms);
    let kind = StrategyKind::from_code(1 + kind_byte % 3).unwrap();
    let mut strategy = Strategy::new("title", "when", "how").kind(kind).label(word(label));
    strategy.trust = trust;
    strategy.created_at_ms = ms;
    strategy.expires_at_ms = trajectory.expires_at_ms;
    strategy.domain.clone_from(&trajectory.domain);
    strategy = strategy.action_signature(word(signature)).error_signature(word(signature / 3));
    strategy.status = [Status::Active, Status::Suspended, Status::Stale, Status::Expired][usize::from(status % 4)];
    let outcome = Outcome::from_code(outcome % 4).unwrap();
    Made { trajectory, outcome, strategy, others: [kind_byte, signature], is_embedded: kind_byte < 200 }
}

/// A filter, and what it says of the record `i` of each kind.
#[derive(Clone, Debug)]
enum Said {
    Outcome(Outcome),
    Kind(StrategyKind),
    Label(String),
    Domain(String),
    Status(Status),
    TrustFrom(Trust),
    Time(u64, u64),
    ExpiredAt(u64),
    Action(String),
    Error(String),
    Task(String),
    Group(String),
    Not(Box<Said>),
    And(Vec<Said>),
    Or(Vec<Said>),
}

fn said() -> BoxedStrategy<Said> {
    let leaf = prop_oneof![
        (0..4u8).prop_map(|n| Said::Outcome(Outcome::from_code(n).unwrap())),
        (1..4u8).prop_map(|n| Said::Kind(StrategyKind::from_code(n).unwrap())),
        any::<u8>().prop_map(|n| Said::Label(word(n))),
        any::<u8>().prop_map(|n| Said::Domain(word(n))),
        (1..6u8).prop_map(|n| Said::Status(Status::from_code(n).unwrap())),
        (0..3usize).prop_map(|n| Said::TrustFrom(Trust::ALL[n])),
        (0..5 * HOUR_MS, 0..2 * HOUR_MS).prop_map(|(from, n)| Said::Time(from, from + n)),
        (0..5u64, 0..3u64).prop_map(|(hour, n)| Said::Time(hour * HOUR_MS, hour * HOUR_MS + n)),
        (0..5 * HOUR_MS).prop_map(Said::ExpiredAt),
        (0..5u64, 0..3u64).prop_map(|(hour, n)| Said::ExpiredAt(hour * HOUR_MS + n)),
        any::<u8>().prop_map(|n| Said::Action(word(n))),
        any::<u8>().prop_map(|n| Said::Error(word(n))),
        (0..3u8).prop_map(|n| Said::Task(format!("task {n}"))),
        any::<u8>().prop_map(|n| Said::Group(word(n))),
        Just(Said::And(vec![])),
        Just(Said::Or(vec![])),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Said::Not(Box::new(one))),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Said::And),
            proptest::collection::vec(inner, 0..3).prop_map(Said::Or),
        ]
    })
    .boxed()
}

impl Said {
    fn filter(&self) -> Filter {
        match self {
            Self::Outcome(outcome) => Filter::outcome(*outcome),
            Self::Kind(kind) => Filter::kind(*kind),
            Self::Label(label) => Filter::label(label),
            Self::Domain(domain) => Filter::domain(domain),
            Self::Status(status) => Filter::status(*status),
            Self::TrustFrom(trust) => Filter::trust(*trust..),
            Self::Time(first, last) => Filter::time_ms(*first..=*last),
            Self::ExpiredAt(ms) => Filter::expired_at(*ms),
            Self::Action(signature) => Filter::action_signature(signature),
            Self::Error(signature) => Filter::error_signature(signature),
            Self::Task(task) => Filter::task(task),
            Self::Group(group) => Filter::group(group),
            Self::Not(one) => !one.filter(),
            Self::And(all) => Filter::all_of(all.iter().map(Self::filter)),
            Self::Or(any) => Filter::any_of(any.iter().map(Self::filter)),
        }
    }

    fn of_trajectory(&self, lived: &Lived) -> bool {
        let trajectory = &lived.trajectory;
        match self {
            Self::Outcome(outcome) => lived.outcome == *outcome,
            Self::Kind(_) | Self::Status(_) => false,
            Self::Label(label) => trajectory.labels.contains(label),
            Self::Domain(domain) => trajectory.domain.as_ref() == Some(domain),
            Self::TrustFrom(trust) => trajectory.trust >= *trust,
            Self::Time(first, last) => is_in(trajectory.started_at_ms, *first, *last),
            Self::ExpiredAt(ms) => trajectory.expires_at_ms.is_some_and(|at| at <= *ms),
            Self::Action(signature) => trajectory.steps[0].action_signature.as_ref() == Some(signature),
            Self::Error(signature) => trajectory.steps[0].error_signature.as_ref() == Some(signature),
            Self::Task(task) => trajectory.task == *task,
            Self::Group(group) => trajectory.rollout.as_ref().unwrap().group == *group,
            Self::Not(one) => !one.of_trajectory(lived),
            Self::And(all) => all.iter().all(|one| one.of_trajectory(lived)),
            Self::Or(any) => any.iter().any(|one| one.of_trajectory(lived)),
        }
    }

    fn of_strategy(&self, learned: &Learned, all_lived: &[Lived]) -> bool {
        let strategy = &learned.strategy;
        match self {
            // As its trajectories are judged now, those that are still there.
            Self::Outcome(outcome) => {
                learned.from.iter().any(|at| all_lived[*at].is_there && all_lived[*at].outcome == *outcome)
            }
            Self::Kind(kind) => strategy.kind == *kind,
            Self::Label(label) => strategy.labels.contains(label),
            Self::Domain(domain) => strategy.domain.as_ref() == Some(domain),
            Self::Status(status) => strategy.status == *status,
            Self::TrustFrom(trust) => strategy.trust >= *trust,
            Self::Time(first, last) => is_in(strategy.created_at_ms, *first, *last),
            Self::ExpiredAt(ms) => strategy.expires_at_ms.is_some_and(|at| at <= *ms),
            Self::Action(signature) => strategy.action_signatures.contains(signature),
            Self::Error(signature) => strategy.error_signatures.contains(signature),
            Self::Task(task) => learned.tasks.contains(task),
            Self::Group(group) => learned.groups.contains(group),
            Self::Not(one) => !one.of_strategy(learned, all_lived),
            Self::And(all) => all.iter().all(|one| one.of_strategy(learned, all_lived)),
            Self::Or(any) => any.iter().any(|one| one.of_strategy(learned, all_lived)),
        }
    }
}

fn is_in(ms: u64, first: u64, last: u64) -> bool {
    ms > 0 && (first..=last).contains(&ms)
}

/// What may happen to the record of this number, and what to it.
#[derive(Clone, Debug)]
enum Event {
    DeleteTrajectory(usize),
    DeleteStrategy(usize),
    Judge(usize, Outcome),
    SetStatus(usize, Status),
    Purge(usize),
    Expire(u64),
    Reindex,
}

fn event() -> BoxedStrategy<Event> {
    let status = prop_oneof![Just(Status::Active), Just(Status::Suspended), Just(Status::Stale)];
    prop_oneof![
        2 => any::<usize>().prop_map(Event::DeleteTrajectory),
        1 => any::<usize>().prop_map(Event::DeleteStrategy),
        2 => (any::<usize>(), 0..4u8).prop_map(|(at, code)| Event::Judge(at, Outcome::from_code(code).unwrap())),
        1 => (any::<usize>(), status).prop_map(|(at, status)| Event::SetStatus(at, status)),
        2 => any::<usize>().prop_map(Event::Purge),
        1 => (0..5 * HOUR_MS).prop_map(Event::Expire),
        1 => Just(Event::Reindex),
    ]
    .boxed()
}

/// What a scope holds, as a list of records.
struct World {
    database: Database,
    scope: Scope,
    lived: Vec<Lived>,
    learned: Vec<Learned>,
}

impl World {
    fn put(records: &[Made]) -> Self {
        let (database, scope) = kit::in_memory();
        let mut tx = scope.begin().unwrap();
        let live = |made: &Made| {
            let id = tx.put_new(&made.trajectory).unwrap();
            tx.judge(id, &Judgment::new(made.outcome, "test")).unwrap();
            if made.is_embedded {
                tx.embed(id, &embed("flight")).unwrap();
            }
            let (trajectory, outcome, is_embedded) = (made.trajectory.clone(), made.outcome, made.is_embedded);
            Lived { id, trajectory, outcome, is_embedded, is_there: true }
        };
        let lived: Vec<Lived> = records.iter().map(live).collect();
        let learn = |(at, made): (usize, &Made)| {
            let others = made.others.map(usize::from).into_iter().filter(|n| n % 3 > 0).map(|n| n % lived.len());
            let from: BTreeSet<usize> = std::iter::once(at).chain(others).collect();
            let evidence_of = |at: &usize| Evidence {
                trajectory: lived[*at].id,
                first_step: 0,
                last_step: 0,
                polarity: Polarity::Support,
            };
            let provenance = Provenance { distiller: "test".into(), evidence: from.iter().map(evidence_of).collect() };
            let mut strategy = Strategy { provenance, ..made.strategy.clone() };
            let id = tx.put_new(&strategy).unwrap();
            // It is believed no further than the least of what it was learned from.
            strategy.trust = from.iter().map(|at| lived[*at].trajectory.trust).min().unwrap().min(strategy.trust);
            if made.is_embedded {
                tx.embed(id, &embed("flight")).unwrap();
            }
            let (tasks, groups) = lineage(&lived, &from);
            Learned { id, strategy, from, tasks, groups, is_embedded: made.is_embedded, is_there: true }
        };
        let learned = records.iter().enumerate().map(learn).collect();
        tx.commit().unwrap();
        Self { database, scope, lived, learned }
    }

    fn happen(&mut self, event: &Event) {
        let n = self.lived.len();
        match *event {
            Event::DeleteTrajectory(at) => {
                let lived = &mut self.lived[at % n];
                let mut tx = self.scope.begin().unwrap();
                assert_eq!(tx.delete(lived.id).unwrap(), lived.is_there);
                tx.commit().unwrap();
                lived.is_there = false;
            }
            Event::DeleteStrategy(at) => {
                let learned = &mut self.learned[at % n];
                let mut tx = self.scope.begin().unwrap();
                assert_eq!(tx.delete(learned.id).unwrap(), learned.is_there);
                tx.commit().unwrap();
                learned.is_there = false;
            }
            Event::Judge(at, outcome) => {
                let lived = &mut self.lived[at % n];
                let mut tx = self.scope.begin().unwrap();
                assert_eq!(tx.judge(lived.id, &Judgment::new(outcome, "again")).is_ok(), lived.is_there);
                tx.commit().unwrap();
                lived.outcome = outcome;
            }
            Event::SetStatus(at, status) => {
                let learned = &mut self.learned[at % n];
                let mut tx = self.scope.begin().unwrap();
                assert_eq!(tx.set_status(learned.id, status).is_ok(), learned.is_there);
                tx.commit().unwrap();
                learned.strategy.status = status;
            }
            Event::Purge(at) => self.purge(at % n),
            Event::Expire(ms) => {
                self.database.expire(ms).unwrap();
                let is_over = |at: Option<u64>| at.is_some_and(|at| at <= ms);
                self.lived.iter_mut().for_each(|lived| lived.is_there &= !is_over(lived.trajectory.expires_at_ms));
                for strategy in self.learned.iter_mut().map(|learned| &mut learned.strategy) {
                    if strategy.status == Status::Active && is_over(strategy.expires_at_ms) {
                        strategy.status = Status::Expired;
                    }
                }
            }
            Event::Reindex => self.database.reindex().unwrap(),
        }
    }

    fn purge(&mut self, at: usize) {
        self.scope.purge(self.lived[at].id).unwrap();
        self.lived[at].is_there = false;
        for learned in self.learned.iter_mut().filter(|learned| learned.is_there) {
            if !learned.from.remove(&at) {
                continue;
            }
            learned.is_there = !learned.from.is_empty();
            if learned.strategy.status != Status::Expired {
                learned.strategy.status = Status::Stale;
            }
            // Where nobody knows any more which task is whose, all are kept.
            if learned.from.iter().all(|at| self.lived[*at].is_there) {
                (learned.tasks, learned.groups) = lineage(&self.lived, &learned.from);
            }
        }
    }

    /// What a query finds that says this, by trajectories and strategies of any status.
    fn found(&self, query: &Query) -> (Vec<Id<Trajectory>>, Vec<Id<Strategy>>) {
        // Before the time of any of them is over.
        let snapshot = self.scope.snapshot().unwrap().at_ms(0);
        let any_status = Filter::any_of(Status::ALL.map(Filter::status));
        let mut lived: Vec<_> = snapshot.search(query).unwrap().iter().map(|hit| hit.id).collect();
        let of_any_status = query.clone().filter(any_status);
        let mut learned: Vec<_> = snapshot.search(&of_any_status).unwrap().iter().map(|hit| hit.id).collect();
        lived.sort();
        learned.sort();
        (lived, learned)
    }

    /// What a look at each record finds.
    fn wanted(&self, said: &Said, needs_embedding: bool) -> (Vec<Id<Trajectory>>, Vec<Id<Strategy>>) {
        let lived = self.lived.iter().filter(|lived| lived.is_there && (lived.is_embedded || !needs_embedding));
        let learned =
            self.learned.iter().filter(|learned| learned.is_there && (learned.is_embedded || !needs_embedding));
        (
            lived.filter(|lived| said.of_trajectory(lived)).map(|lived| lived.id).collect(),
            learned.filter(|learned| said.of_strategy(learned, &self.lived)).map(|learned| learned.id).collect(),
        )
    }
}

/// The tasks and the groups of some trajectories.
fn lineage(lived: &[Lived], from: &BTreeSet<usize>) -> (BTreeSet<String>, BTreeSet<String>) {
    let of = |at: &usize| {
        let trajectory = &lived[*at].trajectory;
        (trajectory.task.clone(), trajectory.rollout.as_ref().unwrap().group.clone())
    };
    from.iter().map(of).unzip()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever became of the records before.
    #[test]
    fn a_filter_finds_what_a_look_at_each_record_would(
        bytes in proptest::collection::vec(any::<[u8; 8]>(), 1..24),
        events in proptest::collection::vec(event(), 0..8),
        filters in proptest::collection::vec(said(), 6),
    ) {
        let records: Vec<Made> = bytes.into_iter().map(made).collect();
        let mut world = World::put(&records);
        events.iter().for_each(|event| world.happen(event));
        for said in filters {
            for (query, needs_embedding) in [(Query::newest(), false), (Query::near(embed("flight")), true)] {
                let found = world.found(&query.limit(1000).filter(said.filter()));
                prop_assert_eq!(found, world.wanted(&said, needs_embedding), "{}", said.filter());
            }
        }
        let report = world.database.verify(&mut |_| {}).unwrap();
        prop_assert!(report.is_sound(), "{report:?}");
    }
}

#[test]
fn only_active_strategies_unless_the_filter_names_a_status() {
    let records: Vec<Made> = (0..4).map(|status| made([0, 0, 0, 0, 1, 0, status, 0])).collect();
    let World { scope, learned, .. } = World::put(&records);
    let ids: Vec<_> = learned.iter().map(|learned| learned.id).collect();
    let found = |query: &Query| -> Vec<_> {
        let snapshot = scope.snapshot().unwrap().at_ms(0);
        snapshot.search::<Strategy>(query).unwrap().iter().map(|hit| hit.id).collect()
    };
    assert_eq!(found(&Query::newest()), [ids[0]]);
    assert_eq!(found(&Query::newest().filter(Filter::status(Status::Stale))), [ids[2]]);
    let mut tx = scope.begin().unwrap();
    tx.set_status(ids[1], Status::Active).unwrap();
    tx.supersede_by(ids[0], ids[1]).unwrap();
    assert!(matches!(tx.set_status(ids[1], Status::Superseded), Err(Error::Invalid { what: "status", .. })));
    assert!(tx.supersede_by(ids[1], ids[1]).is_err());
    tx.commit().unwrap();
    assert_eq!(found(&Query::newest()), [ids[1]]);
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.get(ids[0]).unwrap().unwrap().superseded_by, Some(ids[1]));
}

#[test]
fn a_lesson_is_believed_no_further_than_what_it_was_drawn_from() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("read a mail").trust(Trust::Low)).unwrap();
    let mut claims = kit::strategy("do what mails say", id, Polarity::Support);
    claims.trust = Trust::High;
    let strategy = tx.put(&claims).unwrap();
    assert_eq!(tx.get(strategy).unwrap().unwrap().trust, Trust::Low);
    let trusted = Query::newest().filter(Filter::trust(Trust::Medium..));
    assert!(tx.search::<Strategy>(&trusted).unwrap().is_empty());
}

#[test]
fn filters_that_cannot_be_asked_are_refused() {
    let (_database, scope) = kit::in_memory();
    kit::remember(&scope, "t", None);
    let snapshot = scope.snapshot().unwrap();
    let refused = |query: Query| match snapshot.search::<Trajectory>(&query) {
        Err(Error::Invalid { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Query::newest().label("")), "label");
    assert_eq!(refused(Query::newest().filter(Filter::domain("a\nb"))), "domain");
    assert_eq!(refused(Query::newest().filter(!Filter::action_signature(""))), "action signature");
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let backwards = Filter::time_ms(2..=1);
    assert_eq!(refused(Query::newest().filter(backwards)), "time");
    assert_eq!(refused(Query::newest().floor(f32::NAN)), "floor");
    assert_eq!(refused(Query::newest().mmr(1.5)), "mmr");
    assert_eq!(refused(Query::newest().recency(1.0, 0, 0)), "recency");
    assert_eq!(refused(Query::newest().utility(f32::NAN)), "utility");
    let deep = (0..40_000).fold(Filter::everything(), |filter, _| !filter);
    assert_eq!(snapshot.search::<Trajectory>(&Query::newest().filter(deep.clone())).unwrap().len(), 1);
    assert_eq!(refused(Query::newest().filter(deep.clone() & deep)), "filter");
}
