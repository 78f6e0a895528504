//! Attach policies: in which order logs stand, at which positions, how loud they are, and what of them is computed again.
//!
//! Each is a value that one attention consumes: positions and [`Emphasis`] change numbers, never the way through the code.

use crate::error::{Error, Result};
use crate::generate::sources::Emphasis;

/// How some logs become attention sources; the default is LAG's, `[best log | … | last log]` as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttachPolicy {
    /// Which log stands first.
    pub order: LogOrder,
    /// Where the logs' tokens stand for RoPE.
    pub positions: LogPositions,
    /// How loud all of them are together.
    pub emphasis: Emphasis,
    /// Which of their tokens are computed again, in sight of all that stands before them.
    pub recompute: Recompute,
}

/// Which of several logs, the best first, stands first. Models attend most to what is first or near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOrder {
    /// The best log is farthest from the text that follows, as in [LAG](https://arxiv.org/abs/2505.14398).
    #[default]
    BestFirst,
    /// The best log is nearest.
    BestLast,
}

/// The positions of logs. Whatever they are, the text goes on behind the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogPositions {
    /// One behind the other, as in [LAG](https://arxiv.org/abs/2505.14398).
    #[default]
    Consecutive,
    /// Every log begins at the same one, as in [APE](https://arxiv.org/abs/2502.05431): no log is nearer than another.
    Parallel,
    /// All tokens have the same one, as blocks far away in [InfLLM](https://arxiv.org/abs/2402.04617): they take one position of
    /// those that the model was trained for.
    One,
}

/// Which tokens of attached logs are computed again: a log was computed without its neighbours, and its first tokens were the
/// first of a text. Only at consecutive positions: at others a token would see tokens that stand behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Recompute {
    /// None.
    #[default]
    Nothing,
    /// The first so many of each log, as in [EPIC](https://arxiv.org/abs/2410.15332).
    FirstTokens(usize),
    /// This share of all, 0 to 1: all of them at the first two layers, and from there on those whose values changed most there,
    /// as in [CacheBlend](https://arxiv.org/abs/2405.16444).
    MostDeviating(f32),
}

impl AttachPolicy {
    /// # Errors
    /// [`Error::Invalid`] when a number of it is out of range, or two parts of it contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let share = match self.recompute {
            Recompute::MostDeviating(share) if !(0.0..=1.0).contains(&share) => {
                Some(format!("a share is 0 to 1: {share}"))
            }
            _ => None,
        };
        let is_told_apart = self.recompute == Recompute::Nothing || self.positions == LogPositions::Consecutive;
        let positions = (!is_told_apart).then(|| "tokens are computed again at consecutive positions only".to_owned());
        let problem = self.emphasis.problem().or(share).or(positions);
        problem.map_or(Ok(()), |problem| Err(Error::invalid("attach policy", problem)))
    }
}
