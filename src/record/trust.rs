//! How far the text of a record may be believed: as far as the least believable of what it was made from.
//!
//! A lesson cannot launder its sources: [`Transaction::put`](crate::Transaction::put) lowers the trust of a strategy to
//! the least trust of the trajectories of its evidence.

/// How far a record may be believed; later ones further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Trust {
    /// Holds text of strangers: web pages, mails, what a tool fetched.
    Low = 1,
    /// What the agent lived and wrote itself.
    #[default]
    Medium = 2,
    /// Written or checked by someone who answers for it.
    High = 3,
}

impl Trust {
    /// All, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The trust with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|trust| *trust as u8 == code)
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
