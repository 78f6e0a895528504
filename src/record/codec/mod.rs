//! Records as bytes: frozen structs per version (`v1`, `v2`), archived with rkyv; the version stands outside the archive.
//!
//! A shipped struct is never edited: a record that gains a field gets a `v2` and a new schema number, and every older
//! number keeps decoding. rkyv validates that an archive is safe to read, not that it is the one that was written; the
//! checksum of the catalog value comes first.

mod exposures;
mod v1;
mod v2;

use super::stats::Counters;
use super::{Exposure, Judgment, Strategy, Trajectory};
use rkyv::rancor::{Error as RkyvError, Strategy as Rancor};
use rkyv::util::AlignedVec;

/// Bytes of a record and the schema they are in.
#[derive(Debug)]
pub struct Versioned {
    /// Which frozen struct.
    pub schema: u16,
    /// Its archive, or why it could not be made.
    pub bytes: Result<AlignedVec, String>,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// A schema number of a newer lagdb.
    Newer(u16),
    /// Not an archive of the schema, or a value outside its closed set.
    Wrong(String),
}

/// Writes `$record` in its newest version and reads it in every version that was ever shipped.
macro_rules! codec {
    ($encode:ident, $decode:ident, $record:ty, $newest:literal => $newest_struct:ty $(, $older:literal => $struct:ty)*) => {
        pub(crate) fn $encode(record: &$record) -> Versioned {
            Versioned { schema: $newest, bytes: archive(&<$newest_struct>::from(record)) }
        }

        pub(crate) fn $decode(schema: u16, bytes: &[u8]) -> Result<$record, Undecodable> {
            match schema {
                $newest => unarchive::<$newest_struct>(bytes)?.try_into(),
                $($older => unarchive::<$struct>(bytes)?.try_into(),)*
                newer => Err(Undecodable::Newer(newer)),
            }
        }
    };
}

codec!(encode_trajectory, decode_trajectory, Trajectory, 2 => v2::TrajectoryV2, 1 => v1::TrajectoryV1);
codec!(encode_strategy, decode_strategy, Strategy, 2 => v2::StrategyV2, 1 => v1::StrategyV1);
codec!(encode_judgment, decode_judgment, Judgment, 2 => v2::JudgmentV2, 1 => v1::JudgmentV1);
codec!(encode_exposures, decode_exposures, Vec<Exposure>, 1 => exposures::ExposuresV1);
codec!(encode_counters, decode_counters, Counters, 1 => exposures::CountersV1);

fn unknown(field: &str, code: u8) -> Undecodable {
    Undecodable::Wrong(format!("{field} has the unknown code {code}"))
}

type Serializer<'a> = Rancor<
    rkyv::ser::Serializer<AlignedVec, rkyv::ser::allocator::ArenaHandle<'a>, rkyv::ser::sharing::Share>,
    RkyvError,
>;
type Validator<'a> = rkyv::api::high::HighValidator<'a, RkyvError>;
type Deserializer = rkyv::api::high::HighDeserializer<RkyvError>;

/// The archive of a frozen struct.
pub(crate) fn archive<T>(value: &T) -> Result<AlignedVec, String>
where
    T: for<'a> rkyv::Serialize<Serializer<'a>>,
{
    rkyv::to_bytes::<RkyvError>(value).map_err(|error| error.to_string())
}

/// The frozen struct in `bytes`.
pub(crate) fn unarchive<T>(bytes: &[u8]) -> Result<T, Undecodable>
where
    T: rkyv::Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<Validator<'a>> + rkyv::Deserialize<T, Deserializer>,
{
    rkyv::from_bytes::<T, RkyvError>(bytes).map_err(|error| Undecodable::Wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
