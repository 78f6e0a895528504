//! What was offered to a trajectory: a strategy or a KV log, and whether the agent got it.
//!
//! Without exposures a success rate is hearsay. What was *injected* is credited with the outcome, what was *withheld* on
//! purpose is the control it is compared with, what was found and left *unused* says nothing about either.

use super::{Strategy, Trajectory};
use crate::{Error, Id, Result};

/// One offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// What was offered.
    pub offered: Offered,
    /// Whether the agent got it.
    pub delivery: Delivery,
    /// How likely it was to be injected, 0 to 1: 1 where nothing is ever withheld.
    pub propensity: f32,
    /// When in the task.
    pub point: DeliveryPoint,
    /// Before which step, counted from 0.
    pub step: u32,
    /// Its place among what was found, from 0.
    pub rank: u32,
    /// Its score in the search.
    pub score: f32,
    /// When, ms since 1970; 0 when unknown.
    pub exposed_at_ms: u64,
}

/// What can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offered {
    /// A strategy, as words in the prompt.
    Strategy(Id<Strategy>),
    /// The KV log of a trajectory, as attention.
    KvLog(Id<Trajectory>),
}

/// Whether the agent got what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// It did.
    Injected = 1,
    /// It would have, but it was held back to see what happens without.
    Withheld = 2,
    /// It was found and not used: no room, too far down the list.
    Unused = 3,
}

/// When in a task something was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeliveryPoint {
    /// Before the first step.
    TaskStart = 1,
    /// Before an action that it speaks about.
    BeforeAction = 2,
    /// After an error that it speaks about.
    AfterError = 3,
    /// When the agent asked.
    OnDemand = 4,
}

impl Offered {
    /// The number of the record, unique in the database whatever its kind.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Strategy(id) => id.as_u64(),
            Self::KvLog(id) => id.as_u64(),
        }
    }
}

impl Delivery {
    /// The delivery with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Injected, Self::Withheld, Self::Unused].into_iter().find(|delivery| *delivery as u8 == code)
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Withheld => "withheld",
            Self::Unused => "unused",
        }
    }
}

impl DeliveryPoint {
    /// The point with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::TaskStart, Self::BeforeAction, Self::AfterError, Self::OnDemand]
            .into_iter()
            .find(|point| *point as u8 == code)
    }
}

impl Exposure {
    /// Injected before the first step, as the best of what was found, with nothing withheld.
    pub fn injected(offered: Offered) -> Self {
        Self {
            offered,
            delivery: Delivery::Injected,
            propensity: 1.0,
            point: DeliveryPoint::TaskStart,
            step: 0,
            rank: 0,
            score: 0.0,
            exposed_at_ms: 0,
        }
    }

    /// Withheld, although it would have been injected with probability `propensity`.
    pub fn withheld(offered: Offered, propensity: f32) -> Self {
        Self { delivery: Delivery::Withheld, propensity, ..Self::injected(offered) }
    }

    /// Found and not used.
    pub fn unused(offered: Offered) -> Self {
        Self { delivery: Delivery::Unused, ..Self::injected(offered) }
    }

    /// Whether it may be stored.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the propensity is no probability, or one with which this could not have happened, or the
    /// score is not finite.
    pub fn check(&self) -> Result<()> {
        let possible = match self.delivery {
            Delivery::Injected => self.propensity > 0.0 && self.propensity <= 1.0,
            Delivery::Withheld => self.propensity >= 0.0 && self.propensity < 1.0,
            Delivery::Unused => (0.0..=1.0).contains(&self.propensity),
        };
        if !possible {
            let detail = format!("{} of what was {}", self.propensity, self.delivery.as_str());
            return Err(Error::invalid("propensity", detail));
        }
        if !self.score.is_finite() {
            return Err(Error::invalid("score", format!("{} is not finite", self.score)));
        }
        Ok(())
    }
}
