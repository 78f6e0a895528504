//! The losses of one batch.
//!
//! * *response*: cross entropy of the words the agent should say, in source rows and in follow-up rows;
//! * *write* (an auxiliary loss, training only): where a log names its organisation, what the read head of block 2
//!   copies from there must name the organisation's three values. It trains the writing of unspelled facts into the
//!   log, and the reading, through the model's own weights; no weight is added for it.

use super::batch::{Arm, Batch, Rows};
use super::curve::Curve;
use super::model::{Kv, Model, Pass, linear};
use super::ops::rms_norm;
use crate::world::Relation;
use candle_core::{Device, Result, Tensor};
use candle_nn::loss::cross_entropy;
use std::ops::Range;

/// The block after which the log must carry the facts; the next one reads.
const WRITE_BLOCK: usize = 1;

/// The losses of a batch, unweighted.
pub(crate) struct Losses {
    /// Of the source rows, if the batch has any.
    pub(crate) source: Option<Tensor>,
    pub(crate) follow_up: Tensor,
    pub(crate) write: Tensor,
}

impl Losses {
    /// The sum to descend.
    pub(crate) fn total(&self, write_weight: f64) -> Result<Tensor> {
        let total = (&self.follow_up + (&self.write * write_weight)?)?;
        match &self.source {
            Some(source) => total + source,
            None => Ok(total),
        }
    }

    /// Takes them into a learning curve.
    pub(crate) fn note(&self, arm: Arm, curve: &mut Curve) -> Result<()> {
        curve.note(arm.name(), self.follow_up.to_scalar()?);
        curve.note("write", self.write.to_scalar()?);
        if let Some(source) = &self.source {
            curve.note("source", source.to_scalar()?);
        }
        Ok(())
    }
}

/// Runs a batch.
pub(crate) fn losses(model: &Model, batch: &Batch, arm: Arm) -> Result<Losses> {
    let Some(rows) = &batch.sources else {
        let pass = model.forward(&batch.follow_ups.tokens()?, None)?;
        let write = write_loss(model, &pass, &batch.follow_ups)?;
        return Ok(Losses { source: None, follow_up: response_loss(model, &pass, &batch.follow_ups)?, write });
    };
    let pass = model.forward(&rows.tokens()?, None)?;
    let tokens = batch.follow_ups.tokens()?;
    let memory = match arm {
        Arm::Kv => Some(memory_of(&pass, batch.log.clone(), tokens.dim(0)?)?),
        Arm::None | Arm::Text | Arm::Full => None,
    };
    let after = model.forward(&tokens, memory.as_deref())?;
    Ok(Losses {
        source: Some(response_loss(model, &pass, rows)?),
        follow_up: response_loss(model, &after, &batch.follow_ups)?,
        write: write_loss(model, &pass, rows)?,
    })
}

/// The keys and values of the logs, several consecutive rows a follow-up, one after the other.
pub(crate) fn memory_of(pass: &Pass, log: Range<usize>, n_follow_ups: usize) -> Result<Vec<Kv>> {
    let side_by_side = |x: &Tensor| {
        let width = x.dim(2)?;
        x.narrow(1, log.start, log.len())?.contiguous()?.reshape((n_follow_ups, (), width))
    };
    pass.kv.iter().map(|kv| Ok(Kv { k: side_by_side(&kv.k)?, v: side_by_side(&kv.v)? })).collect()
}

fn response_loss(model: &Model, pass: &Pass, rows: &Rows) -> Result<Tensor> {
    let (at, words) = rows.said()?;
    cross_entropy(&model.logits(&pass.hidden.index_select(&at, 0)?)?, &words)
}

fn write_loss(model: &Model, pass: &Pass, rows: &Rows) -> Result<Tensor> {
    let (at, values) = rows.written()?;
    let reader = &model.blocks[WRITE_BLOCK + 1];
    let head_dim = model.sizes.head_dim;
    let state = rms_norm(&pass.after_block[WRITE_BLOCK].index_select(&at, 0)?, &reader.input_norm)?;
    let read = linear(&state, &reader.v.narrow(0, 0, head_dim)?)?;
    let copied = rms_norm(&linear(&read, &reader.o.narrow(1, 0, head_dim)?)?, &model.norm)?;
    let mut sum = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
    for (relation, values) in Relation::OF_ORGS.into_iter().zip(values) {
        let class = relation.value_class().ids();
        let names = model.embed.narrow(0, class.start as usize, class.len())?;
        let values: Vec<u32> = values.iter().map(|value| value - class.start).collect();
        let values = Tensor::from_slice(&values, values.len(), &Device::Cpu)?;
        sum = (sum + cross_entropy(&linear(&copied, &names)?, &values)?)?;
    }
    sum / Relation::OF_ORGS.len() as f64
}
