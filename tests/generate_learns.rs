//! KV logs of earlier trajectories are attached beside the lessons as words, and both are noted as offered.

use crate::generate_support::Files;
use crate::kit;
use crate::kit::town::Door;
use lagdb::agent::{Agent, Capture, Decoding, Learner, Living, Policy, Recall, Recollection, Scripted, Verifier};
use lagdb::agent::{Distiller, English, Learned, LogUse, Task, TrajectoryRecall};
use lagdb::format::ElementType;
use lagdb::{Delivery, Offered};
use std::sync::Arc;

#[test]
fn kv_logs_and_lessons_come_together() {
    let (database, scope) = kit::in_memory();
    let generator = Files::of("llama").with_words().load().unwrap();
    // Whatever it says opens the door.
    let policy = Policy {
        decoding: Decoding { special: true, ..Decoding::greedy(3) },
        max_steps: 1,
        capture: Some(Capture { lead_in_tokens: 0, element: ElementType::F16 }),
        ..Policy::default()
    };
    let agent = Agent::new(generator, scope.clone(), policy);
    let writer = Scripted::new(["title: w5 w6\ndescription: For w7.\ncontent: Say w8.", "NONE"]);
    let distiller = Distiller::new(Arc::new(writer), Arc::new(English));
    let mut learner = Learner::new(agent.clone(), Arc::new(Verifier), distiller);
    learner.trajectories = TrajectoryRecall { how: Recall::KvLogs, limit: 2 };
    learner.recall.withhold = 0.0;
    let live = |task: &str| -> Learned {
        match learner.live(&mut Door::new(task, "w"), None).unwrap() {
            Living::Now(learned) => *learned,
            Living::Earlier(ids) => panic!("{ids:?}"),
        }
    };
    let first = live("w5 w6 w7 one");
    assert_eq!(first.attempts[0].attempt.attached_tokens, 0);
    let second = live("w5 w6 w7 two");
    assert_eq!(second.attempts[0].attempt.attached_tokens, 3, "the three tokens of the first answer");
    let exposures = scope.snapshot().unwrap().exposures(second.trajectories[0]).unwrap();
    let offered: Vec<Offered> = exposures.iter().map(|exposure| exposure.offered).collect();
    assert_eq!(offered, [Offered::Strategy(second.offers[0].id), Offered::KvLog(first.trajectories[0])]);
    assert!(exposures.iter().all(|exposure| exposure.delivery == Delivery::Injected));
    let stats = scope.snapshot().unwrap().kv_log_stats(first.trajectories[0]).unwrap().unwrap();
    assert_eq!(stats.injected.success, 1);
    // A world that failed before the first reply: every log that was recalled counted as read.
    let recollection = agent.recall(&Task::new("w5 w6 w7 three"), Recall::KvLogs, 2, &[]).unwrap();
    let refused = LogUse::Refused { why: "it is damaged".to_owned() };
    let paged = vec![LogUse::Paged; recollection.hits.len()];
    assert_eq!(recollection.exposures(&paged).len(), recollection.hits.len());
    assert_eq!(recollection.exposures(&[refused, LogUse::Paged]).len(), recollection.hits.len() - 1);
    assert!(!recollection.hits.is_empty() && recollection.exposures(&[]).is_empty());
    // Without a memory the same task is answered from nothing.
    let alone = agent.solve(&mut Door::new("w5 w6 w7 two", "w"), &Recollection::default()).unwrap();
    assert_eq!(alone.attached_tokens, 0);
    assert!(alone.prefill_tokens < second.attempts[0].attempt.prefill_tokens);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}
