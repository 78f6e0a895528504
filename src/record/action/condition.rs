//! What a trajectory has shown before an action: the conditions under which a lesson holds.
//!
//! A condition is a fact that both sides can tell without a model: which tools were called, what they answered about the
//! thing that is acted on, whether the action changes it, whether the user agreed. Its text is part of a signature.

use super::digest;
use std::fmt;

/// Bytes of each text that stand in a condition.
const TEXT_BYTES: usize = 120;

/// One fact about what came before an action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// This tool was called and did not fail.
    After(String),
    /// This tool was not called yet, or only failed.
    Before(String),
    /// What is acted on was shown with this field: `cabin=basic_economy`.
    Seen {
        /// The field.
        name: String,
        /// Its value.
        value: String,
    },
    /// This argument has another value than what is acted on was shown with.
    Changes(String),
    /// This argument has the value that what is acted on was shown with.
    Keeps(String),
    /// Something is named that nobody has shown.
    Unheard,
    /// The user did not agree in the last message.
    Unconfirmed,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(tool) => write!(f, "after {}", short(tool)),
            Self::Before(tool) => write!(f, "before any {}", short(tool)),
            Self::Seen { name, value } => write!(f, "{}={} seen", short(name), short(value)),
            Self::Changes(argument) => write!(f, "{} changes", short(argument)),
            Self::Keeps(argument) => write!(f, "{} stays", short(argument)),
            Self::Unheard => f.write_str("something unheard of"),
            Self::Unconfirmed => f.write_str("unconfirmed"),
        }
    }
}

fn short(text: &str) -> String {
    if text.len() > TEXT_BYTES { digest(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_read_as_words() {
        let seen = Condition::Seen { name: "cabin".into(), value: "basic_economy".into() };
        assert_eq!(seen.to_string(), "cabin=basic_economy seen");
        assert_eq!(Condition::Before("get_details".into()).to_string(), "before any get_details");
        assert!(Condition::After("x".repeat(9999)).to_string().len() < 50);
    }
}
