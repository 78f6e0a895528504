//! One operation after the other on a disk that may lose power between any two: after each, the database answers as a
//! plain map would. What fails is shrunk to the shortest list of operations that fails.

use crate::kit::{self, kv_log, model};
use lagdb::medium::{Damage, FailingMedium};
use lagdb::{Database, Id, Judgment, Outcome, Trajectory};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `which` chooses among the tasks that there are.
#[derive(Clone, Debug)]
enum Operation {
    Put,
    /// A transaction that is dropped.
    PutAndDrop,
    Judge {
        which: u8,
        outcome: u8,
    },
    PutKvLog {
        which: u8,
        by: u8,
        seed: u8,
    },
    Delete(u8),
    Compact,
    Reopen,
    PowerCut(Damage),
}

/// Tasks by the order in which they were put.
#[derive(Clone, Debug, Default)]
struct Map {
    n_put: u64,
    tasks: BTreeMap<u64, Task>,
}

#[derive(Clone, Debug, Default)]
struct Task {
    outcomes: Vec<u8>,
    /// Seed by model.
    kv_logs: BTreeMap<u8, u8>,
}

fn chosen<T>(tasks: &BTreeMap<u64, T>, which: u8) -> Option<u64> {
    tasks.keys().nth(usize::from(which) % tasks.len().max(1)).copied()
}

impl ReferenceStateMachine for Map {
    type State = Self;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Operation> {
        let damage = prop_oneof![
            Just(Damage::LoseAll),
            Just(Damage::KeepAll),
            any::<u64>().prop_map(Damage::Prefix),
            any::<u64>().prop_map(Damage::Scattered),
        ];
        prop_oneof![
            6 => Just(Operation::Put),
            1 => Just(Operation::PutAndDrop),
            3 => (any::<u8>(), 0..4u8).prop_map(|(which, outcome)| Operation::Judge { which, outcome }),
            4 => (any::<u8>(), 1..3u8, any::<u8>()).prop_map(|(which, by, seed)| Operation::PutKvLog { which, by, seed }),
            2 => any::<u8>().prop_map(Operation::Delete),
            1 => Just(Operation::Compact),
            1 => Just(Operation::Reopen),
            2 => damage.prop_map(Operation::PowerCut),
        ]
        .boxed()
    }

    fn apply(mut map: Self, operation: &Operation) -> Self {
        let which = match operation {
            Operation::Judge { which, .. } | Operation::PutKvLog { which, .. } | Operation::Delete(which) => *which,
            _ => 0,
        };
        match (operation, chosen(&map.tasks, which)) {
            (Operation::Put, _) => {
                map.tasks.insert(map.n_put, Task::default());
                map.n_put += 1;
            }
            (Operation::Judge { outcome, .. }, Some(task)) => {
                map.tasks.entry(task).or_default().outcomes.push(*outcome);
            }
            (Operation::PutKvLog { by, seed, .. }, Some(task)) => {
                map.tasks.entry(task).or_default().kv_logs.insert(*by, *seed);
            }
            (Operation::Delete(_), Some(task)) => drop(map.tasks.remove(&task)),
            _ => {}
        }
        map
    }
}

/// The database, its disk, and which task has which id.
struct Running {
    disk: FailingMedium,
    /// Taken out to be closed.
    database: Option<Database>,
    ids: BTreeMap<u64, Id<Trajectory>>,
}

impl Running {
    fn on(disk: FailingMedium, ids: BTreeMap<u64, Id<Trajectory>>) -> Self {
        let database = Database::options().open_on(Arc::new(disk.clone())).expect("what is left opens");
        Self { disk, database: Some(database), ids }
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open")
    }

    fn commit<T>(&self, write: impl FnOnce(&mut lagdb::Transaction) -> lagdb::Result<T>) -> T {
        let mut tx = self.database().scope("s").unwrap().begin().unwrap();
        let written = write(&mut tx).unwrap();
        tx.commit().unwrap();
        written
    }

    fn chosen(&self, which: u8) -> Option<Id<Trajectory>> {
        self.ids.get(&chosen(&self.ids, which)?).copied()
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Running;
    type Reference = Map;

    fn init_test(_: &Map) -> Running {
        Running::on(FailingMedium::holding(super::life::made()), BTreeMap::new())
    }

    fn apply(mut running: Running, after: &Map, operation: Operation) -> Running {
        match operation {
            Operation::Put => {
                let number = after.n_put - 1;
                let id = running.commit(|tx| tx.put(&kit::trajectory(&format!("task {number}"))));
                assert!(running.ids.insert(number, id).is_none());
            }
            Operation::PutAndDrop => {
                let mut tx = running.database().scope("s").unwrap().begin().unwrap();
                let id = tx.put(&kit::trajectory("never happened")).unwrap();
                tx.put_kv_log(id, &kv_log(&model(1), 2, 2)).unwrap();
            }
            Operation::Judge { which, outcome } => {
                let Some(id) = running.chosen(which) else { return running };
                running.commit(|tx| tx.judge(id, &judgment(outcome)));
            }
            Operation::PutKvLog { which, by, seed } => {
                let Some(id) = running.chosen(which) else { return running };
                running.commit(|tx| tx.put_kv_log(id, &log_of(by, seed)));
            }
            Operation::Delete(which) => {
                let Some(number) = chosen(&running.ids, which) else { return running };
                let id = running.ids[&number];
                assert!(running.commit(|tx| tx.delete(id)));
                running.ids.remove(&number);
            }
            Operation::Compact => drop(running.database().compact(&mut |_| {}).unwrap()),
            Operation::Reopen => {
                running.database = None;
                return Running::on(running.disk, running.ids);
            }
            Operation::PowerCut(damage) => {
                let left = running.disk.after_power_cut(damage);
                return Running::on(FailingMedium::holding(left), running.ids);
            }
        }
        running
    }

    fn check_invariants(running: &Running, map: &Map) {
        let snapshot = running.database().scope("s").unwrap().snapshot().unwrap();
        let expected: Vec<_> = running.ids.values().copied().collect();
        assert_eq!(snapshot.ids::<Trajectory>().unwrap(), expected);
        assert!(running.ids.keys().eq(map.tasks.keys()));
        for (number, task) in &map.tasks {
            let id = running.ids[number];
            assert_eq!(snapshot.get(id).unwrap().unwrap(), kit::trajectory(&format!("task {number}")));
            let judgments: Vec<_> = task.outcomes.iter().map(|outcome| judgment(*outcome)).collect();
            assert_eq!(snapshot.judgments(id).unwrap(), judgments);
            for by in 1..3 {
                let found = snapshot.kv_log(id, &model(by)).unwrap().map(|view| view.to_log().unwrap());
                assert_eq!(found, task.kv_logs.get(&by).map(|seed| log_of(by, *seed)));
            }
        }
    }

    fn teardown(running: Running, _: Map) {
        let report = running.database().verify(&mut |_| {}).unwrap();
        assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
    }
}

fn judgment(outcome: u8) -> Judgment {
    Judgment::new(Outcome::from_code(outcome).unwrap(), "machine")
}

fn log_of(by: u8, seed: u8) -> lagdb::format::KvLog {
    kv_log(&model(by), u32::from(seed % 9), u32::from(seed))
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_database_answers_as_a_map_would_whatever_the_power_does(sequential 1..30 => Machine);
}
