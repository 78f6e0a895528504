//! Which rows and bitmaps belong to a record.

use crate::catalog::{Key, Rows, ScopeId, Table, row, value};
use crate::index::bitmaps::{self, Field};
use crate::record::{Judgment, Record, RecordKind, Trajectory, codec};
use crate::{Id, Result};

/// The table of a kind of records.
pub(crate) fn table_of(kind: RecordKind) -> Table {
    match kind {
        RecordKind::Trajectory => Table::Trajectories,
        RecordKind::Strategy => Table::Strategies,
    }
}

/// The last judgment of a trajectory and its number.
pub(crate) fn latest_judgment(rows: &Rows, scope: ScopeId, id: Id<Trajectory>) -> Result<Option<(u32, Judgment)>> {
    let Some(key) = rows.last_key(Table::Judgments, &Key::record(scope, id.as_u64()))? else { return Ok(None) };
    let no_number = || value::corrupt(Table::Judgments, key.as_bytes(), "the key has no number");
    let number = Key::u32_at(key.as_bytes(), 12).ok_or_else(no_number)?;
    let judgment = rows.get(Table::Judgments, &key, |opened| {
        codec::decode_judgment(opened.schema, opened.payload)
            .map_err(|error| row::undecodable(Table::Judgments, key.as_bytes(), error))
    })?;
    Ok(judgment.map(|judgment| (number, judgment)))
}

/// The fields that the record itself has; its outcomes come from judgments.
pub(crate) fn own_fields<R: Record>(record: &R) -> Vec<Field<'_>> {
    let mut fields = vec![Field::Live(R::KIND)];
    fields.extend(record.labels().iter().map(|label| Field::Label(label)));
    fields.extend(record.domain().map(Field::Domain));
    fields.push(Field::Trust(record.trust()));
    fields.extend(record.time_ms().map(|ms| Field::Hour(bitmaps::hour(ms))));
    fields.extend(record.expires_at_ms().map(|ms| Field::Expiry(bitmaps::hour(ms))));
    if let Some(trajectory) = record.as_trajectory() {
        fields.extend(lineage(trajectory));
        fields.extend(trajectory.steps.iter().filter_map(|step| step.action_signature.as_deref()).map(Field::Action));
        fields.extend(trajectory.steps.iter().filter_map(|step| step.error_signature.as_deref()).map(Field::Error));
    }
    if let Some(strategy) = record.as_strategy() {
        fields.push(Field::Kind(strategy.kind));
        fields.push(Field::Status(strategy.status));
        fields.extend(strategy.action_signatures.iter().map(|signature| Field::OnAction(signature)));
        fields.extend(strategy.error_signatures.iter().map(|signature| Field::OnError(signature)));
        fields.extend(strategy.provenance.evidence.iter().map(|evidence| Field::Evidence(evidence.trajectory)));
    }
    fields
}

/// What a trajectory hands on to the strategies that are distilled from it: leaving out a task leaves out its lessons.
pub(crate) fn lineage(trajectory: &Trajectory) -> impl Iterator<Item = Field<'_>> {
    let group = trajectory.rollout.as_ref().map(|rollout| Field::Group(&rollout.group));
    std::iter::once(Field::Task(&trajectory.task)).chain(group)
}
