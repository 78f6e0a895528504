//! Whatever is done in whatever order, with closing, opening and compacting in between: the database answers as a
//! plain map would.

use crate::kit::{self, embed, kv_log, model};
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Id, Judgment, Outcome, Query, Trajectory};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    Put(u8),
    Judge(u8, u8),
    PutKvLog(u8, u8, u8),
    Delete(u8),
}

#[derive(Clone, Debug)]
enum Batch {
    Commit(Vec<Op>),
    Drop(Vec<Op>),
    Reopen,
    Compact,
}

#[derive(Clone, Debug, Default)]
struct Lived {
    task: String,
    judgments: Vec<Judgment>,
    kv_logs: BTreeMap<u8, u8>,
}

type Model = BTreeMap<Id<Trajectory>, Lived>;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any::<u8>().prop_map(Op::Put),
        2 => (any::<u8>(), 0..4u8).prop_map(|(which, outcome)| Op::Judge(which, outcome)),
        2 => (any::<u8>(), 1..3u8, any::<u8>()).prop_map(|(which, model, seed)| Op::PutKvLog(which, model, seed)),
        1 => any::<u8>().prop_map(Op::Delete),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let ops = || proptest::collection::vec(op(), 0..6);
    prop_oneof![
        5 => ops().prop_map(Batch::Commit),
        1 => ops().prop_map(Batch::Drop),
        1 => Just(Batch::Reopen),
        1 => Just(Batch::Compact),
    ]
}

fn chosen(lived: &Model, which: u8) -> Option<Id<Trajectory>> {
    lived.keys().nth(usize::from(which) % lived.len().max(1)).copied()
}

fn apply(tx: &mut lagdb::Transaction, lived: &mut Model, op: &Op) {
    match *op {
        Op::Put(n) => {
            let task = format!("task {}", n % 7);
            let id = tx.put_new(&kit::trajectory(&task)).unwrap();
            let oldest = lived.iter().find(|(_, one)| one.task == task).map_or(id, |(id, _)| *id);
            assert_eq!(tx.put(&kit::trajectory(&task)).unwrap(), oldest);
            tx.embed(id, &embed(&task)).unwrap();
            assert!(lived.insert(id, Lived { task, ..Lived::default() }).is_none());
        }
        Op::Judge(which, outcome) => {
            let Some(id) = chosen(lived, which) else { return };
            let judgment = Judgment::new(Outcome::from_code(outcome).unwrap(), "model");
            tx.judge(id, &judgment).unwrap();
            lived.get_mut(&id).unwrap().judgments.push(judgment);
        }
        Op::PutKvLog(which, by, seed) => {
            let Some(id) = chosen(lived, which) else { return };
            tx.put_kv_log(id, &kv_log(&model(by), u32::from(seed % 9), u32::from(seed))).unwrap();
            lived.get_mut(&id).unwrap().kv_logs.insert(by, seed);
        }
        Op::Delete(which) => {
            let Some(id) = chosen(lived, which) else { return };
            assert!(tx.delete(id).unwrap());
            lived.remove(&id);
        }
    }
}

fn check(snapshot: &lagdb::Snapshot, lived: &Model) {
    assert_eq!(snapshot.ids::<Trajectory>().unwrap(), lived.keys().copied().collect::<Vec<_>>());
    for (id, one) in lived {
        assert_eq!(snapshot.get(*id).unwrap().unwrap().task, one.task);
        assert_eq!(snapshot.judgments(*id).unwrap(), one.judgments);
        for by in 1..3 {
            let log = snapshot.kv_log(*id, &model(by)).unwrap().map(|view| view.to_log().unwrap());
            let seed = one.kv_logs.get(&by).map(|seed| kv_log(&model(by), u32::from(seed % 9), u32::from(*seed)));
            assert_eq!(log, seed);
        }
    }
    for outcome in Outcome::ALL {
        let query = Query::near(embed("task 3")).limit(1000).outcome(outcome);
        let mut found: Vec<_> = snapshot.search::<Trajectory>(&query).unwrap().iter().map(|hit| hit.id).collect();
        found.sort();
        let latest = |one: &Lived| one.judgments.last().map(|judgment| judgment.outcome).unwrap_or_default();
        let expected: Vec<_> = lived.iter().filter(|(_, one)| latest(one) == outcome).map(|(id, _)| *id).collect();
        assert_eq!(found, expected, "{outcome:?}");
    }
}

fn run(batches: &[Batch]) {
    let medium = MemoryMedium::new();
    let open = || Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let mut database = open();
    let mut lived = Model::new();
    for batch in batches {
        let scope = database.scope("s").unwrap();
        match batch {
            Batch::Commit(ops) => {
                let mut tx = scope.begin().unwrap();
                ops.iter().for_each(|op| apply(&mut tx, &mut lived, op));
                tx.commit().unwrap();
            }
            Batch::Drop(ops) => {
                let mut forgotten = lived.clone();
                let mut tx = scope.begin().unwrap();
                ops.iter().for_each(|op| apply(&mut tx, &mut forgotten, op));
            }
            Batch::Compact => drop(database.compact(&mut |_| {}).unwrap()),
            Batch::Reopen => {
                drop((scope, database));
                database = open();
            }
        }
        check(&database.scope("s").unwrap().snapshot().unwrap(), &lived);
    }
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_database_answers_as_a_map_would(batches in proptest::collection::vec(batch(), 1..12)) {
        run(&batches);
    }
}
