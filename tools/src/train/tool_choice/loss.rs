//! The losses of one batch: how far the choices are from the teacher's, and the cross entropy of verdicts and items.
//!
//! A choice has a *soft* target: all allowed tools alike. Its loss is the Kullback-Leibler divergence from the model's
//! distribution to that target, so it is 0 for a perfect student, who therefore explores when it samples.

use super::practice::Practice;
use super::recipe::{CHOICE_WEIGHT, VERDICT_WEIGHT, WRITTEN_WEIGHT};
use crate::tool_choice::{FIRST_TOOL, N_TOOLS, Tools, Word};
use crate::train::model::{Model, Pass};
use candle_core::{D, Device, Result, Tensor};
use candle_nn::loss::cross_entropy;
use candle_nn::ops::log_softmax;

/// The losses of a batch, unweighted; `None` where the batch has nothing of the kind.
pub(crate) struct Losses {
    pub(crate) choice: Tensor,
    pub(crate) verdict: Option<Tensor>,
    pub(crate) written: Option<Tensor>,
}

impl Losses {
    /// The sum to descend.
    pub(crate) fn total(&self) -> Result<Tensor> {
        let mut total = (&self.choice * CHOICE_WEIGHT)?;
        for (loss, weight) in [(&self.verdict, VERDICT_WEIGHT), (&self.written, WRITTEN_WEIGHT)] {
            if let Some(loss) = loss {
                total = (total + (loss * weight)?)?;
            }
        }
        Ok(total)
    }
}

/// Token ids of sequences, `[n_rows, len]`, padded on the right.
pub(crate) fn tokens(rows: &[&[Word]]) -> Result<Tensor> {
    let len = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut ids = Vec::with_capacity(rows.len() * len);
    for row in rows {
        ids.extend(row.iter().map(|word| word.id()));
        ids.resize(ids.len() + len - row.len(), Word::PAD.id());
    }
    Tensor::from_vec(ids, (rows.len(), len), &Device::Cpu)
}

/// Runs a batch.
pub(crate) fn losses(model: &Model, batch: &[Practice]) -> Result<Losses> {
    let rows: Vec<&[Word]> = batch.iter().map(|practice| practice.words.as_slice()).collect();
    let tokens = tokens(&rows)?;
    let len = tokens.dim(1)?;
    let pass = model.forward(&tokens, None)?;
    let choices = places(batch, len, |practice| &practice.choices);
    let verdicts = places(batch, len, |practice| &practice.verdicts);
    let written = places(batch, len, |practice| &practice.written);
    Ok(Losses {
        choice: choice_loss(&logits_at(model, &pass, &choices)?, &choices)?,
        verdict: said_loss(model, &pass, &verdicts)?,
        written: said_loss(model, &pass, &written)?,
    })
}

/// Places in the flattened batch, and what belongs there.
fn places<T: Copy>(batch: &[Practice], len: usize, of: impl Fn(&Practice) -> &Vec<(usize, T)>) -> Vec<(u32, T)> {
    let flat = |(row, practice)| {
        let places: &Vec<(usize, T)> = of(practice);
        places.iter().map(move |(at, what)| ((row * len + at) as u32, *what))
    };
    batch.iter().enumerate().flat_map(flat).collect()
}

fn logits_at<T>(model: &Model, pass: &Pass, places: &[(u32, T)]) -> Result<Tensor> {
    let at: Vec<u32> = places.iter().map(|(at, _)| *at).collect();
    let n = at.len();
    model.logits(&pass.hidden.index_select(&Tensor::from_vec(at, n, &Device::Cpu)?, 0)?)
}

fn choice_loss(logits: &Tensor, choices: &[(u32, Tools)]) -> Result<Tensor> {
    let n = choices.len();
    let share = |tools: Tools, tool| if tools.contains(tool) { 1.0 / tools.len() as f32 } else { 0.0 };
    let target = |(_, tools): &(u32, Tools)| (0..N_TOOLS).map(|tool| share(*tools, tool)).collect::<Vec<f32>>();
    let targets: Vec<f32> = choices.iter().flat_map(target).collect();
    let entropy = choices.iter().map(|(_, tools)| (tools.len() as f64).ln()).sum::<f64>() / n as f64;
    let targets = Tensor::from_vec(targets, (n, N_TOOLS), &Device::Cpu)?;
    let log_shares = log_softmax(logits, D::Minus1)?.narrow(1, usize::from(FIRST_TOOL), N_TOOLS)?;
    let agreement = ((targets * log_shares)?.sum_all()? / n as f64)?;
    agreement.affine(-1.0, -entropy)
}

fn said_loss(model: &Model, pass: &Pass, said: &[(u32, Word)]) -> Result<Option<Tensor>> {
    if said.is_empty() {
        return Ok(None);
    }
    let words: Vec<u32> = said.iter().map(|(_, word)| word.id()).collect();
    let n = words.len();
    cross_entropy(&logits_at(model, pass, said)?, &Tensor::from_vec(words, n, &Device::Cpu)?).map(Some)
}
