//! A filter, however it is joined, lets through exactly the records that a look at each of them would.

use crate::kit::{self, embed};
use lagdb::{
    Error, Evidence, Filter, Id, Judgment, Outcome, Polarity, Provenance, Query, Scope, Status, Step, Strategy,
    StrategyKind, Trajectory, Trust,
};
use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{BoxedStrategy, Strategy as _};

const HOUR_MS: u64 = 3_600_000;

/// What one record is made of; a byte decides on each property.
#[derive(Clone, Debug)]
struct Made {
    trajectory: Trajectory,
    outcome: Outcome,
    strategy: Strategy,
}

fn word(n: u8) -> String {
    format!("w{}", n % 3)
}

fn made([label, domain, trust, time, outcome, kind, status, signature]: [u8; 8]) -> Made {
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
    let kind = StrategyKind::from_code(1 + kind % 3).unwrap();
    let mut strategy = Strategy::new("title", "when", "how").kind(kind).label(word(label));
    strategy.trust = trust;
    strategy.created_at_ms = ms;
    strategy.expires_at_ms = trajectory.expires_at_ms;
    strategy.domain.clone_from(&trajectory.domain);
    strategy = strategy.action_signature(word(signature)).error_signature(word(signature / 3));
    strategy.status = [Status::Active, Status::Suspended, Status::Stale, Status::Expired][usize::from(status % 4)];
    Made { trajectory, outcome: Outcome::from_code(outcome % 4).unwrap(), strategy }
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

    fn of_trajectory(&self, made: &Made) -> bool {
        let trajectory = &made.trajectory;
        match self {
            Self::Outcome(outcome) => made.outcome == *outcome,
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
            Self::Not(one) => !one.of_trajectory(made),
            Self::And(all) => all.iter().all(|one| one.of_trajectory(made)),
            Self::Or(any) => any.iter().any(|one| one.of_trajectory(made)),
        }
    }

    fn of_strategy(&self, made: &Made) -> bool {
        let strategy = &made.strategy;
        match self {
            Self::Kind(kind) => strategy.kind == *kind,
            Self::Status(status) => strategy.status == *status,
            Self::Time(first, last) => is_in(strategy.created_at_ms, *first, *last),
            Self::Not(one) => !one.of_strategy(made),
            Self::And(all) => all.iter().all(|one| one.of_strategy(made)),
            Self::Or(any) => any.iter().any(|one| one.of_strategy(made)),
            // As its one trajectory.
            _ => self.of_trajectory(made),
        }
    }
}

fn is_in(ms: u64, first: u64, last: u64) -> bool {
    ms > 0 && (first..=last).contains(&ms)
}

type Ids = Vec<(Id<Trajectory>, Id<Strategy>)>;

fn put(scope: &Scope, records: &[Made]) -> Ids {
    let mut tx = scope.begin().unwrap();
    let one = |made: &Made| {
        let id = tx.put_new(&made.trajectory).unwrap();
        tx.judge(id, &Judgment::new(made.outcome, "test")).unwrap();
        tx.embed(id, &embed("flight")).unwrap();
        let evidence = vec![Evidence { trajectory: id, first_step: 0, last_step: 0, polarity: Polarity::Support }];
        let provenance = Provenance { distiller: "test".into(), evidence };
        let strategy = tx.put_new(&Strategy { provenance, ..made.strategy.clone() }).unwrap();
        tx.embed(strategy, &embed("flight")).unwrap();
        (id, strategy)
    };
    let ids = records.iter().map(one).collect();
    tx.commit().unwrap();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_finds_what_a_look_at_each_record_would(
        bytes in proptest::collection::vec(any::<[u8; 8]>(), 1..24),
        filters in proptest::collection::vec(said(), 6),
    ) {
        let records: Vec<Made> = bytes.into_iter().map(made).collect();
        let (_database, scope) = kit::in_memory();
        let ids = put(&scope, &records);
        // Before the time of any of them is over.
        let snapshot = scope.snapshot().unwrap().at_ms(0);
        let any_status = Filter::any_of(Status::ALL.map(Filter::status));
        for said in filters {
            for query in [Query::newest(), Query::near(embed("flight"))] {
                let query = query.limit(1000).filter(said.filter());
                let mut found: Vec<_> =
                    snapshot.search::<Trajectory>(&query).unwrap().iter().map(|hit| hit.id).collect();
                found.sort();
                let wanted: Vec<_> =
                    ids.iter().zip(&records).filter(|(_, made)| said.of_trajectory(made)).map(|(id, _)| id.0).collect();
                prop_assert_eq!(found, wanted, "{}", said.filter());
                let mut found: Vec<_> = snapshot
                    .search::<Strategy>(&query.filter(any_status.clone())).unwrap().iter().map(|hit| hit.id).collect();
                found.sort();
                let wanted: Vec<_> =
                    ids.iter().zip(&records).filter(|(_, made)| said.of_strategy(made)).map(|(id, _)| id.1).collect();
                prop_assert_eq!(found, wanted, "{}", said.filter());
            }
        }
    }
}

#[test]
fn only_active_strategies_unless_the_filter_names_a_status() {
    let (_database, scope) = kit::in_memory();
    let records: Vec<Made> = (0..4).map(|status| made([0, 0, 0, 0, 1, 0, status, 0])).collect();
    let ids = put(&scope, &records);
    let found = |query: &Query| -> Vec<_> {
        let snapshot = scope.snapshot().unwrap().at_ms(0);
        snapshot.search::<Strategy>(query).unwrap().iter().map(|hit| hit.id).collect()
    };
    assert_eq!(found(&Query::newest()), [ids[0].1]);
    assert_eq!(found(&Query::newest().filter(Filter::status(Status::Stale))), [ids[2].1]);
    let mut tx = scope.begin().unwrap();
    tx.set_status(ids[1].1, Status::Active).unwrap();
    tx.supersede_by(ids[0].1, ids[1].1).unwrap();
    assert!(matches!(tx.set_status(ids[1].1, Status::Superseded), Err(Error::Invalid { what: "status", .. })));
    assert!(tx.supersede_by(ids[1].1, ids[1].1).is_err());
    tx.commit().unwrap();
    assert_eq!(found(&Query::newest()), [ids[1].1]);
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.get(ids[0].1).unwrap().unwrap().superseded_by, Some(ids[1].1));
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
