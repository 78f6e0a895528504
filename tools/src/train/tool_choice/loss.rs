//! The losses of one batch: how far the choices are from the teacher's, and the cross entropy of verdicts and items.
//!
//! A choice has a *soft* target: all allowed tools alike. Its loss is the Kullback-Leibler divergence from the model's
//! distribution to that target, so it is 0 for a perfect student, who therefore explores when it samples.

use super::practice::Practice;
use super::recipe::{CHOICE_WEIGHT, VERDICT_WEIGHT, WRITTEN_WEIGHT};
use super::student::Student;
use crate::tool_choice::{N_TOOLS, Tools, Word};
use crate::train::curve::Curve;
use crate::train::model::Pass;
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

    /// Takes them into a learning curve.
    pub(crate) fn note(&self, curve: &mut Curve) -> Result<()> {
        curve.note("choice", self.choice.to_scalar()?);
        for (name, loss) in [("verdict", &self.verdict), ("written", &self.written)] {
            if let Some(loss) = loss {
                curve.note(name, loss.to_scalar()?);
            }
        }
        Ok(())
    }
}

/// Runs a batch.
pub(crate) fn losses(student: Student<'_>, batch: &[Practice]) -> Result<Losses> {
    let rows: Vec<&[Word]> = batch.iter().map(|practice| practice.words.as_slice()).collect();
    let tokens = student.rows(&rows)?;
    let len = tokens.dim(1)?;
    let pass = student.model.forward(&tokens, None)?;
    let choices = places(batch, len, |practice| &practice.choices);
    let verdicts = places(batch, len, |practice| &practice.verdicts);
    let written = places(batch, len, |practice| &practice.written);
    Ok(Losses {
        choice: choice_loss(student, &logits_at(student, &pass, &choices)?, &choices)?,
        verdict: said_loss(student, &pass, &verdicts)?,
        written: said_loss(student, &pass, &written)?,
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

fn logits_at<T>(student: Student<'_>, pass: &Pass, places: &[(u32, T)]) -> Result<Tensor> {
    let at: Vec<u32> = places.iter().map(|(at, _)| *at).collect();
    let n = at.len();
    student.model.logits(&pass.hidden.index_select(&Tensor::from_vec(at, n, &Device::Cpu)?, 0)?)
}

fn choice_loss(student: Student<'_>, logits: &Tensor, choices: &[(u32, Tools)]) -> Result<Tensor> {
    let n = choices.len();
    let share = |tools: Tools, tool| if tools.contains(tool) { 1.0 / tools.len() as f32 } else { 0.0 };
    let target = |(_, tools): &(u32, Tools)| (0..N_TOOLS).map(|tool| share(*tools, tool)).collect::<Vec<f32>>();
    let targets: Vec<f32> = choices.iter().flat_map(target).collect();
    let entropy = choices.iter().map(|(_, tools)| (tools.len() as f64).ln()).sum::<f64>() / n as f64;
    let targets = Tensor::from_vec(targets, (n, N_TOOLS), &Device::Cpu)?;
    let first_tool = student.tokens.first_tool() as usize;
    let log_shares = log_softmax(logits, D::Minus1)?.narrow(1, first_tool, N_TOOLS)?;
    let agreement = ((targets * log_shares)?.sum_all()? / n as f64)?;
    agreement.affine(-1.0, -entropy)
}

fn said_loss(student: Student<'_>, pass: &Pass, said: &[(u32, Word)]) -> Result<Option<Tensor>> {
    if said.is_empty() {
        return Ok(None);
    }
    let words: Vec<u32> = said.iter().map(|(_, word)| student.tokens.of(*word)).collect();
    let n = words.len();
    cross_entropy(&logits_at(student, pass, said)?, &Tensor::from_vec(words, n, &Device::Cpu)?).map(Some)
}
