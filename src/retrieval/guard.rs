//! Before an action or after an error: the lessons of failures that speak about it. No model, no embedding: one look-up
//! of the signature, and one of each lesson.

use super::Filter;
use crate::index::bitmaps::{self, Field};
use crate::record::{Record, Status, Strategy, StrategyKind, limits};
use crate::{Id, Result, Snapshot};

/// A lesson that speaks about what is about to happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// Its id.
    pub id: Id<Strategy>,
    /// The lesson.
    pub strategy: Strategy,
}

impl Snapshot {
    /// The active guardrails and contrasts that speak about an action, by its signature, and are not over; the latest put
    /// first.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the signature is empty or too long;
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn guard(&self, action_signature: &str) -> Result<Vec<Lesson>> {
        self.guard_among(action_signature, &Filter::everything(), usize::MAX)
    }

    /// As [`guard`](Self::guard), among the lessons that `filter` lets through, `limit` at most: without those of the task
    /// at hand (`!Filter::group(..)`), or only those to be believed so far.
    ///
    /// # Errors
    /// As [`guard`](Self::guard), and as [`search`](Self::search) for the filter.
    pub fn guard_among(&self, action_signature: &str, filter: &Filter, limit: usize) -> Result<Vec<Lesson>> {
        limits::check_signature("action signature", action_signature)?;
        let spoken = Spoken { signature: action_signature, of: |strategy| &strategy.action_signatures };
        self.lessons(Field::OnAction(action_signature), spoken, filter, limit)
    }

    /// The lessons of [`guard`](Self::guard) for any of these signatures, each once, in the order of the signatures: those
    /// of an [`Action`](crate::Action) at the levels that the agent asks. One look-up each.
    ///
    /// # Errors
    /// As [`guard`](Self::guard).
    pub fn guard_any<S: AsRef<str>>(&self, action_signatures: &[S]) -> Result<Vec<Lesson>> {
        let mut lessons: Vec<Lesson> = Vec::new();
        for signature in action_signatures {
            for lesson in self.guard(signature.as_ref())? {
                if lessons.iter().all(|known| known.id != lesson.id) {
                    lessons.push(lesson);
                }
            }
        }
        Ok(lessons)
    }

    /// The active guardrails and contrasts that speak about an error, by its signature, and are not over; the latest put
    /// first.
    ///
    /// # Errors
    /// As [`guard`](Self::guard).
    pub fn guard_error(&self, error_signature: &str) -> Result<Vec<Lesson>> {
        self.guard_error_among(error_signature, &Filter::everything(), usize::MAX)
    }

    /// As [`guard_error`](Self::guard_error), among the lessons that `filter` lets through, `limit` at most.
    ///
    /// # Errors
    /// As [`guard_among`](Self::guard_among).
    pub fn guard_error_among(&self, error_signature: &str, filter: &Filter, limit: usize) -> Result<Vec<Lesson>> {
        limits::check_signature("error signature", error_signature)?;
        let spoken = Spoken { signature: error_signature, of: |strategy| &strategy.error_signatures };
        self.lessons(Field::OnError(error_signature), spoken, filter, limit)
    }

    fn lessons(&self, field: Field<'_>, spoken: Spoken<'_>, filter: &Filter, limit: usize) -> Result<Vec<Lesson>> {
        filter.check()?;
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let on_it = bitmaps::load(&self.rows, scope, field)?;
        let among = filter.select(&on_it, |property| property.bitmap(self, scope, &on_it, Strategy::KIND))?;
        let mut lessons = Vec::new();
        for number in among.iter().rev() {
            if lessons.len() == limit {
                break;
            }
            let (id, strategy) = self.indexed::<Strategy>(number)?;
            let warns = matches!(strategy.kind, StrategyKind::Guardrail | StrategyKind::Contrast);
            // The index knows signatures by their digest.
            let is_meant = (spoken.of)(&strategy).iter().any(|of| of == spoken.signature);
            if warns && is_meant && strategy.status == Status::Active && !strategy.is_over(self.now_ms()) {
                self.check_let_through(std::slice::from_ref(filter), id, &strategy)?;
                lessons.push(Lesson { id, strategy });
            }
        }
        Ok(lessons)
    }
}

/// A signature, and where in a lesson it stands.
struct Spoken<'a> {
    signature: &'a str,
    of: fn(&Strategy) -> &[String],
}
