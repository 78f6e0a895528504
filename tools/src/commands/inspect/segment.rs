//! Segments of a database, or the row groups and pages of one: sizes, encodings and ratios.
//!
//! Reads the immutable files themselves, so it works beside a live application and on a single file.

use crate::failure::{Failure, Outcome};
use crate::output::{Output, bytes};
use lagdb::format::{PageInfo, Part, RowGroup, Segment};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Which segment, and how closely.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    /// A database directory (all its segments) or one segment file.
    path: PathBuf,
    /// List the pages too.
    #[arg(long)]
    pages: bool,
}

/// Prints every segment found.
///
/// # Errors
/// When a file cannot be read; [`Failure::ProblemsFound`] (exit code 3) after printing the faults of damaged ones.
pub(super) fn run(options: &Options, output: Output) -> Outcome {
    let files = files(&options.path)?;
    let segments: Result<Vec<Value>, Failure> = files.iter().map(|file| segment(file, options.pages)).collect();
    let segments = segments?;
    output.print(
        || if segments.is_empty() { "no segments".to_owned() } else { text(&segments) },
        || json!({ "schema": "lagdb.segments/1", "segments": segments }),
    )?;
    match segments.iter().filter(|segment| segment["faults"] != json!([])).count() {
        0 => Ok(()),
        n => Err(Failure::ProblemsFound(format!("{n} of {} segments are damaged", segments.len()))),
    }
}

/// The segment files at `path`, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |source| Failure::Read { path: path.to_path_buf(), source };
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let directory = path.join("segments");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "kv") {
            files.push(file);
        }
    }
    let number = |file: &PathBuf| file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    files.sort_by_key(|file| (number(file), file.clone()));
    Ok(files)
}

fn segment(path: &Path, with_pages: bool) -> Result<Value, Failure> {
    let content = std::fs::read(path).map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    let mut fields = json!({ "segment": null, "file": path.display().to_string(), "bytes": content.len() });
    let (faults, row_groups) = match Segment::open(&content) {
        Err(fault) => (vec![fault], Vec::new()),
        Ok(segment) => {
            fields["segment"] = json!(segment.footer().segment_id());
            (segment.verify().faults, row_groups(&segment, with_pages))
        }
    };
    fields["faults"] = faults.iter().map(|fault| Value::from(fault.to_string())).collect();
    fields["row_groups"] = json!(row_groups);
    Ok(fields)
}

/// The row groups whose directories can be read; the others are among the faults.
fn row_groups(segment: &Segment<'_>, with_pages: bool) -> Vec<Value> {
    let row_group = |row_group: &RowGroup| {
        let log = segment.kv_log(row_group.index()).ok()?;
        let pages: Vec<PageInfo> = log.pages().collect();
        Some(row_group_fields(row_group, &pages, with_pages))
    };
    segment.footer().row_groups().iter().filter_map(row_group).collect()
}

fn row_group_fields(row_group: &RowGroup, pages: &[PageInfo], with_pages: bool) -> Value {
    let geometry = row_group.fingerprint().geometry;
    let (stored, raw) = (row_group.encoded_bytes(), row_group.decoded_bytes());
    let mut encodings: Vec<&str> = pages.iter().map(|page| page.encoding.name()).collect();
    encodings.sort_unstable();
    encodings.dedup();
    let mut fields = json!({
        "row_group": row_group.index().0, "tokens": row_group.n_tokens(),
        "model": row_group.fingerprint().id().to_string(), "layers": geometry.n_layers,
        "kv_heads": geometry.n_kv_heads, "head_dim": geometry.head_dim,
        "element": format!("{:?}", row_group.element()).to_lowercase(), "encodings": encodings,
        "stored_bytes": stored, "raw_bytes": raw, "ratio": ratio(raw, stored), "pages": pages.len(),
    });
    if with_pages {
        fields["page_list"] = pages.iter().map(page_fields).collect();
    }
    fields
}

fn page_fields(page: &PageInfo) -> Value {
    json!({
        "layer": page.layer, "part": match page.part { Part::Keys => "keys", Part::Values => "values" },
        "first_token": page.first_token, "tokens": page.n_tokens, "encoding": page.encoding.name(),
        "stored_bytes": page.stored_bytes, "raw_bytes": page.raw_bytes,
        "ratio": ratio(u64::from(page.raw_bytes), u64::from(page.stored_bytes)), "sound": page.is_sound,
    })
}

/// Decoded bytes per stored byte.
fn ratio(raw: u64, stored: u64) -> f64 {
    (raw as f64 / stored.max(1) as f64 * 1000.0).round() / 1000.0
}

fn text(segments: &[Value]) -> String {
    let size = |value: &Value| bytes(value.as_u64().unwrap_or_default());
    let mut lines = Vec::new();
    for segment in segments {
        let faults: Vec<&str> = segment["faults"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let state = if faults.is_empty() { "sound" } else { "DAMAGED" };
        let file = segment["file"].as_str().unwrap_or_default();
        lines.push(format!("segment {}  {}  {state}  {file}", segment["segment"], size(&segment["bytes"])));
        lines.extend(faults.iter().map(|fault| format!("  {fault}")));
        for group in segment["row_groups"].as_array().into_iter().flatten() {
            lines.push(format!(
                "  row group {}  {} tokens  {} x {} x {} {}  {} -> {} ({}x)  {} pages, {}",
                group["row_group"],
                group["tokens"],
                group["layers"],
                group["kv_heads"],
                group["head_dim"],
                group["element"].as_str().unwrap_or_default(),
                size(&group["raw_bytes"]),
                size(&group["stored_bytes"]),
                group["ratio"],
                group["pages"],
                group["encodings"],
            ));
            for page in group["page_list"].as_array().into_iter().flatten() {
                lines.push(format!(
                    "    layer {:<3} {:<6} tokens {}+{}  {} -> {} ({}x)  {}  {}",
                    page["layer"].to_string(),
                    page["part"].as_str().unwrap_or_default(),
                    page["first_token"],
                    page["tokens"],
                    size(&page["raw_bytes"]),
                    size(&page["stored_bytes"]),
                    page["ratio"],
                    page["encoding"].as_str().unwrap_or_default(),
                    if page["sound"] == true { "sound" } else { "DAMAGED" }
                ));
            }
        }
    }
    lines.join("\n")
}
