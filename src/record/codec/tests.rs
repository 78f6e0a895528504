//! What is on disk stays readable: round trips, and the bytes of every version as they were shipped.

use super::*;
use crate::Id;
use crate::record::stats::Change;
use crate::record::{DeliveryPoint, JudgmentSource, Offered, Outcome, Polarity, Status, Step, StrategyKind, Trust};

/// What version 1 could say.
fn trajectory_v1() -> Trajectory {
    Trajectory::new("book a flight").step("which day?", "may 20th").label("airline").rollout("t0", 2).started_at_ms(7)
}

fn strategy_v1() -> Strategy {
    let mut strategy = Strategy::new("t", "d", "c")
        .kind(StrategyKind::Contrast)
        .label("a")
        .action_signature("cancel(*)")
        .evidence(Id::from_u64(3), 0..=4, Polarity::Contradict);
    strategy.provenance.distiller = "d/1".into();
    strategy
}

fn judgment_v1() -> Judgment {
    Judgment::new(Outcome::Partial, "judge/1").score(0.5).rationale("half").judged_at_ms(9)
}

fn trajectory() -> Trajectory {
    let failed = Step::new("too late", "cancel(X7)").action_signature("cancel(*)").error_signature("cancel: 409");
    let mut trajectory = trajectory_v1().domain("airline").trust(Trust::Low);
    trajectory.steps.push(failed);
    trajectory.expires_at_ms = Some(11);
    trajectory
}

fn strategy() -> Strategy {
    let mut strategy = strategy_v1().domain("airline").action_signature("refund(*)").error_signature("cancel: 409");
    strategy.status = Status::Superseded;
    strategy.superseded_by = Some(Id::from_u64(5));
    strategy.trust = Trust::High;
    strategy.created_at_ms = 12;
    strategy.expires_at_ms = Some(13);
    strategy
}

fn judgment() -> Judgment {
    judgment_v1().source(JudgmentSource::Model)
}

fn hex(versioned: Versioned) -> String {
    versioned.bytes.unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of a golden file: trajectory, strategy, judgment.
fn golden(text: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let (t, s, j) = (trajectory(), strategy(), judgment());
    assert_eq!(decode_trajectory(2, &encode_trajectory(&t).bytes.unwrap()), Ok(t));
    assert_eq!(decode_strategy(2, &encode_strategy(&s).bytes.unwrap()), Ok(s));
    assert_eq!(decode_judgment(2, &encode_judgment(&j).bytes.unwrap()), Ok(j));
}

#[test]
fn a_newer_schema_is_named() {
    assert_eq!(decode_judgment(3, &[]), Err(Undecodable::Newer(3)));
}

#[test]
fn bytes_of_version_1_are_read_as_they_were_meant() {
    let golden = golden(include_str!("golden_v1.txt"));
    assert_eq!(decode_trajectory(1, &golden[0]), Ok(trajectory_v1()));
    assert_eq!(decode_strategy(1, &golden[1]), Ok(strategy_v1()));
    assert_eq!(decode_judgment(1, &golden[2]), Ok(judgment_v1()));
}

#[test]
fn version_2_has_the_bytes_it_was_shipped_with() {
    let golden = include_str!("golden_v2.txt").lines().collect::<Vec<_>>();
    let now =
        [hex(encode_trajectory(&trajectory())), hex(encode_strategy(&strategy())), hex(encode_judgment(&judgment()))];
    assert_eq!(now.as_slice(), golden.as_slice());
}

fn exposures() -> Vec<Exposure> {
    let strategy = Offered::Strategy(Id::from_u64(5));
    vec![
        Exposure { rank: 2, score: 0.75, step: 4, exposed_at_ms: 14, ..Exposure::injected(strategy) },
        Exposure { point: DeliveryPoint::BeforeAction, ..Exposure::withheld(Offered::KvLog(Id::from_u64(3)), 0.25) },
        Exposure::unused(strategy),
    ]
}

fn counters() -> Counters {
    let mut counters = Counters::default();
    for (exposure, outcome) in exposures().iter().zip([Outcome::Success, Outcome::Partial, Outcome::Unknown]) {
        counters.count(exposure, outcome, Change::Add);
    }
    counters
}

#[test]
fn exposures_and_counters_have_the_bytes_they_were_shipped_with() {
    let (written, counted) = (encode_exposures(&exposures()), encode_counters(&counters()));
    assert_eq!(decode_exposures(1, written.bytes.as_ref().unwrap()), Ok(exposures()));
    assert_eq!(decode_counters(1, counted.bytes.as_ref().unwrap()), Ok(counters()));
    let golden = include_str!("golden_exposures_v1.txt").lines().collect::<Vec<_>>();
    assert_eq!([hex(written), hex(counted)].as_slice(), golden.as_slice());
}

#[test]
fn an_unknown_code_is_wrong_not_a_guess() {
    let mut bytes = encode_judgment(&Judgment::new(Outcome::Success, "e")).bytes.unwrap();
    let root = bytes.len() - std::mem::size_of::<rkyv::Archived<v2::JudgmentV2>>();
    bytes[root] = 9;
    assert!(matches!(decode_judgment(2, &bytes), Err(Undecodable::Wrong(_))));
}
