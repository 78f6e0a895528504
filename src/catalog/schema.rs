//! The tables, in ten lines. Keys are big-endian, so that their order is the order of their parts.

/// A table of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// `name` → [`State`](super::row::State) (one row), [`SpaceRow`](super::row::SpaceRow) or
    /// [`SpacesRow`](super::row::SpacesRow) (one row at most);
    /// an empty row while something purged is being erased; [`EvictedRow`](super::row::EvictedRow) (one row at most),
    /// [`DerivedRow`](super::row::DerivedRow) (one row, unless the catalog is an older one).
    Meta,
    /// `scope name` → [`ScopeRow`](super::row::ScopeRow).
    Scopes,
    /// `scope, id` → [`Trajectory`](crate::Trajectory).
    Trajectories,
    /// `scope, id` → [`Strategy`](crate::Strategy).
    Strategies,
    /// `scope, trajectory, number` → [`Judgment`](crate::Judgment), numbered from 0.
    Judgments,
    /// `scope, id, number of the space unless it is 0` → the numbers of a unit vector, f32.
    Embeddings,
    /// `scope, field, value, upper half of the ids` → roaring bitmap of at most 65,536 ids.
    Bitmaps,
    /// `scope, trajectory` → [`KvLogRow`](super::row::KvLogRow)s, one per model.
    KvLogs,
    /// `scope, trajectory` → all [`Exposure`](crate::Exposure)s of a trajectory.
    Exposures,
    /// `scope, id` → what is counted of a strategy, or of the KV logs of a trajectory.
    Counters,
    /// `segment` → [`SegmentRow`](super::row::SegmentRow).
    Segments,
}

impl Table {
    /// All tables.
    pub(crate) const ALL: [Self; 11] = [
        Self::Meta,
        Self::Scopes,
        Self::Trajectories,
        Self::Strategies,
        Self::Judgments,
        Self::Embeddings,
        Self::Bitmaps,
        Self::KvLogs,
        Self::Exposures,
        Self::Counters,
        Self::Segments,
    ];

    /// Whether the first version had it; later ones are made when an older catalog is opened.
    pub(crate) fn is_in_every_catalog(self) -> bool {
        !matches!(self, Self::Exposures | Self::Counters)
    }

    /// Its name in redb, and in the checksum of its values.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Scopes => "scopes",
            Self::Trajectories => "trajectories",
            Self::Strategies => "strategies",
            Self::Judgments => "judgments",
            Self::Embeddings => "embeddings",
            Self::Bitmaps => "bitmaps",
            Self::KvLogs => "kv_logs",
            Self::Exposures => "exposures",
            Self::Counters => "counters",
            Self::Segments => "segments",
        }
    }
}
