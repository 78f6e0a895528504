//! Changing the embedding model: until the cut-over all answers are those of the old space, from then on all of the new one;
//! whenever the process is killed, and whatever is written meanwhile.

use crate::kit;
use lagdb::maintenance::{Content, ToEmbed};
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Embedding, EmbeddingSpace, Error, Id, Query, Snapshot, Strategy, Trajectory};
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

/// The old model and the new one, whose vectors are as long.
fn old() -> EmbeddingSpace {
    kit::space("model-1", 8)
}

fn new() -> EmbeddingSpace {
    kit::space("model-2", 8)
}

/// What a model makes of a text: the two models agree on nothing.
fn model(space: &EmbeddingSpace, text: &str) -> Embedding {
    let seed =
        text.bytes().fold(space.name().len() as u32 * 31 + u32::from(space.name().as_bytes()[6]), |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
    let number = |i: u32| f32::from((seed.wrapping_mul(2 * i + 1) >> 7) as u8) - 127.5;
    Embedding::new(space, (1..=8).map(number).collect()).unwrap()
}

fn embed(it: ToEmbed<'_>) -> Embedding {
    match it.content {
        Content::Trajectory(trajectory) => model(&new(), &trajectory.task),
        Content::Strategy(strategy) => model(&new(), &strategy.title),
        other => panic!("{other:?}"),
    }
}

fn open(files: Files) -> (MemoryMedium, Database) {
    let medium = MemoryMedium::from_dump(files);
    let database = Database::options().graph_from(50).open_on(Arc::new(medium.clone())).unwrap();
    (medium, database)
}

/// 100 trajectories and 30 strategies in each of two scopes.
fn lived() -> Files {
    let (medium, database) = open(Files::new());
    for scope in ["a", "b"] {
        let mut tx = database.scope(scope).unwrap().begin().unwrap();
        for i in 0..100 {
            let id = tx.put(&kit::trajectory(&format!("{scope} task {i}"))).unwrap();
            tx.embed(id, &model(&old(), &format!("{scope} task {i}"))).unwrap();
        }
        for i in 0..30 {
            let id = tx.put(&Strategy::new(format!("{scope} lesson {i}"), "", "")).unwrap();
            tx.embed(id, &model(&old(), &format!("{scope} lesson {i}"))).unwrap();
        }
        tx.commit().unwrap();
    }
    drop(database);
    medium.dump()
}

type Found = (Vec<(Id<Trajectory>, f32)>, Vec<(Id<Strategy>, f32)>);

/// What both scopes answer in a space, to a few questions.
fn answers(database: &Database, space: &EmbeddingSpace) -> lagdb::Result<Vec<Found>> {
    let of = |snapshot: &Snapshot, text: &str| {
        let near = Query::near(model(space, text)).limit(5);
        Ok((snapshot.nearest(&near)?.hits, snapshot.nearest(&near)?.hits))
    };
    let snapshot = |scope: &str| database.scope(scope).unwrap().snapshot().unwrap();
    ["a", "b"].iter().flat_map(|scope| ["x", "y", "z"].map(|text| of(&snapshot(scope), text))).collect()
}

fn is_refused(database: &Database, space: &EmbeddingSpace) -> bool {
    matches!(answers(database, space), Err(Error::SpaceMismatch { .. }))
}

/// The answers of the old space, and those of a database that had the new one from the beginning.
fn expected(files: &Files) -> (Vec<Found>, Vec<Found>) {
    let (_, database) = open(files.clone());
    let before = answers(&database, &old()).unwrap();
    let done = database.reembed(&new(), &mut |it| Ok(embed(it)), &mut |_| {}).unwrap();
    assert_eq!((done.embedded, done.removed), (260, 260));
    (before, answers(&database, &new()).unwrap())
}

#[test]
fn all_old_or_all_new_wherever_it_is_killed_and_nothing_is_embedded_twice_after_it_was_kept() {
    let files = lived();
    let (before, after) = expected(&files);
    for n_embedded in [0, 1, 70, 200, 259] {
        let (medium, database) = open(files.clone());
        let mut n = 0;
        let mut killed = None;
        let stopped = database.reembed(
            &new(),
            &mut |it| {
                assert_eq!(answers(&database, &old()).unwrap(), before, "while it goes on");
                n += 1;
                if n > n_embedded {
                    killed = Some(medium.dump());
                    return Err(Error::invalid("model", "is out of order"));
                }
                Ok(embed(it))
            },
            &mut |_| {},
        );
        assert!(matches!(stopped, Err(Error::Invalid { .. })), "{stopped:?}");
        drop(database);
        // After the error, and as a kill at that moment left the files.
        for (files, is_kept) in [(medium.dump(), true), (killed.unwrap(), false)] {
            let (_, database) = open(files);
            assert_eq!(answers(&database, &old()).unwrap(), before);
            assert!(is_refused(&database, &new()), "nobody searches what is half done");
            let done = database.reembed(&new(), &mut |it| Ok(embed(it)), &mut |_| {}).unwrap();
            let left = 260 - n_embedded;
            assert!(done.embedded == left || (!is_kept && (left..=260).contains(&done.embedded)), "{done:?} of {left}");
            assert_eq!(answers(&database, &new()).unwrap(), after);
            assert!(is_refused(&database, &old()));
            assert!(database.verify(&mut |_| {}).unwrap().problems.is_empty());
        }
    }
}

#[test]
fn what_is_written_meanwhile_is_in_the_new_space_too_and_a_snapshot_from_before_answers_as_before() {
    let (_, database) = open(lived());
    let scope = database.scope("a").unwrap();
    let pinned = scope.snapshot().unwrap();
    let near = |space: &EmbeddingSpace, text: &str| Query::near(model(space, text)).limit(3);
    let found = pinned.nearest::<Trajectory>(&near(&old(), "x")).unwrap().hits;
    let gone = found[0].0;
    let mut added = None;
    database
        .reembed(
            &new(),
            &mut |it| {
                if added.is_none() {
                    let mut tx = scope.begin().unwrap();
                    let id = tx.put(&kit::trajectory("late")).unwrap();
                    tx.embed(id, &model(&old(), "late")).unwrap();
                    assert!(tx.delete(gone).unwrap());
                    let refused = tx.embed(id, &model(&new(), "late"));
                    assert!(matches!(refused, Err(Error::SpaceMismatch { .. })), "not before the cut-over");
                    tx.commit().unwrap();
                    added = Some(id);
                }
                Ok(embed(it))
            },
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(pinned.nearest::<Trajectory>(&near(&old(), "x")).unwrap().hits, found);
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.nearest::<Trajectory>(&near(&new(), "late")).unwrap().hits[0].0, added.unwrap());
    assert_eq!(snapshot.spaces().unwrap(), [new()]);
    assert_eq!(snapshot.embedding(gone).unwrap(), None);
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_done_is_done() {
    let empty = Database::in_memory().unwrap();
    assert!(matches!(
        empty.reembed(&new(), &mut |_| panic!("there is nothing"), &mut |_| {}),
        Err(Error::Invalid { .. })
    ));
    let files = lived();
    let (medium, database) = open(files);
    let wrong = database.reembed(&new(), &mut |_| Ok(model(&old(), "x")), &mut |_| {});
    assert!(matches!(wrong, Err(Error::SpaceMismatch { .. })), "{wrong:?}");
    assert!(matches!(database.remove_space(&old()), Err(Error::Invalid { .. })), "it is the main one");
    assert_eq!(database.remove_space(&new()).unwrap(), 0);
    database.reembed(&new(), &mut |it| Ok(embed(it)), &mut |_| {}).unwrap();
    let again = database.reembed(&new(), &mut |_| panic!("it is done"), &mut |_| {}).unwrap();
    assert_eq!((again.embedded, again.removed), (0, 0));
    database.finish_indexing();
    drop(database);
    let options = Database::options().embedding_space(old());
    assert!(matches!(options.open_on(Arc::new(medium)), Err(Error::SpaceMismatch { .. })));
}

/// A crash while a space was removed left it half there until somebody reembedded again.
#[test]
fn a_compaction_ends_the_removal_that_a_crash_interrupted() {
    let files = lived();
    let (_, after) = expected(&files);
    let (medium, database) = open(files);
    let mut killed = None;
    let note = &mut |progress: lagdb::maintenance::Progress| {
        if progress.stage == "former embeddings" {
            killed.get_or_insert_with(|| medium.dump());
        }
    };
    database.reembed(&new(), &mut |it| Ok(embed(it)), note).unwrap();
    drop(database);
    let (_, database) = open(killed.unwrap());
    let add_old = || database.scope("a").unwrap().begin().unwrap().add_space(&old());
    assert!(matches!(add_old(), Err(Error::Invalid { .. })), "it is being removed");
    database.compact(&mut |_| {}).unwrap();
    assert!(add_old().is_ok(), "nothing is left of it");
    assert_eq!(answers(&database, &new()).unwrap(), after);
}
