//! A lesson of a failure is given right before the action that it speaks about, not before; the agent may still take it.

use crate::kit;
use crate::kit::town::{self, Door};
use lagdb::agent::{Answer, Environment, EnvironmentError, Guarding, Learned, Learner, Living, Policy, Scripted, Task};
use lagdb::{Delivery, DeliveryPoint, Judgment, Outcome, Scope, Step};

const LESSON: &str =
    "title: No pleading\ndescription: When a door is locked.\ncontent: Pleading never opens it.\nsteps: 0\n";

fn learner(model: &Scripted, scope: &Scope, withhold: f64) -> Learner {
    let guard = Some(Guarding { withhold, ..Guarding::default() });
    let mut learner = town::learner_with(model, scope, Policy { max_steps: 1, guard, ..Policy::default() });
    learner.recall.withhold = 0.0;
    learner
}

fn live(learner: &Learner, task: &str) -> Learned {
    match learner.live(&mut Door::new(task, "sesame"), None).unwrap() {
        Living::Now(learned) => *learned,
        Living::Earlier(ids) => panic!("{ids:?}"),
    }
}

/// A scope in which pleading has failed once.
fn pleaded() -> (lagdb::Database, Scope) {
    let (database, scope) = kit::in_memory();
    let learned = live(&learner(&Scripted::new(["please", LESSON]), &scope, 0.0), "open the old door");
    assert_eq!(learned.consolidated.n_added, 1);
    (database, scope)
}

#[test]
fn the_lesson_waits_for_its_action() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["please", "sesame", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the new door");
    assert_eq!(learned.offers, [], "it is not among what is said first");
    let prompts = model.prompts();
    assert_eq!(prompts[0], "task: open the new door\n");
    assert!(prompts[1].contains("Pleading never opens it."), "{}", prompts[1]);
    let attempt = &learned.attempts[0];
    assert_eq!((attempt.judgment.outcome, attempt.attempt.n_actions()), (Outcome::Success, 1));
    assert_eq!(attempt.attempt.steps[0].action, "sesame");
    assert_eq!(attempt.attempt.steps[0].observation, "task: open the new door\n", "what the world said, and no advice");
    assert!(!prompts[2].contains("Pleading"), "nothing is distilled from a lesson: {}", prompts[2]);
    let exposure = scope.snapshot().unwrap().exposures(learned.trajectories[0]).unwrap()[0];
    assert_eq!((exposure.point, exposure.step), (DeliveryPoint::BeforeAction, 0));
    assert_eq!(exposure.delivery, Delivery::Injected);
}

#[test]
fn the_agent_may_take_the_action_all_the_same() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["please", "please", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the new door");
    assert_eq!(learned.attempts[0].attempt.steps[0].action, "please");
}

#[test]
fn other_actions_and_the_same_task_are_not_disturbed() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["sesame", "NONE"]);
    live(&learner(&model, &scope, 0.0), "open the new door");
    assert_eq!(model.n_left(), 0);
    let model = Scripted::new(["please", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the old door");
    assert!(learned.attempts[0].attempt.warnings.is_empty(), "its own lesson would give it away");
}

#[test]
fn a_warning_can_be_withheld_to_see_what_it_is_worth() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["please", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.999_999), "open the new door");
    assert_eq!(model.n_left(), 0, "nothing was said");
    let exposure = scope.snapshot().unwrap().exposures(learned.trajectories[0]).unwrap()[0];
    assert_eq!(exposure.delivery, Delivery::Withheld);
}

#[test]
fn a_world_may_ask_at_several_levels() {
    /// A door whose actions are known by their word and, more broadly, as pleading.
    struct Broad(Door);
    impl Environment for Broad {
        fn task(&self) -> &Task {
            self.0.task()
        }
        fn reset(&mut self) -> Result<String, EnvironmentError> {
            self.0.reset()
        }
        fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
            self.0.step(action)
        }
        fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
            self.0.verify(steps)
        }
        fn has_signatures(&self) -> bool {
            true
        }
        fn guarded_by(&self, action: &str, steps: &[Step]) -> Vec<String> {
            assert_eq!(steps, [Step::new("task: open the new door\n", "")], "what is seen, and not answered yet");
            self.0.signature(action).into_iter().chain(["say(please)".to_owned()]).collect()
        }
    }
    let (_database, scope) = pleaded();
    let model = Scripted::new(["pretty", "sesame", "NONE"]);
    let mut door = Broad(Door::new("open the new door", "sesame"));
    let Living::Now(learned) = learner(&model, &scope, 0.0).live(&mut door, None).unwrap() else { panic!() };
    assert_eq!(learned.attempts[0].attempt.warnings.len(), 1);
    assert!(model.prompts()[1].contains("Pleading never opens it."));
}

#[test]
fn without_a_guard_it_is_said_first() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["sesame", "NONE"]);
    let mut learner = town::learner_with(&model, &scope, Policy { guard: None, ..Policy::default() });
    learner.recall.withhold = 0.0;
    assert_eq!(live(&learner, "open the new door").offers.len(), 1);
    assert!(model.prompts()[0].contains("(avoid) No pleading"));
}

/// The guard saw the finished steps only: a condition on what the agent had just been told was met one step too late. And the
/// signature that a trajectory keeps was made after the step, so in a world with a state it was another than the guard's.
#[test]
fn the_guard_sees_what_the_agent_just_saw_and_names_actions_as_the_trajectory_does() {
    /// A door whose actions are named with what was seen before them.
    struct Stateful(Door, std::cell::RefCell<Vec<String>>);
    impl Environment for Stateful {
        fn task(&self) -> &Task {
            self.0.task()
        }
        fn reset(&mut self) -> Result<String, EnvironmentError> {
            self.0.reset()
        }
        fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
            self.0.step(action)
        }
        fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
            self.0.verify(steps)
        }
        fn signature(&self, action: &str) -> Option<String> {
            Some(format!("{action} after {}", self.0.n_actions))
        }
        fn has_signatures(&self) -> bool {
            true
        }
        fn guarded_by(&self, action: &str, steps: &[Step]) -> Vec<String> {
            self.1.borrow_mut().push(steps.last().unwrap().observation.clone());
            self.signature(action).into_iter().collect()
        }
    }
    let (_database, scope) = kit::in_memory();
    let lesson = LESSON.replace("steps: 0", "steps: 1");
    let model = Scripted::new(["please", "please", &lesson, "please", "please", "sesame", "NONE"]);
    let policy =
        Policy { guard: Some(Guarding { withhold: 0.0, ..Guarding::default() }), max_steps: 2, ..Policy::default() };
    let learner = town::learner_with(&model, &scope, policy);
    let lived = |task: &str| {
        let mut door = Stateful(Door::new(task, "sesame"), std::cell::RefCell::default());
        let Living::Now(learned) = learner.live(&mut door, None).unwrap() else { panic!() };
        (learned.attempts[0].attempt.clone(), door.1.take())
    };
    let (first, _) = lived("open the old door");
    assert_eq!(first.steps[1].action_signature.as_deref(), Some("please after 1"));
    let (second, seen) = lived("open the new door");
    assert_eq!(seen, ["task: open the new door\n", "locked\n", "locked\n"], "and again for the second choice");
    let warned: Vec<u32> = second.warnings.iter().map(|exposure| exposure.step).collect();
    assert_eq!(warned, [1], "pleading is wrong the second time");
    assert_eq!(second.steps[1].action, "sesame");
}

/// A contrast that names an action was given before the first step and again before its action.
#[test]
fn what_was_said_first_is_not_said_again_before_the_action() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let contrast = lagdb::Strategy::new("Plead or not", "When a door is shut.", "No.").action_signature("say(please)");
    let id = tx.put(&lagdb::Strategy { kind: lagdb::StrategyKind::Contrast, ..contrast }).unwrap();
    tx.embed(id, &kit::embed("open the new door")).unwrap();
    tx.commit().unwrap();
    let model = Scripted::new(["please", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the new door");
    assert_eq!((learned.offers.len(), learned.attempts[0].attempt.warnings.len()), (1, 0));
    assert_eq!(model.n_left(), 0);
}

/// The second choice had the dice of the first: at the same odds it was the same choice more often than chance would have it.
#[test]
fn the_second_choice_has_dice_of_its_own() {
    let (_database, scope) = pleaded();
    let model = Scripted::new(["please", "sesame", "NONE"]);
    live(&learner(&model, &scope, 0.0), "open the new door");
    let seeds: Vec<u64> = model.decodings().iter().map(|decoding| decoding.seed).collect();
    assert_ne!(seeds[0], seeds[1]);
}

/// What the model said after a warning was done unchecked: of two known mistakes it made the second.
#[test]
fn the_second_choice_is_looked_at_too() {
    let (_database, scope) = pleaded();
    let begging = LESSON.replace("No pleading", "No begging").replace("Pleading", "Begging");
    live(&learner(&Scripted::new(["beg", &begging]), &scope, 0.0), "open another door");
    let model = Scripted::new(["please", "beg", "sesame", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the new door");
    assert_eq!(learned.attempts[0].attempt.warnings.len(), 2);
    assert!(model.prompts()[2].contains("Begging never opens it.") && !model.prompts()[2].contains("Pleading"));
    assert_eq!(learned.attempts[0].attempt.steps[0].action, "sesame");
    // There is an end to it: no lesson twice before one action, and no more of them than the guard allows.
    let model = Scripted::new(["please", "beg", "please", "NONE"]);
    let learned = live(&learner(&model, &scope, 0.0), "open the newest door");
    assert_eq!(learned.attempts[0].attempt.steps[0].action, "please");
    let model = Scripted::new(["please", "beg", "NONE"]);
    let mut one = learner(&model, &scope, 0.0);
    let guard = Some(Guarding { limit: 1, withhold: 0.0, ..Guarding::default() });
    one.agent = town::learner_with(&model, &scope, Policy { max_steps: 1, guard, ..Policy::default() }).agent;
    let learned = live(&one, "open the last door");
    assert_eq!((learned.attempts[0].attempt.warnings.len(), model.n_left()), (1, 0));
}
