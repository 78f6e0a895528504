//! What is on disk stays readable: round trips, and the bytes of version 1 as they were shipped.

use super::*;
use crate::Id;
use crate::record::{Evidence, Outcome, Polarity, Provenance, StrategyKind};

fn trajectory() -> Trajectory {
    Trajectory::new("book a flight").step("which day?", "may 20th").label("airline").rollout("t0", 2).started_at_ms(7)
}

fn strategy() -> Strategy {
    Strategy {
        kind: StrategyKind::Contrast,
        labels: vec!["a".into()],
        action_signature: Some("cancel(*)".into()),
        provenance: Provenance {
            distiller: "d/1".into(),
            evidence: vec![Evidence {
                trajectory: Id::from_u64(3),
                first_step: 0,
                last_step: 4,
                polarity: Polarity::Contradict,
            }],
        },
        ..Strategy::new("t", "d", "c")
    }
}

fn judgment() -> Judgment {
    Judgment::new(Outcome::Partial, "judge/1").score(0.5).rationale("half").judged_at_ms(9)
}

fn hex(versioned: Versioned) -> String {
    versioned.bytes.unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let t = trajectory();
    let s = strategy();
    let j = judgment();
    assert_eq!(decode_trajectory(1, &encode_trajectory(&t).bytes.unwrap()), Ok(t));
    assert_eq!(decode_strategy(1, &encode_strategy(&s).bytes.unwrap()), Ok(s));
    assert_eq!(decode_judgment(1, &encode_judgment(&j).bytes.unwrap()), Ok(j));
}

#[test]
fn a_newer_schema_is_named() {
    assert_eq!(decode_judgment(2, &[]), Err(Undecodable::Newer(2)));
}

#[test]
fn version_1_has_the_bytes_it_was_shipped_with() {
    let golden = include_str!("golden_v1.txt").lines().collect::<Vec<_>>();
    let now =
        [hex(encode_trajectory(&trajectory())), hex(encode_strategy(&strategy())), hex(encode_judgment(&judgment()))];
    assert_eq!(now.as_slice(), golden.as_slice());
}

#[test]
fn an_unknown_code_is_wrong_not_a_guess() {
    let mut bytes = encode_judgment(&Judgment::new(Outcome::Success, "e")).bytes.unwrap();
    let root = bytes.len() - std::mem::size_of::<rkyv::Archived<v1::JudgmentV1>>();
    bytes[root] = 9;
    assert!(matches!(decode_judgment(1, &bytes), Err(Undecodable::Wrong(_))));
}
