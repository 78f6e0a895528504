//! Whether a strategy is given to agents. What is not [`Status::Active`] stays readable and is found when asked for.

/// What became of a strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Given to agents.
    #[default]
    Active = 1,
    /// Held back by whoever runs the database.
    Suspended = 2,
    /// Some of what it was distilled from is gone, or an agent has put it aside: it has to be distilled again.
    Stale = 3,
    /// Another strategy took its place: [`Strategy::superseded_by`](super::Strategy::superseded_by).
    Superseded = 4,
    /// Its time is over, as its `expires_at_ms` says.
    Expired = 5,
}

impl Status {
    /// All, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Active, Self::Suspended, Self::Stale, Self::Superseded, Self::Expired];

    /// The status with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u8 == code)
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Stale => "stale",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
        }
    }
}
