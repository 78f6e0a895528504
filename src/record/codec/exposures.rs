//! The archive of all exposures of one trajectory, and of the counters of one record. **Frozen**: bytes of these structs
//! are on disks.

use super::{Undecodable, unknown};
use crate::Id;
use crate::record::exposure::{Delivery, DeliveryPoint, Exposure, Offered};
use crate::record::stats::{Arm, Counters, Tally};
use rkyv::{Archive, Deserialize, Serialize};

const STRATEGY: u8 = 1;
const KV_LOG: u8 = 2;

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ExposuresV1 {
    exposures: Vec<ExposureV1>,
}

#[derive(Archive, Serialize, Deserialize)]
struct ExposureV1 {
    kind: u8,
    id: u64,
    delivery: u8,
    propensity: f32,
    point: u8,
    step: u32,
    rank: u32,
    score: f32,
    exposed_at_ms: u64,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct CountersV1 {
    injected: [u64; 4],
    withheld: [u64; 4],
    n_unused: u64,
    injected_arm: ArmV1,
    withheld_arm: ArmV1,
}

#[derive(Archive, Serialize, Deserialize)]
struct ArmV1 {
    weight: u64,
    square: u128,
    twice_credit: u64,
}

impl From<&Vec<Exposure>> for ExposuresV1 {
    fn from(exposures: &Vec<Exposure>) -> Self {
        let exposure = |e: &Exposure| ExposureV1 {
            kind: if matches!(e.offered, Offered::Strategy(_)) { STRATEGY } else { KV_LOG },
            id: e.offered.number(),
            delivery: e.delivery as u8,
            propensity: e.propensity,
            point: e.point as u8,
            step: e.step,
            rank: e.rank,
            score: e.score,
            exposed_at_ms: e.exposed_at_ms,
        };
        Self { exposures: exposures.iter().map(exposure).collect() }
    }
}

impl TryFrom<ExposuresV1> for Vec<Exposure> {
    type Error = Undecodable;

    fn try_from(row: ExposuresV1) -> Result<Self, Undecodable> {
        row.exposures.into_iter().map(Exposure::try_from).collect()
    }
}

impl TryFrom<ExposureV1> for Exposure {
    type Error = Undecodable;

    fn try_from(e: ExposureV1) -> Result<Self, Undecodable> {
        let offered = match e.kind {
            STRATEGY => Offered::Strategy(Id::from_u64(e.id)),
            KV_LOG => Offered::KvLog(Id::from_u64(e.id)),
            code => return Err(unknown("offered", code)),
        };
        Ok(Self {
            offered,
            delivery: Delivery::from_code(e.delivery).ok_or_else(|| unknown("delivery", e.delivery))?,
            propensity: e.propensity,
            point: DeliveryPoint::from_code(e.point).ok_or_else(|| unknown("point", e.point))?,
            step: e.step,
            rank: e.rank,
            score: e.score,
            exposed_at_ms: e.exposed_at_ms,
        })
    }
}

impl From<&Counters> for CountersV1 {
    fn from(c: &Counters) -> Self {
        let tally = |t: Tally| [t.unknown, t.success, t.partial, t.failure];
        let arm = |a: Arm| ArmV1 { weight: a.weight, square: a.square, twice_credit: a.twice_credit };
        Self {
            injected: tally(c.injected),
            withheld: tally(c.withheld),
            n_unused: c.n_unused,
            injected_arm: arm(c.injected_arm),
            withheld_arm: arm(c.withheld_arm),
        }
    }
}

impl TryFrom<CountersV1> for Counters {
    type Error = Undecodable;

    fn try_from(c: CountersV1) -> Result<Self, Undecodable> {
        let tally = |[unknown, success, partial, failure]: [u64; 4]| Tally { success, partial, failure, unknown };
        let arm = |a: ArmV1| Arm { weight: a.weight, square: a.square, twice_credit: a.twice_credit };
        Ok(Self {
            injected: tally(c.injected),
            withheld: tally(c.withheld),
            n_unused: c.n_unused,
            injected_arm: arm(c.injected_arm),
            withheld_arm: arm(c.withheld_arm),
        })
    }
}
