//! Who says how an attempt ended.
//!
//! | judge | asks | abstains when |
//! |---|---|---|
//! | [`Verifier`] | the environment | it cannot tell |
//! | [`ModelJudge`] | a model, at temperature 0 | the reply has no verdict |
//! | [`Ensemble`] | several judges | they disagree too much |
//!
//! An abstention is a judgment of [`Outcome::Unknown`], which counts for and against nothing; so is that of an attempt whose
//! environment broke down, or whose model did. An error is only what kept a judge from being asked at all; what was lived is
//! then remembered all the same, as judged by nobody.

mod ensemble;
mod model;
mod verifier;

pub use ensemble::Ensemble;
pub use model::{ModelJudge, Verdict};
pub use verifier::Verifier;

use super::{Attempt, Ending, Environment};
use crate::{Judgment, JudgmentSource, Outcome, Result};

/// Who abstains where the environment does not judge.
const ENVIRONMENT: &str = "environment";
/// Who abstains where a judge could not be asked.
const NOBODY: &str = "nobody";

/// Says how an attempt ended.
pub trait Judge: Send + Sync {
    /// What is said of `attempt`, right after it was made in `environment`.
    ///
    /// # Errors
    /// When a model that is asked gives no reply at all. A reply that says nothing is no error but [`Outcome::Unknown`].
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment>;
}

/// Which mistake of a judge is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Caution {
    /// To call a failure a success: it is distilled, recalled and copied.
    #[default]
    AgainstFalseSuccess,
    /// To call a success a failure.
    AgainstFalseFailure,
    /// Neither.
    Even,
}

/// The abstention that an attempt deserves whose environment or model broke down.
fn broke_down(attempt: &Attempt) -> Option<Judgment> {
    match &attempt.ending {
        Ending::EnvironmentFailed(error) => Some(abstained(format!("the environment failed: {error}"))),
        Ending::ModelFailed(error) => Some(by_nobody(format!("the model failed: {error}"))),
        Ending::Done | Ending::StepLimit => None,
    }
}

/// The environment abstains.
fn abstained(why: String) -> Judgment {
    Judgment::new(Outcome::Unknown, ENVIRONMENT).source(JudgmentSource::Environment).rationale(why)
}

/// Nobody judged.
fn by_nobody(why: String) -> Judgment {
    Judgment::new(Outcome::Unknown, NOBODY).rationale(why)
}

/// What `judge` says of an attempt that was lived: an abstention where it cannot be asked, or says what cannot be kept.
pub(super) fn judged(judge: &dyn Judge, environment: &mut dyn Environment, attempt: &Attempt) -> Judgment {
    let said = judge.judge(environment, attempt).and_then(|judgment| judgment.check().map(|()| judgment));
    said.unwrap_or_else(|error| by_nobody(format!("the judge could not be asked: {error}")))
}
