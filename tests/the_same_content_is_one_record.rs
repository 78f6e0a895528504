//! Put twice is put once: the same content in the same scope has one id, unless one insists on another; near duplicates
//! are advice, never a refusal.

use crate::kit::{self, embed};
use lagdb::{Database, Query, Step, Trajectory};

#[test]
fn the_same_content_has_the_same_id() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("t")).unwrap();
    assert_eq!(tx.put(&kit::trajectory("t")).unwrap(), id, "in one transaction");
    let lesson = kit::strategy("lesson", id, lagdb::Polarity::Support);
    let strategy = tx.put(&lesson).unwrap();
    tx.commit().unwrap();

    let mut tx = scope.begin().unwrap();
    assert_eq!((tx.put(&kit::trajectory("t")).unwrap(), tx.put(&lesson).unwrap()), (id, strategy), "in another");
    let insisted = tx.put_new(&kit::trajectory("t")).unwrap();
    assert_ne!(insisted, id);
    assert_eq!(tx.find(&kit::trajectory("t")).unwrap(), Some(id), "the oldest");
    assert_eq!(tx.len::<Trajectory>().unwrap(), 2);
    tx.commit().unwrap();

    let other = database.scope("other").unwrap();
    assert_eq!(other.snapshot().unwrap().find(&kit::trajectory("t")).unwrap(), None, "scopes share nothing");
    let mut tx = other.begin().unwrap();
    assert!(![id, insisted].contains(&tx.put(&kit::trajectory("t")).unwrap()));
}

#[test]
fn every_field_counts() {
    let (_database, scope) = kit::in_memory();
    let plain = Trajectory::new("t").step("saw", "did");
    let mut tx = scope.begin().unwrap();
    let first = tx.put(&plain).unwrap();
    let variants = [
        plain.clone().label("x"),
        plain.clone().rollout("g", 0),
        plain.clone().started_at_ms(1),
        plain.clone().step("", ""),
        Trajectory { steps: vec![Step { action: "did not".into(), ..plain.steps[0].clone() }], ..plain.clone() },
        // The same letters, cut elsewhere.
        Trajectory::new("t").step("sawd", "id"),
    ];
    let mut ids: Vec<_> = variants.iter().map(|variant| tx.put(variant).unwrap()).collect();
    ids.push(first);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), variants.len() + 1);
}

#[test]
fn what_was_deleted_is_new_again() {
    let (_database, scope) = kit::in_memory();
    let id = kit::remember(&scope, "t", None);
    let mut tx = scope.begin().unwrap();
    tx.delete(id).unwrap();
    assert_eq!(tx.find(&kit::trajectory("t")).unwrap(), None);
    assert_ne!(tx.put(&kit::trajectory("t")).unwrap(), id, "ids are never given twice");
}

#[test]
fn the_nearest_existing_record_is_advice() {
    let (_database, scope) = kit::in_memory();
    let id = kit::remember(&scope, "cancel my flight to Seattle", None);
    kit::remember(&scope, "bake a cake", None);
    let snapshot = scope.snapshot().unwrap();
    let near = |text: &str, floor| {
        let query = Query::near(embed(text)).floor(floor).limit(1);
        snapshot.search::<Trajectory>(&query).unwrap().first().map(|hit| hit.id)
    };
    let advice = |text: &str, floor| snapshot.near_duplicate::<Trajectory>(&embed(text), floor).unwrap();
    let found = advice("please cancel my flight to Seattle", 0.5).unwrap();
    assert_eq!((found.id, Some(found.id)), (id, near("please cancel my flight to Seattle", 0.5)));
    assert!(advice("repair a bicycle", 0.9).is_none());
    kit::remember(&scope, "please cancel my flight to Seattle", None);
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 3, "advice refuses nothing");
    drop(Database::in_memory());
}
