//! Which records count: properties joined by and, or, not.
//!
//! A filter is kept in postfix order, so that neither its evaluation nor its end recurses, however it was built. It is
//! evaluated twice: over bitmaps, to find; and over each record that was found, because a bitmap that lost a row would
//! let in what was to be left out.

use super::property::Property;
use crate::record::{EmbeddingSpace, Outcome, Record, Status, StrategyKind, Trajectory, Trust};
use crate::{Error, Id, Result};
use roaring::RoaringBitmap;
use std::fmt;
use std::ops::{BitAnd, BitOr, Bound, Not, RangeBounds};

/// Properties and operators of one filter.
const N_PARTS: usize = 65_536;

/// Which records count. Filters are joined with `&`, `|` and `!`.
///
/// ```
/// use lagdb::{Filter, Outcome, Trust};
/// let solved = Filter::any_of([Outcome::Success, Outcome::Partial].map(Filter::outcome));
/// let wanted = solved & !Filter::label("draft") & Filter::trust(Trust::Medium..);
/// assert!(wanted.to_string().starts_with("(((outcome success or outcome partial) and not label \"draft\")"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Is(Property),
    Not,
    And,
    Or,
}

impl Filter {
    fn is(property: Property) -> Self {
        Self { parts: vec![Part::Is(property)] }
    }

    /// Every record.
    pub fn everything() -> Self {
        Self::is(Property::Everything)
    }

    /// Trajectories: by the latest judgment. Strategies: with evidence from a trajectory that has this outcome now, so
    /// that a contrast is found under both; whether that evidence supports or contradicts the strategy is not asked, for
    /// a failed run can support one.
    pub fn outcome(outcome: Outcome) -> Self {
        Self::is(Property::Outcome(outcome))
    }

    /// Strategies of this kind; no trajectory has a kind.
    pub fn kind(kind: StrategyKind) -> Self {
        Self::is(Property::Kind(kind))
    }

    /// Records with this label.
    pub fn label(label: impl Into<String>) -> Self {
        Self::is(Property::Label(label.into()))
    }

    /// Records about this domain.
    pub fn domain(domain: impl Into<String>) -> Self {
        Self::is(Property::Domain(domain.into()))
    }

    /// Strategies with this status; no trajectory has one. A query that filters by a status is asked for strategies of
    /// any status, others for active ones.
    pub fn status(status: Status) -> Self {
        Self::is(Property::Status(status))
    }

    /// Records to be believed so far, such as `Trust::Medium..`.
    pub fn trust(range: impl RangeBounds<Trust>) -> Self {
        Self::any_of(
            Trust::ALL.into_iter().filter(|trust| range.contains(trust)).map(|trust| Self::is(Property::Trust(trust))),
        )
    }

    /// Trajectories that began, and strategies that were distilled, in this range of ms since 1970; never those whose
    /// time is not known.
    pub fn time_ms(range: impl RangeBounds<u64>) -> Self {
        let first = match range.start_bound() {
            Bound::Included(ms) => Some(*ms),
            Bound::Excluded(ms) => ms.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let last = match range.end_bound() {
            Bound::Included(ms) => Some(*ms),
            Bound::Excluded(ms) => ms.checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        match (first, last) {
            (Some(first), Some(last)) => Self::is(Property::Time(first, last)),
            _ => !Self::everything(),
        }
    }

    /// Records whose time was over at `ms` since 1970. A query that filters by this, or by [`Status::Expired`], is asked for
    /// what is over too; others only for what holds at the [time](crate::Snapshot::now_ms) of the snapshot.
    pub fn expired_at(ms: u64) -> Self {
        Self::is(Property::Expired(ms))
    }

    /// Trajectories in which this action was taken, strategies that speak about it; by its signature.
    pub fn action_signature(signature: impl Into<String>) -> Self {
        Self::is(Property::Action(signature.into()))
    }

    /// Trajectories in which this error was met, strategies that speak about it; by its signature.
    pub fn error_signature(signature: impl Into<String>) -> Self {
        Self::is(Property::Error(signature.into()))
    }

    /// Trajectories of this very task text, and strategies with evidence from one.
    pub fn task(task: impl Into<String>) -> Self {
        Self::is(Property::Task(task.into()))
    }

    /// Trajectories of this rollout group, and strategies with evidence from one.
    pub fn group(group: impl Into<String>) -> Self {
        Self::is(Property::Group(group.into()))
    }

    /// This record.
    pub fn id<R: Record>(id: Id<R>) -> Self {
        Self::is(Property::Record(R::KIND, id.as_u64()))
    }

    /// Strategies with evidence from this trajectory.
    pub fn evidence(trajectory: Id<Trajectory>) -> Self {
        Self::is(Property::Evidence(trajectory))
    }

    /// Trajectories that have a KV log.
    pub fn has_kv_log() -> Self {
        Self::is(Property::KvLog)
    }

    /// Records with an embedding in this space.
    pub fn embedded_in(space: &EmbeddingSpace) -> Self {
        Self::is(Property::Embedded(space.clone()))
    }

    /// Records that all of these let through; every record when there are none.
    pub fn all_of(filters: impl IntoIterator<Item = Self>) -> Self {
        filters.into_iter().reduce(BitAnd::bitand).unwrap_or_else(Self::everything)
    }

    /// Records that one of these lets through; none when there are none.
    pub fn any_of(filters: impl IntoIterator<Item = Self>) -> Self {
        filters.into_iter().reduce(BitOr::bitor).unwrap_or_else(|| !Self::everything())
    }

    /// Whether it may be asked.
    pub(super) fn check(&self) -> Result<()> {
        if self.parts.len() > N_PARTS {
            return Err(Error::invalid("filter", format!("{} parts; {N_PARTS} are allowed", self.parts.len())));
        }
        self.properties().try_for_each(Property::check)
    }

    /// Whether it asks for a status.
    pub(super) fn names_status(&self) -> bool {
        self.properties().any(|property| matches!(property, Property::Status(_)))
    }

    /// Whether it asks for what is over.
    pub(super) fn names_expiry(&self) -> bool {
        self.properties().any(|of| matches!(of, Property::Expired(_) | Property::Status(Status::Expired)))
    }

    fn properties(&self) -> impl Iterator<Item = &Property> {
        self.parts.iter().filter_map(|part| match part {
            Part::Is(property) => Some(property),
            _ => None,
        })
    }

    /// Those of `all` that it lets through, where `of` says who has a property.
    pub(super) fn select(
        &self,
        all: &RoaringBitmap,
        mut of: impl FnMut(&Property) -> Result<RoaringBitmap>,
    ) -> Result<RoaringBitmap> {
        self.evaluate(|property| Ok(of(property)? & all), |a| Ok(all - a), |a, b| Ok(a & b), |a, b| Ok(a | b))
    }

    /// Whether it lets a record through, where `of` says whether the record has a property; `None` where that depends on
    /// records that are gone.
    pub(super) fn holds(&self, of: impl FnMut(&Property) -> Result<Option<bool>>) -> Result<Option<bool>> {
        let and = |a, b| match (a, b) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        let not = |a: Option<bool>| a.map(|a| !a);
        self.evaluate(of, |a| Ok(not(a)), |a, b| Ok(and(a, b)), |a, b| Ok(not(and(not(a), not(b)))))
    }

    fn evaluate<T>(
        &self,
        mut is: impl FnMut(&Property) -> Result<T>,
        mut not: impl FnMut(T) -> Result<T>,
        mut and: impl FnMut(T, T) -> Result<T>,
        mut or: impl FnMut(T, T) -> Result<T>,
    ) -> Result<T> {
        let mut stack = Vec::new();
        // Every constructor leaves one value on the stack, so none is ever missing.
        let missing = || Error::invalid("filter", "an operator without operands");
        for part in &self.parts {
            let value = match part {
                Part::Is(property) => is(property)?,
                Part::Not => not(stack.pop().ok_or_else(missing)?)?,
                Part::And | Part::Or => {
                    let (second, first) = (stack.pop().ok_or_else(missing)?, stack.pop().ok_or_else(missing)?);
                    if *part == Part::And { and(first, second)? } else { or(first, second)? }
                }
            };
            stack.push(value);
        }
        stack.pop().ok_or_else(missing)
    }

    fn joined(mut self, other: Self, by: Part) -> Self {
        self.parts.extend(other.parts);
        self.parts.push(by);
        self
    }
}

impl BitAnd for Filter {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.joined(other, Part::And)
    }
}

impl BitOr for Filter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.joined(other, Part::Or)
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(mut self) -> Self {
        self.parts.push(Part::Not);
        self
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.evaluate(
            |property| Ok(property.to_string()),
            |a| Ok(format!("not {a}")),
            |a, b| Ok(format!("({a} and {b})")),
            |a, b| Ok(format!("({a} or {b})")),
        );
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}
