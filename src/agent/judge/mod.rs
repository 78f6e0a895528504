//! Who says how an attempt ended.
//!
//! A judge that cannot tell abstains: its judgment is [`Outcome::Unknown`](crate::Outcome::Unknown), which counts for and against nothing. So
//! does one whose environment broke down. An error is only what kept the judge from being asked at all.

mod verifier;

pub use verifier::Verifier;

use super::{Attempt, Environment};
use crate::{Judgment, Result};

/// Says how an attempt ended.
pub trait Judge: Send + Sync {
    /// What is said of `attempt`, right after it was made in `environment`.
    ///
    /// # Errors
    /// When a model that is asked gives no reply at all. A reply that says nothing is no error but
    /// [`Outcome::Unknown`](crate::Outcome::Unknown).
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment>;
}
