//! Bitmaps: for each value of each field, the set of records that have it.
//!
//! A bitmap is kept in rows of at most 65,536 ids (the upper half of an id is part of the key), so that one more record
//! costs one small row however many there are. A text value is filed under its 128-bit digest.
//!
//! A deleted record may leave its id in bitmaps of other records' properties ([`Field::Task`], [`Field::Group`],
//! [`Field::Evidence`]); whoever asks intersects with [`Field::Live`].

use crate::catalog::{BITMAP_SCHEMA, Key, Rows, ScopeId, Table, bitmap_bytes, value};
use crate::record::{Outcome, RecordKind, Status, StrategyKind, Trajectory, Trust};
use crate::{Error, Id, Result};
use roaring::RoaringBitmap;
use std::ops::RangeInclusive;

/// Where the value of a field begins in a key, after the scope and the field's code.
const VALUE_AT: usize = 5;
const HOUR_MS: u64 = 3_600_000;

/// What a bitmap is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// All records of a kind.
    Live(RecordKind),
    /// Records that have an embedding in the space of this number.
    Embedded(u32),
    /// Trajectories by their latest judgment; strategies by those of the trajectories of their evidence.
    Outcome(Outcome),
    /// Records with a label.
    Label(&'a str),
    /// Strategies of a kind.
    Kind(StrategyKind),
    /// Trajectories of this task, and strategies with evidence from one.
    Task(&'a str),
    /// Trajectories of this rollout group, and strategies with evidence from one.
    Group(&'a str),
    /// Strategies with evidence from this trajectory.
    Evidence(Id<Trajectory>),
    /// Trajectories that have a KV log.
    KvLog,
    /// Records with content of this digest, in the form that was newest when they were put.
    Content([u8; 16]),
    /// Records about a domain.
    Domain(&'a str),
    /// Strategies with this status.
    Status(Status),
    /// Records to be believed just so far.
    Trust(Trust),
    /// Trajectories that began, and strategies that were distilled, in this hour since 1970.
    Hour(u64),
    /// Records whose time is over in this hour since 1970.
    Expiry(u64),
    /// Strategies that speak about an action.
    OnAction(&'a str),
    /// Strategies that speak about an error.
    OnError(&'a str),
    /// Trajectories in which an action was taken.
    Action(&'a str),
    /// Trajectories in which an error was met.
    Error(&'a str),
    /// Trajectories to which something was offered.
    Exposed,
    /// Trajectories to which this record, or its KV log, was offered.
    ExposedTo(u64),
}

impl Field<'_> {
    /// The beginning of the keys of its rows.
    pub(crate) fn key(self, scope: ScopeId) -> Key {
        let (code, value) = match self {
            Self::Live(RecordKind::Trajectory) => (1, number(1)),
            Self::Live(RecordKind::Strategy) => (1, number(2)),
            Self::Embedded(space) => (2, number(u64::from(space))),
            Self::Outcome(outcome) => (3, number(outcome as u64)),
            Self::Label(label) => (4, digest(label)),
            Self::Kind(kind) => (5, number(kind as u64)),
            Self::Task(task) => (6, digest(task)),
            Self::Group(group) => (7, digest(group)),
            Self::Evidence(trajectory) => (8, number(trajectory.as_u64())),
            Self::KvLog => (9, number(0)),
            Self::Content(digest) => (32, digest),
            Self::Domain(domain) => (10, digest(domain)),
            Self::Status(status) => (11, number(status as u64)),
            Self::Trust(trust) => (12, number(trust as u64)),
            Self::Hour(hour) => (13, number(hour)),
            Self::Expiry(hour) => (33, number(hour)),
            Self::OnAction(signature) => (14, digest(signature)),
            Self::OnError(signature) => (15, digest(signature)),
            Self::Action(signature) => (16, digest(signature)),
            Self::Error(signature) => (17, digest(signature)),
            Self::Exposed => (18, number(0)),
            Self::ExposedTo(id) => (19, number(id)),
        };
        Key::scope(scope).then(&[code]).then(&value)
    }
}

/// Whether the bitmap under this key says exactly what there is, and not at least that.
pub(crate) fn is_exact(key: &[u8]) -> bool {
    !matches!(key.get(4), Some(6..=8))
}

/// Whether the bitmap under this key says which records there are.
pub(crate) fn is_live(key: &[u8]) -> bool {
    key.get(4) == Some(&1)
}

/// Whether the bitmap under this key holds what strategies inherited from trajectories, which may be gone by now: then
/// no record says it any more.
pub(crate) fn is_inherited(key: &[u8]) -> bool {
    matches!(key.get(4), Some(6 | 7))
}

/// The hour since 1970 that a time in ms lies in.
pub(crate) fn hour(ms: u64) -> u64 {
    ms / HOUR_MS
}

/// All ids of some hours, filed as `field` is. Rows of hours behind them are not read: of what is over by now, those are
/// all that is still to come.
pub(crate) fn load_hours(
    rows: &Rows,
    scope: ScopeId,
    field: Field<'_>,
    hours: &RangeInclusive<u64>,
) -> Result<RoaringBitmap> {
    let mut all = RoaringBitmap::new();
    let any_hour = Key::of(field.key(scope).as_bytes().get(..VALUE_AT).unwrap_or_default());
    let behind = hours.end().checked_add(1).map(|hour| any_hour.clone().then(&number(hour)));
    rows.scan_raw_before(Table::Bitmaps, &any_hour, behind.as_ref(), &mut |key, bytes| {
        // The value is 16 bytes; hours fill the lower eight.
        if Key::u64_at(key, VALUE_AT + 8).is_some_and(|hour| hours.contains(&hour)) {
            all |= parse(key, value::open(Table::Bitmaps, key, bytes)?)?;
        }
        Ok(())
    })?;
    Ok(all)
}

fn number(n: u64) -> [u8; 16] {
    u128::from(n).to_be_bytes()
}

fn digest(text: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(blake3::hash(text.as_bytes()).as_bytes()).for_each(|(to, from)| *to = *from);
    half
}

/// The number of a record as bitmaps hold it.
pub(crate) fn document(id: u64) -> Result<u32> {
    u32::try_from(id).map_err(|_| Error::invalid("id", "the database has given out all 2^32 ids"))
}

/// All ids with `field`.
pub(crate) fn load(rows: &Rows, scope: ScopeId, field: Field<'_>) -> Result<RoaringBitmap> {
    let mut all = RoaringBitmap::new();
    rows.scan(Table::Bitmaps, &field.key(scope), &mut |key, opened| {
        all |= parse(key, opened)?;
        Ok(())
    })?;
    Ok(all)
}

/// Whether `id` has `field`.
pub(crate) fn contains(rows: &Rows, scope: ScopeId, field: Field<'_>, id: u64) -> Result<bool> {
    let document = document(id)?;
    let key = chunk_key(scope, field, document);
    if let Some(has) = rows.changed_bitmap(&key, |chunk| chunk.contains(document)) {
        return Ok(has);
    }
    let found = rows.get(Table::Bitmaps, &key, |opened| parse(key.as_bytes(), opened))?;
    Ok(found.is_some_and(|chunk| chunk.contains(document)))
}

/// Notes that `id` has `field`.
pub(crate) fn insert(rows: &Rows, scope: ScopeId, field: Field<'_>, id: u64) -> Result<()> {
    change(rows, scope, field, id, RoaringBitmap::insert)
}

/// Notes that `id` does not have `field`.
pub(crate) fn remove(rows: &Rows, scope: ScopeId, field: Field<'_>, id: u64) -> Result<()> {
    change(rows, scope, field, id, RoaringBitmap::remove)
}

fn change(
    rows: &Rows,
    scope: ScopeId,
    field: Field<'_>,
    id: u64,
    apply: fn(&mut RoaringBitmap, u32) -> bool,
) -> Result<()> {
    let document = document(id)?;
    let key = chunk_key(scope, field, document);
    rows.change_bitmap(&key, |opened| parse(key.as_bytes(), opened), |chunk| apply(chunk, document))
}

/// Writes all ids under `field`, a key without the number of the chunk, where there is nothing yet.
pub(crate) fn write(rows: &Rows, field: &Key, ids: &RoaringBitmap) -> Result<()> {
    let mut rest = ids.clone();
    while let Some(first) = rest.min() {
        let upper = first >> 16;
        let mut chunk = RoaringBitmap::new();
        chunk.insert_range(upper << 16..=(upper << 16 | 0xffff));
        chunk &= &rest;
        rest -= &chunk;
        put_chunk(rows, &field.clone().then(&(upper as u16).to_be_bytes()), &chunk)?;
    }
    Ok(())
}

fn put_chunk(rows: &Rows, key: &Key, chunk: &RoaringBitmap) -> Result<()> {
    rows.put(Table::Bitmaps, key, BITMAP_SCHEMA, &bitmap_bytes(chunk))
}

fn chunk_key(scope: ScopeId, field: Field<'_>, document: u32) -> Key {
    field.key(scope).then(&((document >> 16) as u16).to_be_bytes())
}

/// The ids in a row, all of which must belong to its key.
pub(crate) fn parse(key: &[u8], opened: value::Opened<'_>) -> Result<RoaringBitmap> {
    let corrupt = |what: String| value::corrupt(Table::Bitmaps, key, what);
    if opened.schema != BITMAP_SCHEMA {
        let what = format!("schema {} of bitmaps", opened.schema);
        return Err(Error::Unsupported { file: crate::catalog::CATALOG.into(), what });
    }
    let chunk = RoaringBitmap::deserialize_from(opened.payload).map_err(|error| corrupt(error.to_string()))?;
    let upper = key.last_chunk::<2>().map(|bytes| u32::from(u16::from_be_bytes(*bytes)));
    let fits = |id: Option<u32>| id.map(|id| id >> 16) == upper;
    if fits(chunk.min()) && fits(chunk.max()) { Ok(chunk) } else { Err(corrupt("ids of another row".to_owned())) }
}
