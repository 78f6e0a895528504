//! A generator's hidden states are embeddings in a space of its own.

use crate::generate_support::*;
use lagdb::agent::{HiddenEmbedder, HiddenPooling};
use lagdb::{Database, Error, Query, Trajectory};

#[test]
fn a_text_is_found_by_what_the_generator_makes_of_it() {
    let generator = Files::of("qwen3").with_words().load().unwrap();
    let embedder = HiddenEmbedder::new(generator.clone(), HiddenPooling::Mean).unwrap();
    assert_eq!(embedder.space().dim(), generator.config().hidden_size);
    let database = Database::in_memory().unwrap();
    let scope = database.scope("hidden").unwrap();
    let texts = ["w3 w4 w5 w6", "w30 w31 w32", "w70 w3 w71"];
    let mut ids = Vec::new();
    for text in texts {
        let mut tx = scope.begin().unwrap();
        let id = tx.put(&Trajectory::new(text)).unwrap();
        tx.embed(id, &embedder.embed(text).unwrap()).unwrap();
        tx.commit().unwrap();
        ids.push(id);
    }
    for (text, id) in texts.iter().zip(&ids) {
        let near = Query::near(embedder.embed(text).unwrap()).limit(1);
        assert_eq!(scope.snapshot().unwrap().search::<Trajectory>(&near).unwrap()[0].id, *id);
    }
}

#[test]
fn the_numbers_are_those_of_the_last_norm() {
    let generator = Files::of("qwen2").with_words().load().unwrap();
    let ids = tokens(7, 3);
    let text: Vec<String> = ids.iter().map(|id| format!("w{id}")).collect();
    let states = session(&generator).feed_for_hidden(&ids).unwrap();
    let width = generator.config().hidden_size;
    assert_eq!(states.len(), 7 * width);
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / norm).collect::<Vec<f32>>()
    };
    let [mean, last] = [HiddenPooling::Mean, HiddenPooling::Last]
        .map(|pooling| HiddenEmbedder::new(generator.clone(), pooling).unwrap().embed(&text.join(" ")).unwrap());
    assert!(distance(last.as_slice(), &unit(&states[6 * width..])) < 1e-6);
    let sum: Vec<f32> = (0..width).map(|i| states.chunks_exact(width).map(|row| row[i]).sum()).collect();
    assert!(distance(mean.as_slice(), &unit(&sum)) < 1e-6);
    assert!(matches!(mean.similarity(&last), Err(Error::SpaceMismatch { .. })));
    let other = HiddenEmbedder::new(Files::of("llama").with_words().load().unwrap(), HiddenPooling::Mean).unwrap();
    assert!(mean.similarity(&other.embed("w1").unwrap()).is_err(), "another model is another space");
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let embedder = |files: Files| HiddenEmbedder::new(files.load().unwrap(), HiddenPooling::Mean).unwrap();
    assert!(matches!(embedder(Files::of("llama")).embed("w1"), Err(Error::Model { .. })), "no tokenizer");
    assert!(matches!(embedder(Files::of("llama").with_words()).embed(""), Err(Error::Invalid { .. })));
    let long = "w1 ".repeat(3000);
    assert!(matches!(embedder(Files::of("llama").with_words()).embed(&long), Err(Error::ContextLimit { .. })));
}
