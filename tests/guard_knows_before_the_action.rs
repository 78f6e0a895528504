//! Before an action, the lessons of failures that speak about just that action are given, and no others.

use crate::kit;
use lagdb::{Error, Id, Polarity, Scope, Status, Strategy, StrategyKind};

fn guarded(scope: &Scope, signature: &str) -> Vec<Id<Strategy>> {
    scope.snapshot().unwrap().guard(signature).unwrap().iter().map(|lesson| lesson.id).collect()
}

#[test]
fn guardrails_and_contrasts_of_this_very_action() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let from = tx.put(&kit::trajectory("cancel a flight")).unwrap();
    let lesson = |title: &str, kind| Strategy {
        kind,
        ..kit::strategy(title, from, Polarity::Support).action_signature("cancel(*)").error_signature("cancel: 409")
    };
    let guardrail = tx.put(&lesson("ask first", StrategyKind::Guardrail)).unwrap();
    let contrast = tx.put(&lesson("those who asked", StrategyKind::Contrast)).unwrap();
    tx.put(&lesson("how to cancel", StrategyKind::Procedure)).unwrap();
    tx.put(&kit::strategy("other", from, Polarity::Contradict).action_signature("refund(*)")).unwrap();
    assert_eq!(tx.guard("cancel(*)").unwrap().len(), 2, "a transaction sees its own");
    tx.commit().unwrap();
    assert_eq!(guarded(&scope, "cancel(*)"), [contrast, guardrail]);
    assert_eq!(guarded(&scope, "cancel(MIA)"), []);
    let lessons = scope.snapshot().unwrap().guard_error("cancel: 409").unwrap();
    assert_eq!(
        lessons.iter().map(|lesson| lesson.strategy.title.as_str()).collect::<Vec<_>>(),
        ["those who asked", "ask first"]
    );

    let mut tx = scope.begin().unwrap();
    tx.set_status(contrast, Status::Suspended).unwrap();
    tx.commit().unwrap();
    assert_eq!(guarded(&scope, "cancel(*)"), [guardrail]);
    let mut tx = scope.begin().unwrap();
    tx.delete(guardrail).unwrap();
    tx.set_status(contrast, Status::Active).unwrap();
    tx.commit().unwrap();
    assert_eq!(guarded(&scope, "cancel(*)"), [contrast]);
}

#[test]
fn a_signature_that_is_none_is_refused() {
    let (_database, scope) = kit::in_memory();
    let snapshot = scope.snapshot().unwrap();
    assert!(snapshot.guard("anything(*)").unwrap().is_empty(), "a scope without records knows nothing");
    for wrong in [String::new(), "x".repeat(4097)] {
        assert!(matches!(snapshot.guard(&wrong), Err(Error::Invalid { what: "action signature", .. })));
        assert!(matches!(snapshot.guard_error(&wrong), Err(Error::Invalid { what: "error signature", .. })));
        let mut tx = scope.begin().unwrap();
        assert!(tx.put(&Strategy::new("t", "d", "c").action_signature(wrong)).is_err());
    }
}
