//! The tables, in ten lines. Keys are big-endian, so that their order is the order of their parts.

/// A table of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// `name` → [`State`](super::row::State) (one row), [`SpaceRow`](super::row::SpaceRow) (one row at most);
    /// an empty row while something purged is being erased; [`EvictedRow`](super::row::EvictedRow) (one row at most).
    Meta,
    /// `scope name` → [`ScopeRow`](super::row::ScopeRow).
    Scopes,
    /// `scope, id` → [`Trajectory`](crate::Trajectory).
    Trajectories,
    /// `scope, id` → [`Strategy`](crate::Strategy).
    Strategies,
    /// `scope, trajectory, number` → [`Judgment`](crate::Judgment), numbered from 0.
    Judgments,
    /// `scope, id` → the numbers of a unit vector, f32.
    Embeddings,
    /// `scope, field, value, upper half of the ids` → roaring bitmap of at most 65,536 ids.
    Bitmaps,
    /// `scope, trajectory` → [`KvLogRow`](super::row::KvLogRow)s, one per model.
    KvLogs,
    /// `segment` → [`SegmentRow`](super::row::SegmentRow).
    Segments,
}

impl Table {
    /// All tables.
    pub(crate) const ALL: [Self; 9] = [
        Self::Meta,
        Self::Scopes,
        Self::Trajectories,
        Self::Strategies,
        Self::Judgments,
        Self::Embeddings,
        Self::Bitmaps,
        Self::KvLogs,
        Self::Segments,
    ];

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
            Self::Segments => "segments",
        }
    }
}
