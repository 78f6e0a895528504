//! What of the past reaches the model: lessons as words before the task, trajectories as attention or as text.
//!
//! Nothing is recalled of the task itself, and nothing need be recalled at all: what is not similar enough, or has no room,
//! is left out. Lessons and KV logs that are offered, and those that are withheld on purpose, are noted as exposures when the
//! task is remembered; texts of trajectories are not.

mod kv_logs;
mod lessons;

pub use kv_logs::{Recall, Said, TrajectoryRecall};
pub use lessons::{LessonRecall, Offer};

use super::LogUse;
use crate::{Delivery, Exposure, Id, Offered, Strategy, Trajectory};
use lagdb_format::KvLogView;

/// What was recalled for one task, best match first.
#[derive(Default)]
pub struct Recollection {
    /// The trajectories, with their similarity to the task's query.
    pub hits: Vec<(Id<Trajectory>, f32)>,
    /// KV logs to attach.
    pub kv_logs: Vec<KvLogView<'static>>,
    /// What is said before the prompt.
    pub said: Vec<Said>,
    /// Lessons, those that are withheld included.
    pub offers: Vec<Offer>,
    /// Trajectories left out because another model made their KV logs, and the field in which that model differs.
    pub foreign: Vec<(Id<Trajectory>, &'static str)>,
}

impl Recollection {
    /// The lessons that the model gets to read.
    pub fn lessons(&self) -> Vec<Strategy> {
        self.injected().map(|offer| offer.lesson.clone()).collect()
    }

    /// Their ids.
    pub(super) fn given(&self) -> Vec<Id<Strategy>> {
        self.injected().map(|offer| offer.id).collect()
    }

    fn injected(&self) -> impl Iterator<Item = &Offer> {
        self.offers.iter().filter(|offer| offer.exposure.delivery == Delivery::Injected)
    }

    /// All that was offered before the first step; `logs` is what became of its KV logs: a refused one was not, nor is any where
    /// no reply was asked for.
    pub fn exposures(&self, logs: &[LogUse]) -> Vec<Exposure> {
        let is_used = |rank: &usize| logs.get(*rank).is_some_and(|log| !matches!(log, LogUse::Refused { .. }));
        let hits = self.hits.iter().take(self.kv_logs.len()).enumerate().filter(|(rank, _)| is_used(rank));
        let attached = hits.map(|(rank, (id, score))| Exposure {
            rank: rank as u32,
            score: *score,
            ..Exposure::injected(Offered::KvLog(*id))
        });
        self.offers.iter().map(|offer| offer.exposure).chain(attached).collect()
    }
}
