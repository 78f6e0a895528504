//! Before an action, the lessons of failures that speak about just that action are given, and no others.

use crate::kit;
use lagdb::{Action, Condition, Error, Filter, Id, Level, Polarity, Scope, Status, Strategy, StrategyKind};

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

/// A tool's name alone would warn of every later call; what is acted on, and what was shown before, tell them apart.
#[test]
fn an_action_meets_its_lessons_at_the_level_that_is_asked() {
    let (_database, scope) = kit::in_memory();
    let call = |id: &str| Action::new("cancel").and_then(|it| it.argument("id", id)).unwrap();
    let unconfirmed = [Condition::Unconfirmed];
    let mut tx = scope.begin().unwrap();
    let from = tx.put(&kit::trajectory("cancel a flight")).unwrap();
    let lesson = |title: &str, signatures: Vec<String>| Strategy {
        kind: StrategyKind::Guardrail,
        action_signatures: signatures,
        ..kit::strategy(title, from, Polarity::Support)
    };
    let two_levels =
        [call("\"A\"").signatures(Level::Value, &[]), vec!["cancel(*) when after refund".to_owned()]].concat();
    let of_this = tx.put(&lesson("of this booking", two_levels)).unwrap();
    let asked_first = tx.put(&lesson("ask first", call("\"A\"").signatures(Level::ToolWhen, &unconfirmed))).unwrap();
    tx.commit().unwrap();
    let snapshot = scope.snapshot().unwrap();
    let ask = |id: &str, levels: &[Level], conditions: &[Condition]| -> Vec<Id<Strategy>> {
        let signatures: Vec<String> = levels.iter().flat_map(|level| call(id).signatures(*level, conditions)).collect();
        snapshot.guard_any(&signatures).unwrap().iter().map(|lesson| lesson.id).collect()
    };
    assert_eq!(ask("\"A\"", &[Level::Value], &[]), [of_this]);
    assert_eq!(ask("\"B\"", &[Level::Value], &[]), []);
    assert_eq!(ask("\"B\"", &[Level::Value, Level::ToolWhen], &unconfirmed), [asked_first]);
    let both = [Condition::After("refund".to_owned()), Condition::Unconfirmed];
    assert_eq!(ask("\"A\"", &[Level::Value, Level::ToolWhen], &both), [of_this, asked_first], "each once");
    assert!(matches!(snapshot.guard_any(&[""]), Err(Error::Invalid { what: "action signature", .. })));
}

/// What an evaluation that leaves a task out needs, and an agent whose prompt is short.
#[test]
fn lessons_of_the_task_itself_are_left_out_and_the_rest_is_limited() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let lesson = |from| Strategy {
        kind: StrategyKind::Guardrail,
        ..kit::strategy("ask first", from, Polarity::Support)
            .action_signature("cancel(*)")
            .error_signature("cancel: 409")
    };
    let ids: Vec<Id<Strategy>> = (0..3)
        .map(|i| {
            let from = tx.put(&kit::trajectory(&format!("cancel {i}")).rollout(format!("task {i}"), 0)).unwrap();
            tx.put(&Strategy { title: format!("ask first {i}"), ..lesson(from) }).unwrap()
        })
        .collect();
    tx.commit().unwrap();
    let snapshot = scope.snapshot().unwrap();
    let among = |filter: &Filter, limit| -> Vec<Id<Strategy>> {
        let lessons = snapshot.guard_among("cancel(*)", filter, limit).unwrap();
        let of_error = snapshot.guard_error_among("cancel: 409", filter, limit).unwrap();
        assert_eq!(lessons, of_error);
        lessons.iter().map(|lesson| lesson.id).collect()
    };
    assert_eq!(among(&!Filter::group("task 2"), 9), [ids[1], ids[0]]);
    assert_eq!(among(&!Filter::group("task 1"), 1), [ids[2]]);
    assert_eq!(among(&Filter::everything(), 0), []);
    assert_eq!(among(&!Filter::everything(), 9), []);
}
