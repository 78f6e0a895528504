//! Of the signatures of an action that failed, those that no success has too.
//!
//! What a success also did cannot be why the other failed. So a signature at any level is *refuted* by a success that
//! took an action with the same signature; what is left is as general as the evidence allows. This is the candidate
//! elimination of a version space with conjunctions of one or two terms (Mitchell, *Generalization as search*, 1982,
//! <https://doi.org/10.1016/0004-3702(82)90040-6>), with the successes as its negative examples.

use super::{Action, Condition, Level};
use crate::record::limits;

/// Signatures of `action` at these levels that `is_refuted` does not say of a success; [`limits::N_SIGNATURES`] at most,
/// in the order of the levels.
pub fn most_general(
    action: &Action,
    conditions: &[Condition],
    levels: &[Level],
    is_refuted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let all = levels.iter().flat_map(|level| action.signatures(*level, conditions));
    let mut left: Vec<String> = Vec::new();
    for signature in all {
        if !is_refuted(&signature) && !left.contains(&signature) {
            left.push(signature);
        }
    }
    left.truncate(limits::N_SIGNATURES);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_success_did_too_is_not_why_it_failed() {
        let call = |id: &str| Action::new("cancel").and_then(|it| it.argument("id", id)).unwrap();
        let success = call("\"A\"");
        let refuted =
            |signature: &str| Level::ALL.iter().any(|l| success.signatures(*l, &[]).iter().any(|s| s == signature));
        assert_eq!(most_general(&call("\"B\""), &[], &Level::ALL, refuted), ["cancel(id=\"B\")"]);
        assert!(most_general(&success, &[], &Level::ALL, refuted).is_empty());
        assert_eq!(most_general(&success, &[], &[Level::Tool], |_| false), ["cancel(*)"]);
    }
}
