//! A generation: codes and the graph over them, immutable, in one file that may be deleted at any time.
//!
//! ```text
//! 0        8         12      16     20      24    28   32        36        40      44
//! | magic  | version | scope | kind | space | dim | n  | n_layers| n_strays| error | coarse error | …
//! 48            documents [n] u32, ascending
//!               scales    [n] f32
//!               strays    [n_strays] u32, ascending: nodes that a walk does not find, always compared
//!               per layer, the lowest first:
//!                   n_places u32, width u32
//!                   nodes [n_places] u32, ascending (not in the lowest layer)
//!                   links [n_places, width] u32, places of this layer; 0xffffffff after the last
//!               upper     [n, stride] u8, stride being dim rounded up to 128, by 2: upper halves of round(x / scale) + 128
//!               lower     [n, stride] u8: lower halves; which number lies where is said in `simd.rs`
//!               fine      [n, dim + 4] u8, see `fine.rs`
//! end - 32      BLAKE3 of all before
//! ```
//!
//! Numbers are little-endian. Nothing is believed before the digest is right, the counts give the length of the file,
//! and every link leads to a place that is there: a damaged file is as good as none. What a walk reads at random is then
//! copied into huge pages, which files have none of; fine rows, of which only answers are read, stay in the mapped file.

use super::code::{Codes, stride};
use super::fine::{self, Fine};
use super::graph::{BASE_WIDTH, Graph, Layer, MOST_PLACES, NONE, UPPER_WIDTH};
use super::huge;
use super::scan::ExactScan;
use crate::medium::FileBytes;
use std::fmt;
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"\x89LGX\r\n\x1a\n";
const VERSION: u32 = 4;
const HEADER_BYTES: usize = 48;
const DIGEST_BYTES: usize = 32;
/// Layers thin out sixteenfold.
const MOST_LAYERS: u32 = 16;
/// No code is farther from its vector, which has the length 1, with room for long vectors of equal numbers.
const MOST_ERROR: f32 = 16.0;

/// Whose vectors these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VectorKey {
    pub(crate) scope: u32,
    /// 1 for trajectories, 2 for strategies.
    pub(crate) kind: u32,
    pub(crate) space: u32,
    /// Numbers per vector.
    pub(crate) dim: u32,
}

/// Codes with a graph over them.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) scan: ExactScan,
    pub(super) graph: Graph,
    /// Nodes that a walk does not find.
    pub(super) strays: Vec<u32>,
}

/// Why bytes are no generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damaged(pub(super) String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Generation {
    /// The bytes of its file.
    pub(super) fn to_bytes(&self, key: VectorKey) -> Vec<u8> {
        let codes = &self.scan.codes;
        let mut bytes = Vec::with_capacity(self.n_bytes() + HEADER_BYTES + DIGEST_BYTES);
        bytes.extend_from_slice(&MAGIC);
        let counts = [codes.len(), self.graph.layers.len(), self.strays.len()].map(|n| n as u32);
        let header = [VERSION, key.scope, key.kind, key.space, key.dim, counts[0], counts[1], counts[2]];
        put(&mut bytes, &header);
        bytes.extend_from_slice(&codes.error.to_le_bytes());
        bytes.extend_from_slice(&codes.coarse_error.to_le_bytes());
        put(&mut bytes, &self.scan.documents);
        bytes.extend(codes.scales.iter().flat_map(|scale| scale.to_le_bytes()));
        put(&mut bytes, &self.strays);
        for layer in &self.graph.layers {
            put(&mut bytes, &[layer.len() as u32, layer.width as u32]);
            put(&mut bytes, &layer.nodes);
            put(&mut bytes, &layer.links);
        }
        bytes.extend_from_slice(&codes.upper);
        bytes.extend_from_slice(&codes.lower);
        bytes.extend_from_slice(codes.fine.bytes());
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// The generation of `key` that stands in `file`.
    pub(super) fn parse(file: FileBytes, key: VectorKey) -> Result<Self, Damaged> {
        let file = Arc::new(file);
        let bytes = &**file;
        let (body, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or_else(|| damaged("too short"))?;
        let mut rest = body;
        if take(&mut rest, MAGIC.len(), "magic")? != MAGIC {
            return Err(damaged("magic: is another file's"));
        }
        let version = number(&mut rest, "version")?;
        if version != VERSION {
            return Err(damaged(format!("version: {version}")));
        }
        if blake3::hash(body).as_bytes() != digest {
            return Err(damaged("digest: does not match"));
        }
        let body_bytes = body.len();
        Self::parse_body(&mut rest, key, body_bytes, &file)
    }

    /// `rest` ends where the first `n_bytes` of the file do.
    fn parse_body(rest: &mut &[u8], key: VectorKey, n_bytes: usize, file: &Arc<FileBytes>) -> Result<Self, Damaged> {
        for (field, expected) in [("scope", key.scope), ("kind", key.kind), ("space", key.space), ("dim", key.dim)] {
            let found = number(rest, field)?;
            if found != expected {
                return Err(damaged(format!("{field}: {found} where {expected} is expected")));
            }
        }
        let n = number(rest, "n")? as usize;
        let (n_layers, n_strays) = (number(rest, "n_layers")?, number(rest, "n_strays")? as usize);
        let errors = [f32::from_bits(number(rest, "error")?), f32::from_bits(number(rest, "coarse error")?)];
        if errors.iter().any(|error| !(0.0..=MOST_ERROR).contains(error)) {
            return Err(damaged(format!("error: {errors:?}")));
        }
        let documents = numbers(rest, n, "documents")?;
        let scales: Vec<f32> = numbers(rest, n, "scales")?.into_iter().map(f32::from_bits).collect();
        if scales.iter().any(|scale| !(*scale > 0.0 && *scale <= 1.0)) {
            return Err(damaged("scales: one is not between 0 and 1"));
        }
        let strays = numbers(rest, n_strays, "strays")?;
        if !ascends_below(&strays, n) {
            return Err(damaged("strays: are no nodes"));
        }
        if !(1..=MOST_LAYERS).contains(&n_layers) {
            return Err(damaged(format!("n_layers: {n_layers}")));
        }
        let layers = (0..n_layers).map(|level| parse_layer(rest, level, n)).collect::<Result<Vec<_>, _>>()?;
        let dim = key.dim as usize;
        let too_many = || damaged("n: too many");
        let plane_bytes = n.checked_mul(stride(dim)).ok_or_else(too_many)?;
        let planes = [plane(rest, plane_bytes, "upper")?, plane(rest, plane_bytes, "lower")?];
        let fine_bytes = n.checked_mul(fine::stride(dim)).ok_or_else(too_many)?;
        if rest.len() != fine_bytes {
            return Err(damaged(format!("{} bytes where {fine_bytes} are expected", rest.len())));
        }
        let fine = Fine::in_file(dim, file.clone(), n_bytes - fine_bytes..n_bytes);
        let codes = Codes::from_parts(dim, planes, scales, fine, errors);
        let scan = ExactScan::from_parts(documents, codes).ok_or_else(|| damaged("documents: do not ascend"))?;
        Ok(Self { scan, graph: Graph { layers }, strays })
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.scan.n_bytes() + self.graph.n_bytes() + self.strays.capacity() * 4
    }
}

fn parse_layer(rest: &mut &[u8], level: u32, n: usize) -> Result<Layer, Damaged> {
    let (n_places, width) = (number(rest, "n_places")? as usize, number(rest, "width")? as usize);
    let expected = if level == 0 { BASE_WIDTH } else { UPPER_WIDTH };
    if width != expected {
        return Err(damaged(format!("width: {width} of layer {level}")));
    }
    if (level == 0 && n_places != n) || n_places == 0 || n_places > n || n_places > MOST_PLACES {
        return Err(damaged(format!("n_places: {n_places} of layer {level} over {n} vectors")));
    }
    let nodes = numbers(rest, if level == 0 { 0 } else { n_places }, "nodes")?;
    if !ascends_below(&nodes, n) {
        return Err(damaged("nodes: are no nodes"));
    }
    let links = numbers(rest, n_places.saturating_mul(width), "links")?;
    if links.iter().any(|link| *link != NONE && *link as usize >= n_places) {
        return Err(damaged(format!("links: one of layer {level} leads nowhere")));
    }
    Ok(Layer { nodes, width, links })
}

fn ascends_below(numbers: &[u32], n: usize) -> bool {
    numbers.is_sorted_by(|a, b| a < b) && numbers.last().is_none_or(|last| (*last as usize) < n)
}

fn put(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
}

fn take<'a>(rest: &mut &'a [u8], n_bytes: usize, field: &str) -> Result<&'a [u8], Damaged> {
    let (taken, left) = rest.split_at_checked(n_bytes).ok_or_else(|| damaged(format!("{field}: cut off")))?;
    *rest = left;
    Ok(taken)
}

fn plane(rest: &mut &[u8], n_bytes: usize, field: &str) -> Result<Vec<u8>, Damaged> {
    let bytes = take(rest, n_bytes, field)?;
    let mut plane = huge::vec(bytes.len());
    plane.extend_from_slice(bytes);
    Ok(plane)
}

fn number(rest: &mut &[u8], field: &str) -> Result<u32, Damaged> {
    let bytes = take(rest, 4, field)?;
    Ok(bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
}

/// `n` numbers; no more memory than there are bytes.
fn numbers(rest: &mut &[u8], n: usize, field: &str) -> Result<Vec<u32>, Damaged> {
    let bytes = take(rest, n.saturating_mul(4), field)?;
    let mut numbers = huge::vec(n);
    numbers.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
    Ok(numbers)
}

fn damaged(what: impl Into<String>) -> Damaged {
    Damaged(what.into())
}

/// Parses bytes as a generation whose digest is right, whatever else they are.
///
/// # Panics
/// When a generation that was read does not give the same bytes again: that is what fuzzing looks for.
pub(crate) fn fuzz(bytes: &[u8]) {
    let key = VectorKey { scope: 1, kind: 1, space: 1, dim: 3 };
    // Nothing to hope for but that it returns.
    drop(Generation::parse(FileBytes::Read(bytes.to_vec()), key));
    let mut sealed = MAGIC.to_vec();
    put(&mut sealed, &[VERSION, key.scope, key.kind, key.space, key.dim]);
    sealed.extend_from_slice(bytes);
    let digest = blake3::hash(&sealed);
    sealed.extend_from_slice(digest.as_bytes());
    if let Ok(generation) = Generation::parse(FileBytes::Read(sealed.clone()), key) {
        assert_eq!(generation.to_bytes(key), sealed);
    }
}
