//! The weights a run starts from: random, save five attention heads and one word that start as what they shall become.
//!
//! | block | head | starts as |
//! |---|---|---|
//! | 0 | 0, 1, 2 | copy the previous token, and the ones two and three before it, into a subspace each (`A1`, `A2`, `A3`) |
//! | 1 | 0 | at a subgoal after its site: finds the items about both that end in `works`, votes for their tool |
//! | 1 | 2 | the same for `fails`, votes against the tool |
//!
//! And the page `err` starts near the word `fails`, so that a refused step reads like an item that refutes. In an earlier,
//! separate implementation of this task nothing was looked up without the presets within four minutes of training.

use super::recipe::SIZES;
use super::student::WordTokens;
use crate::tool_choice::Word;
use crate::train::copies::{Copies, copy_before, on_slow, slow};
use crate::train::model::{Model, Sizes};
use crate::train::raw_model::{Matrix, RawModel, remove_direction};
use crate::world::Rng;
use candle_core::Result;

/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 0.9;
/// How strongly the look-up heads look for their verdict.
const VERDICT: f32 = 1.2;
/// How much of `err` is `fails`.
const LIKE_FAILS: f32 = 0.7;

/// A fresh model.
pub(crate) fn fresh(rng: &mut Rng) -> Result<Model> {
    let mut raw = RawModel::random(SIZES, rng);
    let copies = copy_before(&mut raw, 3, SHARPNESS, rng);
    preset_look_ups(&mut raw, &copies, 0, &WordTokens::alone());
    raw.into_model()
}

/// The look-ups of block 1, in two KV heads from `first` on and the first query head of each; and the word `err`.
pub(crate) fn preset_look_ups(raw: &mut RawModel, copies: &Copies, first: usize, tokens: &WordTokens) {
    let sizes = raw.sizes;
    let Sizes { head_dim, n_heads, n_kv_heads, .. } = sizes;
    resemble(&mut raw.embed, tokens.of(Word::ERR), tokens.of(Word::FAILS));
    let (name, tool, subgoal, site) = (&copies.name, &copies.before[0], &copies.before[1], &copies.before[2]);
    let (looked_for, found_by) = (on_slow(&name.plus(tool), sizes), on_slow(&subgoal.plus(site), sizes));
    let every_other: Vec<usize> = slow(head_dim).into_iter().step_by(2).collect();
    let even = VERDICT / (every_other.len() as f32).sqrt();
    let spread: Vec<f32> = (0..head_dim).map(|i| if every_other.contains(&i) { even } else { 0.0 }).collect();
    let word = |word| raw.embed.row(tokens.of(word) as usize);
    let mut verdict = difference(word(Word::WORKS), word(Word::FAILS));
    remove_direction(&mut verdict, &raw.shared);
    normalize(&mut verdict);
    for (group, sign) in [(first, 1.0), (first + 1, -1.0)] {
        let (rows, head) = (group * head_dim, n_heads / n_kv_heads * group * head_dim);
        let block = &mut raw.blocks[1];
        block.k.set_rows(rows, &found_by.plus(&Matrix::outer(&spread, &verdict).scaled(sign)));
        block.q.set_rows(head, &looked_for.plus(&Matrix::outer(&spread, &raw.shared)));
        block.v.set_rows(rows, tool);
        block.o.set_columns(head, &name.scaled(sign));
    }
}

fn resemble(embed: &mut Matrix, word: u32, other: u32) {
    let other = embed.row(other as usize).to_vec();
    let rest = (1.0 - LIKE_FAILS * LIKE_FAILS).sqrt();
    let row = embed.row_mut(word as usize);
    row.iter_mut().zip(other).for_each(|(x, y)| *x = LIKE_FAILS * y + rest * *x);
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn normalize(x: &mut [f32]) {
    let length = x.iter().map(|x| x * x).sum::<f32>().sqrt();
    x.iter_mut().for_each(|x| *x /= length);
}
