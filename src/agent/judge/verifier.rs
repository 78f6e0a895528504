//! The environment as a judge: its reward, its final state.

use super::{Judge, abstained, broke_down};
use crate::agent::{Attempt, Environment};
use crate::{Judgment, Result};

/// Lets the [environment](Environment::verify) judge; abstains where it cannot tell, or broke down.
///
/// It is the truth where an environment knows it. Attempts that stop at its success ([`Allot`](crate::agent::Allot)) are what an
/// agent with an oracle would reach, not what one reaches by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verifier;

impl Judge for Verifier {
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment> {
        if let Some(judgment) = broke_down(attempt) {
            return Ok(judgment);
        }
        Ok(match environment.verify(&attempt.steps) {
            Ok(Some(judgment)) => judgment,
            Ok(None) => abstained("the environment cannot tell".to_owned()),
            Err(error) => abstained(format!("the check failed: {error}")),
        })
    }
}
