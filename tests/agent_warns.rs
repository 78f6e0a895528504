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
        fn guarded_by(&self, action: &str, steps: &[Step]) -> Vec<String> {
            assert!(steps.is_empty(), "nothing was done yet");
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
