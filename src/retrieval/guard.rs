//! Before an action or after an error: the lessons of failures that speak about it. No model, no embedding: one look-up
//! of the signature, and one of each lesson.

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
        limits::check_signature("action signature", action_signature)?;
        self.lessons(Field::OnAction(action_signature), |strategy| &strategy.action_signatures, action_signature)
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
        limits::check_signature("error signature", error_signature)?;
        self.lessons(Field::OnError(error_signature), |strategy| &strategy.error_signatures, error_signature)
    }

    fn lessons(
        &self,
        field: Field<'_>,
        signatures: fn(&Strategy) -> &[String],
        signature: &str,
    ) -> Result<Vec<Lesson>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let mut lessons = Vec::new();
        for number in bitmaps::load(&self.rows, scope, field)?.iter().rev() {
            let (id, strategy) = self.indexed::<Strategy>(number)?;
            let warns = matches!(strategy.kind, StrategyKind::Guardrail | StrategyKind::Contrast);
            // The index knows signatures by their digest.
            let is_meant = signatures(&strategy).iter().any(|of| of == signature);
            if warns && is_meant && strategy.status == Status::Active && !strategy.is_over(self.now_ms()) {
                lessons.push(Lesson { id, strategy });
            }
        }
        Ok(lessons)
    }
}
