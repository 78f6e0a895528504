//! The files of the index may be deleted, cut off or damaged at any time: the same answers, and the database says so.

use crate::kit;
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Embedding, EmbeddingSpace, Id, Outcome, Query, Snapshot, Trajectory};
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;
type Answers = Vec<Vec<(Id<Trajectory>, f32)>>;

fn point(space: &EmbeddingSpace, i: u32) -> Embedding {
    let numbers = (0..space.dim() as u32).map(|j| (i * 7 + j * j * (i % 13 + 1)) as f32 % 17.0 - 8.0).collect();
    Embedding::new(space, numbers).unwrap()
}

fn open(files: Files, graph_from: usize) -> (MemoryMedium, Database) {
    let medium = MemoryMedium::from_dump(files);
    let database = Database::options().graph_from(graph_from).open_on(Arc::new(medium.clone())).unwrap();
    (medium, database)
}

/// A database of 400 trajectories, every third a failure.
fn lived() -> Files {
    let (medium, database) = open(Files::new(), usize::MAX);
    let mut tx = database.scope("s").unwrap().begin().unwrap();
    for i in 0..400 {
        let id = tx.put(&kit::trajectory(&format!("task {i}"))).unwrap();
        tx.embed(id, &point(&kit::space("test", 12), i)).unwrap();
        tx.judge(id, &if i % 3 == 0 { kit::failure() } else { kit::success() }).unwrap();
    }
    tx.commit().unwrap();
    drop(database);
    medium.dump()
}

fn answers(snapshot: &Snapshot) -> Answers {
    let near = |i: u32| Query::near(point(&kit::space("test", 12), i * 31 + 5)).limit(7);
    let ask = |query: Query| snapshot.nearest(&query).unwrap().hits;
    (0..12).flat_map(|i| [ask(near(i)), ask(near(i).outcome(Outcome::Failure))]).collect()
}

/// The database with a graph on disk, and what it answers.
fn with_graph() -> (Files, String, Answers) {
    let files = lived();
    let (_, exact) = open(files.clone(), usize::MAX);
    let expected = answers(&exact.scope("s").unwrap().snapshot().unwrap());
    let (medium, database) = open(files, 300);
    let scope = database.scope("s").unwrap();
    assert_eq!(answers(&scope.snapshot().unwrap()), expected, "while the graph is being built");
    database.finish_indexing();
    let stats = database.stats().unwrap().index;
    assert_eq!((stats.in_graphs, stats.built, stats.discarded), (400, 1, 0));
    assert_eq!(answers(&scope.snapshot().unwrap()), expected, "with the graph");
    drop((scope, database));
    let files = medium.dump();
    let name = files.keys().find(|name| name.starts_with("index/")).unwrap().clone();
    (files, name, expected)
}

#[test]
fn deleted_damaged_or_cut_off() {
    let (files, name, expected) = with_graph();
    let graph = files[&name].clone();
    let mut flipped = graph.clone();
    flipped[graph.len() / 2] ^= 4;
    let cut_off = graph[..graph.len() / 3].to_vec();
    for (other, n_discarded) in [(None, 0), (Some(flipped), 1), (Some(cut_off), 1), (Some(Vec::new()), 1)] {
        let mut files = files.clone();
        match other {
            Some(bytes) => files.insert(name.clone(), bytes),
            None => files.remove(&name),
        };
        let (medium, database) = open(files, 300);
        let snapshot = database.scope("s").unwrap().snapshot().unwrap();
        assert_eq!(answers(&snapshot), expected);
        database.finish_indexing();
        let stats = database.stats().unwrap().index;
        assert_eq!((stats.discarded, stats.built, stats.in_graphs), (n_discarded, 1, 400));
        assert_eq!(medium.dump()[&name], graph, "the same graph is built again");
        assert_eq!(answers(&snapshot), expected);
    }
}

fn has(snapshot: &Snapshot, id: Id<Trajectory>) -> bool {
    let query = Query::near(point(&kit::space("test", 12), 5)).limit(400);
    snapshot.nearest::<Trajectory>(&query).unwrap().hits.iter().any(|hit| hit.0 == id)
}

#[test]
fn a_snapshot_finds_its_own_commit_whatever_the_graph_has() {
    let (files, _, expected) = with_graph();
    let (_, database) = open(files, 300);
    let scope = database.scope("s").unwrap();
    let before = scope.snapshot().unwrap();
    let space = kit::space("test", 12);
    let mut tx = scope.begin().unwrap();
    let best = expected[0][0].0;
    assert!(tx.delete(best).unwrap());
    let added = tx.put(&kit::trajectory("new")).unwrap();
    tx.embed(added, &point(&space, 5)).unwrap();
    assert!(has(&tx, added) && !has(&tx, best));
    assert!(!has(&before, added) && has(&before, best));
    tx.commit().unwrap();
    let after = scope.snapshot().unwrap();
    assert!(has(&after, added) && !has(&after, best));
    assert_eq!(answers(&before), expected);
    database.clear_index().unwrap();
    assert!(has(&after, added) && !has(&after, best));
    assert_eq!(answers(&before), expected);
}

#[test]
fn a_database_that_is_only_read_changes_no_file_of_it() {
    let (files, name, expected) = with_graph();
    let mut damaged = files.clone();
    damaged.get_mut(&name).unwrap()[100] ^= 1;
    let mut without = files.clone();
    without.remove(&name);
    for (files, in_graphs, n_discarded) in [(files, 400, 0), (damaged, 0, 1), (without, 0, 0)] {
        let medium = MemoryMedium::from_dump(files.clone());
        let options = Database::options().graph_from(300).read_only(true);
        let database = options.open_on(Arc::new(medium.clone())).unwrap();
        assert_eq!(answers(&database.scope("s").unwrap().snapshot().unwrap()), expected);
        database.finish_indexing();
        let stats = database.stats().unwrap().index;
        assert_eq!((stats.built, stats.in_graphs, stats.discarded), (0, in_graphs, n_discarded));
        assert!(database.clear_index().is_err());
        drop(database);
        assert!(medium.dump() == files, "no file changed");
    }
}

#[test]
fn a_purge_unlinks_it_and_no_snapshot_from_before_writes_it_again() {
    let (files, name, expected) = with_graph();
    let (medium, database) = open(files, 300);
    let scope = database.scope("s").unwrap();
    let before = scope.snapshot().unwrap();
    assert_eq!(answers(&before), expected);
    scope.purge(expected[0][0].0).unwrap();
    assert_eq!(medium.dump().keys().filter(|name| name.starts_with("index/")).count(), 0);
    assert_eq!(answers(&before), expected);
    database.finish_indexing();
    assert_eq!(medium.dump().keys().filter(|name| name.starts_with("index/")).count(), 0);
    // What is left gets a graph of its own.
    assert!(!has(&scope.snapshot().unwrap(), expected[0][0].0));
    database.finish_indexing();
    assert_eq!(database.stats().unwrap().index.in_graphs, 399);
    assert!(medium.dump().contains_key(&name));
}
