//! One thing that a filter asks of a record: who has it by the bitmaps, and whether a record has it by its rows.

use crate::catalog::ScopeId;
use crate::catalog::spaces::Spaces;
use crate::index::bitmaps::{self, Field, document};
use crate::record::{
    EmbeddingSpace, Outcome, Record, RecordKind, Status, Strategy, StrategyKind, Trajectory, Trust, limits,
};
use crate::{Error, Id, Result, Snapshot};
use roaring::RoaringBitmap;
use std::fmt;

/// Pieces of evidence that are looked at of one strategy.
const N_ASKED: usize = 8;

/// What a record can have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Property {
    Everything,
    Outcome(Outcome),
    Kind(StrategyKind),
    Label(String),
    Domain(String),
    Status(Status),
    Trust(Trust),
    /// The first and the last ms.
    Time(u64, u64),
    /// Whose time is over at this ms.
    Expired(u64),
    Action(String),
    Error(String),
    Task(String),
    Group(String),
    Record(RecordKind, u64),
    Evidence(Id<Trajectory>),
    KvLog,
    Embedded(EmbeddingSpace),
}

impl Property {
    /// Whether it can be asked for.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Label(label) => limits::check_name("label", label),
            Self::Domain(domain) => limits::check_name("domain", domain),
            Self::Group(group) => limits::check_name("rollout group", group),
            Self::Action(signature) => limits::check_signature("action signature", signature),
            Self::Error(signature) => limits::check_signature("error signature", signature),
            Self::Task(task) if task.is_empty() => Err(Error::invalid("task", "is empty")),
            Self::Time(first, last) if first > last => Err(Error::invalid("time", format!("{first} to {last}"))),
            _ => Ok(()),
        }
    }

    /// Who has it, among others that are not there any more.
    pub(super) fn bitmap(
        &self,
        snapshot: &Snapshot,
        scope: ScopeId,
        all: &RoaringBitmap,
        kind: RecordKind,
    ) -> Result<RoaringBitmap> {
        let field = match self {
            Self::Everything => return Ok(all.clone()),
            Self::Time(first, last) => return Date::Began.between((*first, *last), snapshot, scope, all, kind),
            Self::Expired(ms) => return Date::Over.between((0, *ms), snapshot, scope, all, kind),
            Self::Record(of, id) => {
                let named = if *of == kind { document(*id).ok() } else { None };
                return Ok(named.into_iter().collect());
            }
            Self::Embedded(space) => match Spaces::read(&snapshot.rows)?.require(space) {
                Ok(number) => Field::Embedded(number),
                Err(_) => return Ok(RoaringBitmap::new()),
            },
            Self::Outcome(outcome) => Field::Outcome(*outcome),
            Self::Kind(kind) => Field::Kind(*kind),
            Self::Label(label) => Field::Label(label),
            Self::Domain(domain) => Field::Domain(domain),
            Self::Status(status) => Field::Status(*status),
            Self::Trust(trust) => Field::Trust(*trust),
            Self::Action(signature) if kind == RecordKind::Strategy => Field::OnAction(signature),
            Self::Action(signature) => Field::Action(signature),
            Self::Error(signature) if kind == RecordKind::Strategy => Field::OnError(signature),
            Self::Error(signature) => Field::Error(signature),
            Self::Task(task) => Field::Task(task),
            Self::Group(group) => Field::Group(group),
            Self::Evidence(trajectory) => Field::Evidence(*trajectory),
            Self::KvLog => Field::KvLog,
        };
        bitmaps::load(&snapshot.rows, scope, field)
    }

    /// Whether a record has it by what its rows say; `None` where that depends on a trajectory that is gone.
    pub(super) fn holds<R: Record>(&self, snapshot: &Snapshot, id: Id<R>, record: &R) -> Result<Option<bool>> {
        let known = match self {
            Self::Everything => true,
            Self::Label(label) => record.labels().contains(label),
            Self::Domain(domain) => record.domain() == Some(domain),
            Self::Trust(trust) => record.trust() == *trust,
            Self::Time(first, last) => record.time_ms().is_some_and(|ms| (*first..=*last).contains(&ms)),
            Self::Expired(ms) => record.is_over(*ms),
            Self::Record(kind, of) => *kind == R::KIND && *of == id.as_u64(),
            Self::Embedded(space) => match Spaces::read(&snapshot.rows)?.find(space) {
                Some(known) => snapshot.embedding_of(id, known)?.is_some(),
                None => false,
            },
            _ => {
                if let Some(strategy) = record.as_strategy() {
                    return self.holds_of_strategy(snapshot, strategy);
                }
                match record.as_trajectory() {
                    Some(trajectory) => self.holds_of_trajectory(snapshot, Id::from_u64(id.as_u64()), trajectory)?,
                    None => false,
                }
            }
        };
        Ok(Some(known))
    }

    fn holds_of_trajectory(&self, snapshot: &Snapshot, id: Id<Trajectory>, trajectory: &Trajectory) -> Result<bool> {
        let mut steps = trajectory.steps.iter();
        Ok(match self {
            Self::Outcome(outcome) => snapshot.outcome(id)? == *outcome,
            Self::Action(signature) => steps.any(|step| step.action_signature.as_ref() == Some(signature)),
            Self::Error(signature) => steps.any(|step| step.error_signature.as_ref() == Some(signature)),
            Self::Task(task) => trajectory.task == *task,
            Self::Group(group) => trajectory.rollout.as_ref().is_some_and(|rollout| rollout.group == *group),
            Self::KvLog => !snapshot.kv_log_rows(id)?.logs.is_empty(),
            _ => false,
        })
    }

    fn holds_of_strategy(&self, snapshot: &Snapshot, strategy: &Strategy) -> Result<Option<bool>> {
        Ok(Some(match self {
            Self::Kind(kind) => strategy.kind == *kind,
            Self::Status(status) => strategy.status == *status,
            Self::Action(signature) => strategy.action_signatures.contains(signature),
            Self::Error(signature) => strategy.error_signatures.contains(signature),
            Self::Evidence(from) => strategy.provenance.evidence.iter().any(|evidence| evidence.trajectory == *from),
            Self::Task(_) | Self::Group(_) => return self.inherited(snapshot, strategy),
            Self::Outcome(outcome) => {
                for evidence in &strategy.provenance.evidence {
                    let from = evidence.trajectory;
                    if snapshot.contains(from)? && snapshot.outcome(from)? == *outcome {
                        return Ok(Some(true));
                    }
                }
                false
            }
            _ => false,
        }))
    }

    /// Whether a trajectory of its evidence has it, of which the latest are asked: this is a second look at what the bitmaps
    /// said, and must not read a lesson's whole history for every hit.
    fn inherited(&self, snapshot: &Snapshot, strategy: &Strategy) -> Result<Option<bool>> {
        let evidence = &strategy.provenance.evidence;
        let mut answer = (evidence.len() <= N_ASKED).then_some(false);
        for evidence in evidence.iter().rev().take(N_ASKED) {
            match snapshot.get(evidence.trajectory)? {
                Some(trajectory) if self.holds_of_trajectory(snapshot, evidence.trajectory, &trajectory)? => {
                    return Ok(Some(true));
                }
                Some(_) => {}
                None => answer = None,
            }
        }
        Ok(answer)
    }
}

/// A date of a record, filed by the hour.
#[derive(Clone, Copy)]
enum Date {
    /// When it began or was made.
    Began,
    /// When its time is over.
    Over,
}

impl Date {
    fn field(self, hour: u64) -> Field<'static> {
        match self {
            Self::Began => Field::Hour(hour),
            Self::Over => Field::Expiry(hour),
        }
    }

    /// Who has it in these ms: by the hour, and in the first and the last hour by the records themselves.
    fn between(
        self,
        (first, last): (u64, u64),
        snapshot: &Snapshot,
        scope: ScopeId,
        all: &RoaringBitmap,
        kind: RecordKind,
    ) -> Result<RoaringBitmap> {
        let hours = bitmaps::hour(first)..=bitmaps::hour(last);
        let mut found = bitmaps::load_hours(&snapshot.rows, scope, self.field(0), &hours)? & all;
        if found.is_empty() {
            return Ok(found);
        }
        for edge in [*hours.start(), *hours.end()] {
            for number in bitmaps::load(&snapshot.rows, scope, self.field(edge))? & &found {
                let ms = match kind {
                    RecordKind::Trajectory => self.of::<Trajectory>(snapshot, number)?,
                    RecordKind::Strategy => self.of::<Strategy>(snapshot, number)?,
                };
                if !ms.is_some_and(|ms| (first..=last).contains(&ms)) {
                    found.remove(number);
                }
            }
        }
        Ok(found)
    }

    fn of<R: Record>(self, snapshot: &Snapshot, number: u32) -> Result<Option<u64>> {
        let record = snapshot.get(Id::<R>::from_u64(u64::from(number)))?;
        Ok(record.and_then(|record| match self {
            Self::Began => record.time_ms(),
            Self::Over => record.expires_at_ms(),
        }))
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Outcome(outcome) => write!(f, "outcome {}", outcome.as_str()),
            Self::Kind(kind) => write!(f, "kind {}", kind.as_str()),
            Self::Label(label) => write!(f, "label {label:?}"),
            Self::Domain(domain) => write!(f, "domain {domain:?}"),
            Self::Status(status) => write!(f, "status {}", status.as_str()),
            Self::Trust(trust) => write!(f, "trust {}", trust.as_str()),
            Self::Time(first, last) => write!(f, "time {first} to {last} ms"),
            Self::Expired(ms) => write!(f, "expired at {ms} ms"),
            Self::Action(signature) => write!(f, "action {signature:?}"),
            Self::Error(signature) => write!(f, "error {signature:?}"),
            Self::Task(task) => write!(f, "task {task:?}"),
            Self::Group(group) => write!(f, "group {group:?}"),
            Self::Record(kind, id) => write!(f, "{} {id}", kind.as_str()),
            Self::Evidence(trajectory) => write!(f, "evidence from trajectory {trajectory}"),
            Self::KvLog => f.write_str("a KV log"),
            Self::Embedded(space) => write!(f, "an embedding in {space}"),
        }
    }
}
