//! The bytes of a segment file, field by field. Works on damaged files too: it prints what is there and says what is wrong.

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::format::RowGroupIndex;
use lagdb::format::segment::{Dump, DumpedField, dump};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which file, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    /// The segment file.
    file: PathBuf,
    /// Show the pages and the directory of this KV log too, from 0.
    #[arg(long)]
    row_group: Option<u32>,
}

/// Prints every field; long lists and long fields are cut.
///
/// # Errors
/// When the file cannot be read; [`Failure::ProblemsFound`] (exit code 3) after printing a damaged one.
pub(super) fn run(options: &Options, output: Output) -> Outcome {
    let path = &options.file;
    let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
    let dump = dump(&bytes, options.row_group.map(RowGroupIndex));
    let faults: Vec<String> = dump.faults.iter().map(ToString::to_string).collect();
    output.print(
        || text(&dump, &faults),
        || {
            let fields: Vec<Value> = dump.fields.iter().map(field_json).collect();
            json!({
                "schema": "lagdb.dump/1", "file": path.display().to_string(), "bytes": bytes.len(), "faults": faults,
                "fields": fields,
            })
        },
    )?;
    match faults.len() {
        0 => Ok(()),
        n => Err(Failure::ProblemsFound(format!("{n} faults in {}", path.display()))),
    }
}

fn field_json(field: &DumpedField) -> Value {
    json!({
        "offset": field.offset, "bytes": field.n_bytes, "place": field.place, "field": field.field, "value": field.value,
    })
}

/// A heading per structure, a line per field: offset, bytes, field, value.
fn text(dump: &Dump, faults: &[String]) -> String {
    let mut lines = Vec::new();
    let mut place = "";
    for field in &dump.fields {
        if field.place != place {
            place = &field.place;
            lines.push(place.to_owned());
        }
        lines.push(format!("  {:>10}  {:>8}  {:<36}  {}", field.offset, field.n_bytes, field.field, field.value));
    }
    lines.extend(faults.iter().map(|fault| format!("WRONG: {fault}")));
    lines.join("\n")
}
