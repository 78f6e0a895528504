//! The environment as a judge: its reward, its final state.

use super::Judge;
use crate::agent::{Attempt, Ending, Environment};
use crate::{Judgment, JudgmentSource, Outcome, Result};

/// Who abstains where the environment does not judge.
const NAME: &str = "environment";

/// Lets the [environment](Environment::verify) judge; abstains where it cannot tell, or broke down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verifier;

impl Judge for Verifier {
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment> {
        if let Ending::EnvironmentFailed(error) = &attempt.ending {
            return Ok(abstained(format!("the environment failed: {error}")));
        }
        Ok(match environment.verify(&attempt.steps) {
            Ok(Some(judgment)) => judgment,
            Ok(None) => abstained("the environment cannot tell".to_owned()),
            Err(error) => abstained(format!("the check failed: {error}")),
        })
    }
}

fn abstained(why: String) -> Judgment {
    Judgment::new(Outcome::Unknown, NAME).source(JudgmentSource::Environment).rationale(why)
}
