//! What must hold of one training step: gradients arrive everywhere, memory equals re-reading, checkpoints load.

use super::batch::{Arm, Batch, Plan};
use super::loss::{losses, memory_of};
use super::model::{Kv, Model};
use super::ops;
use super::preset::fresh;
use super::recipe::{Recipe, SIZES};
use crate::world::{Rng, TaskSize};
use candle_core::{DType, Device, Result, Tensor};

fn model() -> Model {
    fresh(SIZES, &mut Rng::new(1)).expect("a fresh model")
}

fn plan(arm: Arm, n_logs: usize) -> Plan {
    Plan { arm, n_rows: 2, n_logs, hidden: true, size: TaskSize::new(2, 2), n_extra: 1, n_questions: 3, trim: (0, 1) }
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar()).expect("tensors of one shape")
}

/// Candle drops gradients at its fused operations without an error; ours must not.
#[test]
fn gradients_reach_every_weight_in_every_arm() {
    let model = model();
    for (arm, n_logs) in [(Arm::None, 0), (Arm::Text, 2), (Arm::Kv, 3), (Arm::Full, 2)] {
        let batch = Batch::draw(&plan(arm, n_logs), &mut Rng::new(2)).expect("a world large enough");
        let losses = losses(&model, &batch, arm).expect("a forward pass");
        let grads = losses.total(0.1).and_then(|total| total.backward()).expect("a backward pass");
        for (name, var) in model.named() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("{arm:?}: no gradient reached {name}"));
            let size = grad.abs().and_then(|g| g.sum_all()?.to_scalar::<f32>()).expect("a sum");
            assert!(size.is_finite() && size > 0.0, "{arm:?}: the gradient of {name} is {size}");
        }
    }
}

/// The follow-up's loss must train the pass that made the memory, not only the pass that reads it.
#[test]
fn gradients_flow_through_memory() {
    let model = model();
    let batch = Batch::draw(&plan(Arm::Kv, 1), &mut Rng::new(3)).expect("a world large enough");
    let rows = batch.sources.as_ref().expect("source rows");
    let pass = model.forward(&rows.tokens().expect("tokens"), None).expect("a pass");
    let memory = memory_of(&pass, batch.log.clone(), 2).expect("memory");
    let after = model.forward(&batch.follow_ups.tokens().expect("tokens"), Some(&memory)).expect("a pass");
    let grads = after.hidden.sum_all().and_then(|sum| sum.backward()).expect("a backward pass");
    let by_word = grads.get(&model.embed).and_then(|g| g.abs().ok()?.sum(1).ok()?.to_vec1::<f32>().ok());
    let by_word = by_word.expect("a gradient of the embedding");
    let ids = |rows: &super::batch::Rows| rows.tokens().and_then(|t| t.flatten_all()?.to_vec1::<u32>()).expect("ids");
    let seen_again = ids(&batch.follow_ups);
    let mut only_in_source = ids(rows).into_iter().filter(|id| !seen_again.contains(id));
    assert!(only_in_source.any(|id| by_word[id as usize] > 0.0));
}

#[test]
fn memory_of_the_beginning_equals_one_pass() {
    let model = model();
    let batch = Batch::draw(&plan(Arm::Text, 2), &mut Rng::new(4)).expect("a world large enough");
    let tokens = batch.follow_ups.tokens().expect("tokens");
    let (n_rows, len) = tokens.dims2().expect("two axes");
    let split = 14;
    let halves = || -> Result<(Tensor, Tensor)> {
        let begin = model.forward(&tokens.narrow(1, 0, split)?.contiguous()?, None)?;
        let memory: Vec<Kv> = begin.kv;
        let rest = model.forward(&tokens.narrow(1, split, len - split)?.contiguous()?, Some(&memory))?;
        let whole = model.forward(&tokens, None)?.hidden.reshape((n_rows, len, ()))?;
        Ok((rest.hidden, whole.narrow(1, split, len - split)?.flatten_to(1)?))
    };
    let (rest, whole) = halves().expect("two passes");
    assert!(largest_difference(&rest, &whole) < 1e-4);
}

/// Keys are kept before RoPE: turning by position is left to the pass that reads them.
#[test]
fn angles_start_at_the_first_position() {
    let angles = std::sync::Arc::new(ops::Angles::new(8, 4, 100.0));
    let x = Tensor::new(&[[[1f32, 2.0, 3.0, 4.0]]], &Device::Cpu).expect("a tensor");
    let unturned = ops::split_heads(&x, 1, Some((&angles, 0))).expect("heads");
    assert_eq!(unturned.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("floats"), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn the_plain_recipe_differs_in_the_kv_arm_only() {
    let (kv, plain) = (Recipe::new(false), Recipe::new(true));
    assert_eq!(kv.n_steps(), plain.n_steps());
    let mut rng = Rng::new(5);
    for step in 0..plain.n_steps() {
        assert_eq!(kv.rates(step).muon, plain.rates(step).muon);
        assert_ne!(plain.stage(step).plan(&mut rng).arm, Arm::Kv);
    }
}

#[test]
fn every_plan_of_the_recipe_fits_into_a_world() {
    let recipe = Recipe::new(false);
    let mut rng = Rng::new(6);
    for step in (0..recipe.n_steps()).step_by(7) {
        let plan = recipe.stage(step).plan(&mut rng);
        Batch::draw(&plan, &mut rng).expect("a world large enough");
    }
}

#[test]
fn a_checkpoint_has_hugging_face_names_and_loads_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model();
    super::checkpoint::save(&model, &super::run::speech(), folder.path()).expect("three files");
    let file = folder.path().join("model.safetensors");
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).expect("a tensor file");
    assert_eq!(tensors.len(), 2 + 9 * SIZES.n_layers);
    let q = &tensors["model.layers.3.self_attn.q_proj.weight"];
    assert_eq!((q.dtype(), q.dims()), (DType::F16, &[128, 96][..]));
    let again = super::checkpoint::load(folder.path(), SIZES).expect("a model");
    for ((name, before), (_, after)) in model.named().into_iter().zip(again.named()) {
        assert!(largest_difference(before, after) < 1e-2, "{name}");
    }
}
