//! Vectors of one model are never compared with those of another, however long they are: a space has to be added before it
//! is used, each has its own embeddings and graph, and what does not fit is refused with nothing written.

use crate::kit;
use lagdb::{Database, Embedding, EmbeddingSpace, Error, Filter, Id, Query, Scope, Trajectory};

fn at(space: &EmbeddingSpace, degrees: f32) -> Embedding {
    let angle = degrees.to_radians();
    let mut numbers = vec![0.0; space.dim()];
    (numbers[0], numbers[1]) = (angle.cos(), angle.sin());
    Embedding::new(space, numbers).unwrap()
}

fn nearest(scope: &Scope, near: Embedding) -> lagdb::Result<Vec<Id<Trajectory>>> {
    let snapshot = scope.snapshot()?;
    let hits = snapshot.search::<Trajectory>(&Query::near(near.clone()).limit(2))?;
    assert_eq!(snapshot.nearest::<Trajectory>(&Query::near(near).limit(2))?.hits.len(), hits.len());
    Ok(hits.iter().map(|hit| hit.id).collect())
}

#[test]
fn another_model_with_vectors_as_long_is_refused_naming_both() {
    let (words, swapped) = (kit::space("words-1", 4), kit::space("words-2", 4));
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let ids = [0.0, 40.0].map(|degrees| {
        let id = tx.put(&kit::trajectory(&format!("{degrees}"))).unwrap();
        tx.embed(id, &at(&words, degrees)).unwrap();
        id
    });
    let bare = tx.put(&kit::trajectory("no embedding")).unwrap();
    tx.commit().unwrap();
    let before = (database.stats().unwrap().embeddings, scope.snapshot().unwrap().commit_id());
    let both = |error: Error| {
        let Error::SpaceMismatch { found, expected } = &error else { panic!("{error}") };
        (found.clone(), expected.clone())
    };
    let names = ("words-2 (dim 4)".to_owned(), "words-1 (dim 4)".to_owned());
    let mut tx = scope.begin().unwrap();
    assert_eq!(both(tx.embed(bare, &at(&swapped, 1.0)).unwrap_err()), names);
    assert_eq!(both(tx.embed(bare, &at(&kit::space("words-1", 5), 1.0)).unwrap_err()).0, "words-1 (dim 5)");
    drop(tx);
    assert_eq!(both(nearest(&scope, at(&swapped, 1.0)).unwrap_err()), names);
    assert_eq!(both(scope.snapshot().unwrap().embedding_in(ids[0], &swapped).unwrap_err()), names);
    for numbers in [vec![0.0; 4], vec![f32::NAN, 1.0, 1.0, 1.0], vec![f32::INFINITY, 1.0, 1.0, 1.0], vec![1.0; 3]] {
        assert!(matches!(Embedding::new(&words, numbers), Err(Error::Invalid { .. })));
    }
    assert_eq!((database.stats().unwrap().embeddings, scope.snapshot().unwrap().commit_id()), before);
    assert_eq!(nearest(&scope, at(&words, 1.0)).unwrap(), ids);
}

#[test]
fn a_space_that_was_added_answers_for_itself() {
    let (text, image) = (kit::space("text", 2), kit::space("image", 3));
    let database = Database::options().graph_from(1).in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    let ids: Vec<_> = (0..4).map(|i| tx.put(&kit::trajectory(&format!("task {i}"))).unwrap()).collect();
    for (id, degrees) in ids.iter().zip([0.0, 10.0, 20.0]) {
        tx.embed(*id, &at(&text, degrees)).unwrap();
    }
    tx.add_space(&image).unwrap();
    tx.add_space(&image).unwrap();
    // The other way round, and one that has no embedding in the main space.
    for (id, degrees) in ids.iter().zip([80.0, 70.0, 60.0, 50.0]) {
        tx.embed(*id, &at(&image, degrees)).unwrap();
    }
    assert!(tx.embed(ids[0], &at(&image, 1.0)).is_err(), "it has one there");
    tx.commit().unwrap();
    for _ in 0..3 {
        assert_eq!(nearest(&scope, at(&text, 0.0)).unwrap(), [ids[0], ids[1]]);
        assert_eq!(nearest(&scope, at(&image, 0.0)).unwrap(), [ids[3], ids[2]]);
        database.finish_indexing();
    }
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.spaces().unwrap(), [text.clone(), image.clone()]);
    assert_eq!(snapshot.embedding(ids[0]).unwrap(), Some(at(&text, 0.0)));
    assert_eq!(snapshot.embedding(ids[3]).unwrap(), None);
    assert_eq!(snapshot.embedding_in(ids[3], &image).unwrap(), Some(at(&image, 50.0)));
    let both = Query::newest().filter(Filter::embedded_in(&text) & Filter::embedded_in(&image));
    assert_eq!(snapshot.search::<Trajectory>(&both).unwrap().len(), 3);
    assert!(database.verify(&mut |_| {}).unwrap().problems.is_empty());
    database.reindex().unwrap();
    assert!(database.verify(&mut |_| {}).unwrap().problems.is_empty());

    // A record goes from every space; a space goes with its embeddings.
    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(ids[3]).unwrap());
    tx.commit().unwrap();
    assert_eq!(nearest(&scope, at(&image, 0.0)).unwrap(), [ids[2], ids[1]]);
    assert_eq!(database.remove_space(&image).unwrap(), 3);
    assert!(matches!(nearest(&scope, at(&image, 0.0)), Err(Error::SpaceMismatch { .. })));
    assert_eq!(database.stats().unwrap().embeddings, 3);
    assert_eq!(nearest(&scope, at(&text, 0.0)).unwrap(), [ids[0], ids[1]]);
}
