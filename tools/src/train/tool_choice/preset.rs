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
use crate::tool_choice::Word;
use crate::train::model::{Model, Sizes};
use crate::train::raw_model::{Matrix, RawModel, remove_direction};
use crate::world::Rng;
use candle_core::Result;

/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 0.9;
/// How strongly block 0 writes the previous tokens.
const COPY: f32 = 0.25;
/// How strongly the look-up heads look for their match, and for the verdict.
const MATCH: f32 = 2.0;
const VERDICT: f32 = 1.2;
/// How much of `err` is `fails`.
const LIKE_FAILS: f32 = 0.7;

/// A fresh model.
pub(crate) fn fresh(rng: &mut Rng) -> Result<Model> {
    let Sizes { d, head_dim, theta, .. } = SIZES;
    let half = head_dim / 2;
    let mut raw = RawModel::random(SIZES, rng);
    let shared = raw.shared.clone();
    resemble(&mut raw.embed, Word::ERR, Word::FAILS);

    // Block 0: key of angle 0, query of angle -back: their product peaks `back` tokens ago.
    let key: Vec<f32> = (0..head_dim).map(|i| if i < half { SHARPNESS } else { 0.0 }).collect();
    let before = Matrix::orthonormal_rows(3 * head_dim, d, rng);
    let before: Vec<Matrix> = (0..3).map(|i| before.rows_of(i * head_dim, head_dim)).collect();
    let mut name = Matrix::normal(head_dim, d, (d as f32).powf(-0.5), rng);
    name.each_row(|row| remove_direction(row, &shared));
    for group in [0, head_dim] {
        raw.blocks[0].k.set_rows(group, &Matrix::outer(&key, &shared));
        raw.blocks[0].v.set_rows(group, &name);
    }
    for (head, copy) in before.iter().enumerate() {
        let angle = |i: usize| (head + 1) as f64 * theta.powf(-((i % half) as f64) / half as f64);
        let query = |i: usize| if i < half { angle(i).cos() } else { -angle(i).sin() };
        let query: Vec<f32> = (0..head_dim).map(|i| SHARPNESS * query(i) as f32).collect();
        raw.blocks[0].q.set_rows(head * head_dim, &Matrix::outer(&query, &shared));
        raw.blocks[0].o.set_columns(head * head_dim, &copy.scaled(COPY));
    }

    // Block 1: the look-up heads use only the pairs that RoPE turns slowly.
    let slow: Vec<usize> = (0..head_dim).filter(|i| i % half >= half * 7 / 16).collect();
    let on_slow = |m: &Matrix| {
        let mut out = Matrix::zeros(head_dim, d);
        for (from, &to) in slow.iter().enumerate() {
            out.row_mut(to).copy_from_slice(m.row(from));
        }
        out.scaled(MATCH)
    };
    let (tool, subgoal, site) = (&before[0], &before[1], &before[2]);
    let (looked_for, found_by) = (on_slow(&name.plus(tool)), on_slow(&subgoal.plus(site)));
    let every_other: Vec<usize> = slow.iter().copied().step_by(2).collect();
    let even = VERDICT / (every_other.len() as f32).sqrt();
    let spread: Vec<f32> = (0..head_dim).map(|i| if every_other.contains(&i) { even } else { 0.0 }).collect();
    let mut verdict = difference(raw.embed.row(Word::WORKS.id() as usize), raw.embed.row(Word::FAILS.id() as usize));
    remove_direction(&mut verdict, &shared);
    normalize(&mut verdict);
    for (group, sign) in [(0, 1.0), (1, -1.0)] {
        let (rows, head) = (group * head_dim, 2 * group * head_dim);
        raw.blocks[1].k.set_rows(rows, &found_by.plus(&Matrix::outer(&spread, &verdict).scaled(sign)));
        raw.blocks[1].q.set_rows(head, &looked_for.plus(&Matrix::outer(&spread, &shared)));
        raw.blocks[1].v.set_rows(rows, tool);
        raw.blocks[1].o.set_columns(head, &name.scaled(sign));
    }
    raw.into_model()
}

fn resemble(embed: &mut Matrix, word: Word, other: Word) {
    let other = embed.row(other.id() as usize).to_vec();
    let rest = (1.0 - LIKE_FAILS * LIKE_FAILS).sqrt();
    let row = embed.row_mut(word.id() as usize);
    row.iter_mut().zip(other).for_each(|(x, y)| *x = LIKE_FAILS * y + rest * *x);
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn normalize(x: &mut [f32]) {
    let length = x.iter().map(|x| x * x).sum::<f32>().sqrt();
    x.iter_mut().for_each(|x| *x /= length);
}
