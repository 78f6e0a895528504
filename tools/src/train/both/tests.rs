//! What must hold of a model of both worlds before it is worth training.

use super::recipe::{Recipe, fresh, sizes};
use super::vocabulary::{tool_choice_tokens, words};
use crate::tool_choice::{self, N_WORDS};
use crate::train::tool_choice::{Student, losses as tool_losses};
use crate::train::{batch::Batch, loss};
use crate::world::{self, Rng};
use std::collections::BTreeSet;

/// Two words of one token would be one word; a word of two tokens would be trained twice.
#[test]
fn every_spelling_is_one_token() {
    let words = words();
    assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    let tokens = tool_choice_tokens();
    for word in (0..N_WORDS as u32).filter_map(tool_choice::Word::from_id) {
        assert_eq!(words[tokens.of(word) as usize], word.text());
    }
    for word in (0..world::VOCABULARY_LEN as u32).filter_map(world::Word::from_id) {
        assert_eq!(words[word.id() as usize], word.text());
    }
    let tools: Vec<u32> = tool_choice::Word::tools().map(|tool| tokens.of(tool)).collect();
    assert_eq!(tools, (tokens.first_tool()..).take(tools.len()).collect::<Vec<_>>());
}

#[test]
fn gradients_of_both_worlds_reach_every_weight() {
    let mut rng = Rng::new(1);
    let model = fresh(&mut rng).expect("a fresh model");
    assert_eq!(model.embed.dims(), [sizes().n_words, 128]);
    let (recipe, tokens) = (Recipe::new(100), tool_choice_tokens());
    let student = Student { model: &model, tokens: &tokens };
    let plan = recipe.demo.stage(0).plan(&mut rng);
    let batch = Batch::draw(&plan, &mut rng).expect("a world large enough");
    let of_demo = loss::losses(&model, &batch, plan.arm).and_then(|losses| losses.total(0.3)).expect("a loss");
    let of_tools = tool_losses(student, &recipe.tools.batch(50, &mut rng)[..4]).and_then(|losses| losses.total());
    for total in [of_demo, of_tools.expect("a loss")] {
        let grads = total.backward().expect("a backward pass");
        for (name, var) in model.named() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("no gradient reached {name}"));
            let size = grad.abs().and_then(|g| g.sum_all()?.to_scalar::<f32>()).expect("a sum");
            assert!(size.is_finite() && size > 0.0, "the gradient of {name} is {size}");
        }
    }
}
