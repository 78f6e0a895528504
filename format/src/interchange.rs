//! KV logs as [safetensors](https://github.com/huggingface/safetensors) files: for other programs, without checksums.
//!
//! Tensors: `layers.I.keys` and `layers.I.values` in the log's own type, `[n_tokens, n_kv_heads, head_dim]`, or head after
//! head `[rows, head_dim]` where the heads keep tokens of their own; `token_ids` and `positions`, U32, `[n_tokens]`; and
//! where the log has them `importance`, F32, `[n_tokens]`; `head_tokens`, U8, `[n_layers, n_kv_heads, n_tokens]`, 1 for a
//! token that is kept; `probe_queries`, F32, `[n_layers, n_heads, n_queries, head_dim]`, `probe_positions`, U32, and `probe_frequencies`, F64,
//! `[head_dim / 2]`.
//! The identity of the model is in `__metadata__`, its digests as hexadecimal numbers.

use crate::{
    CaptureStage, Digest, ElementType, FormatError, HeadTokens, KvGeometry, KvLayer, KvLog, KvRead, ModelFingerprint,
    ProbeQueries, Result,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;

/// What `format` in the metadata says.
const FORMAT: &str = "lagdb.kv_log/1";

type Metadata = HashMap<String, String>;

/// The log as the bytes of a safetensors file.
///
/// # Errors
/// [`FormatError::Invalid`] when the log is too large for one.
pub fn to_safetensors(log: &KvLog) -> Result<Vec<u8>> {
    let geometry = log.geometry();
    let sizes = [geometry.n_layers, geometry.n_kv_heads, geometry.head_dim].map(|n| n as usize);
    let [n_layers, n_kv_heads, head_dim] = sizes;
    let n_tokens = log.n_tokens();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let floats = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    tensors.push(("token_ids".into(), Dtype::U32, vec![n_tokens], numbers(log.token_ids())));
    tensors.push(("positions".into(), Dtype::U32, vec![n_tokens], numbers(log.positions())));
    if let Some(importance) = log.importance() {
        tensors.push(("importance".into(), Dtype::F32, vec![n_tokens], floats(importance)));
    }
    if let Some(heads) = log.heads() {
        let sets = (0..geometry.n_layers).flat_map(|layer| (0..geometry.n_kv_heads).map(move |head| (layer, head)));
        let keeps = sets.flat_map(|(layer, head)| {
            (0..heads.n_tokens()).map(move |token| u8::from(heads.keeps(layer, head, token)))
        });
        tensors.push(("head_tokens".into(), Dtype::U8, vec![n_layers, n_kv_heads, n_tokens], keeps.collect()));
    }
    if let Some(probes) = log.probes() {
        let shape = vec![n_layers, probes.n_heads() as usize, probes.positions().len(), head_dim];
        tensors.push(("probe_queries".into(), Dtype::F32, shape, floats(probes.numbers())));
        let n_queries = vec![probes.positions().len()];
        tensors.push(("probe_positions".into(), Dtype::U32, n_queries, numbers(probes.positions())));
        if let Some(frequencies) = probes.frequencies() {
            let bytes = frequencies.iter().flat_map(|frequency| frequency.to_le_bytes()).collect();
            tensors.push(("probe_frequencies".into(), Dtype::F64, vec![frequencies.len()], bytes));
        }
    }
    for (i, layer) in (0..).zip(log.layers()) {
        let shape = match log.heads() {
            None => vec![n_tokens, n_kv_heads, head_dim],
            Some(heads) => vec![usize::try_from(heads.n_rows_of(i)).unwrap_or(usize::MAX), head_dim],
        };
        tensors.push((format!("layers.{i}.keys"), dtype(log.element()), shape.clone(), layer.keys.clone()));
        tensors.push((format!("layers.{i}.values"), dtype(log.element()), shape, layer.values.clone()));
    }
    let too_large = |error: safetensors::SafeTensorError| FormatError::invalid("log", error);
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(too_large)?))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    safetensors::serialize(views, Some(metadata(log))).map_err(too_large)
}

/// The log in the bytes of a safetensors file that [`to_safetensors`] wrote.
///
/// # Errors
/// [`FormatError::Corrupt`] when the bytes are no safetensors file; [`FormatError::Invalid`] naming the tensor or the
/// entry of the metadata when the file is not a KV log; [`FormatError::Unsupported`] when it is one of a newer lagdb.
pub fn from_safetensors(bytes: &[u8]) -> Result<KvLog> {
    let corrupt = |error: safetensors::SafeTensorError| FormatError::corrupt(0, "safetensors", error);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(corrupt)?;
    let empty = Metadata::new();
    let metadata = header.metadata().as_ref().unwrap_or(&empty);
    match metadata.get("format").map(String::as_str) {
        Some(FORMAT) => {}
        Some(other) if other.starts_with("lagdb.kv_log/") => {
            return Err(FormatError::Unsupported { field: "safetensors format", detail: other.to_owned() });
        }
        _ => {
            return Err(FormatError::invalid(
                "safetensors file",
                "is not a KV log: its metadata names no format of ours",
            ));
        }
    }
    let file = File { tensors: SafeTensors::deserialize(bytes).map_err(corrupt)?, metadata };
    file.log()
}

fn metadata(log: &KvLog) -> Metadata {
    let ModelFingerprint { weights, config, tokenizer, rope, adapters, geometry, capture } = *log.fingerprint();
    let entries = [
        ("format", FORMAT.to_owned()),
        ("weights", weights.to_string()),
        ("config", config.to_string()),
        ("tokenizer", tokenizer.to_string()),
        ("rope", rope.to_string()),
        ("adapters", adapters.map_or_else(String::new, |adapters| adapters.to_string())),
        ("n_layers", geometry.n_layers.to_string()),
        ("n_kv_heads", geometry.n_kv_heads.to_string()),
        ("head_dim", geometry.head_dim.to_string()),
        ("capture_stage", (capture as u8).to_string()),
        ("approximate", log.is_approximate().to_string()),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A safetensors file that says it is a KV log.
struct File<'a> {
    tensors: SafeTensors<'a>,
    metadata: &'a Metadata,
}

impl<'a> File<'a> {
    fn log(&self) -> Result<KvLog> {
        let fingerprint = self.fingerprint()?;
        let KvGeometry { n_layers, n_kv_heads, .. } = fingerprint.geometry;
        let (token_ids, positions) = (self.u32s("token_ids")?, self.u32s("positions")?);
        let element = self.element()?;
        // Every layer is a tensor of the file, so a claim of many ends at the first that is missing.
        let layer = |i| {
            let column = |part: &str| Ok(self.tensor(&format!("layers.{i}.{part}"), dtype(element))?.data().to_vec());
            Ok(KvLayer { keys: column("keys")?, values: column("values")? })
        };
        let layers = (0..n_layers).map(layer).collect::<Result<_>>()?;
        let log = match self.tensors.tensor("head_tokens") {
            Err(_) => KvLog::new(fingerprint, element, token_ids, positions, layers)?,
            Ok(sets) => {
                let n_tokens = u32::try_from(token_ids.len()).map_err(|_| wrong("token_ids", "too many"))?;
                if sets.dtype() != Dtype::U8
                    || sets.shape() != [n_layers as usize, n_kv_heads as usize, token_ids.len()]
                {
                    return Err(wrong("head_tokens", "has another type or shape"));
                }
                let mut keeps = sets.data().iter();
                let heads = HeadTokens::new(fingerprint.geometry, n_tokens, |_, _, _| keeps.next() == Some(&1));
                KvLog::ragged(fingerprint, element, token_ids, positions, heads, layers)?
            }
        };
        self.with_the_rest(log)
    }

    fn with_the_rest(&self, log: KvLog) -> Result<KvLog> {
        let head_dim = log.geometry().head_dim;
        let log = match self.tensors.tensor("importance") {
            Err(_) => log,
            Ok(_) => log.ordered_by(self.f32s("importance")?)?,
        };
        let log = match self.tensors.tensor("probe_queries") {
            Err(_) => log,
            Ok(queries) => {
                let n_heads = queries.shape().get(1).and_then(|n| u32::try_from(*n).ok());
                let n_heads = n_heads.ok_or_else(|| wrong("probe_queries", "has another shape"))?;
                let (positions, numbers) = (self.u32s("probe_positions")?, self.f32s("probe_queries")?);
                let probes = ProbeQueries::new(n_heads, head_dim, positions, numbers)?;
                log.with_probes(match self.tensors.tensor("probe_frequencies") {
                    Err(_) => probes,
                    Ok(_) => probes.with_frequencies(self.f64s("probe_frequencies")?)?,
                })?
            }
        };
        Ok(if self.entry("approximate")? == "true" { log.approximate() } else { log })
    }

    fn fingerprint(&self) -> Result<ModelFingerprint> {
        let digest = |field| digest(self.entry(field)?).ok_or_else(|| wrong(field, "is no digest"));
        let number = |field| self.entry(field)?.parse().map_err(|_| wrong(field, "is no number"));
        let code = self.entry("capture_stage")?;
        let capture = code.parse().ok().and_then(CaptureStage::from_code);
        Ok(ModelFingerprint {
            weights: digest("weights")?,
            config: digest("config")?,
            tokenizer: digest("tokenizer")?,
            rope: digest("rope")?,
            adapters: if self.entry("adapters")?.is_empty() { None } else { Some(digest("adapters")?) },
            geometry: KvGeometry {
                n_layers: number("n_layers")?,
                n_kv_heads: number("n_kv_heads")?,
                head_dim: number("head_dim")?,
            },
            capture: capture
                .ok_or_else(|| FormatError::Unsupported { field: "capture stage", detail: code.to_owned() })?,
        })
    }

    /// The type of the numbers: that of the first layer's keys.
    fn element(&self) -> Result<ElementType> {
        let keys = self.tensors.tensor("layers.0.keys").map_err(|error| wrong("layers.0.keys", error))?;
        let element = [ElementType::F32, ElementType::F16, ElementType::Bf16];
        let found = element.into_iter().find(|element| dtype(*element) == keys.dtype());
        found.ok_or_else(|| wrong("layers.0.keys", format!("is of type {:?}", keys.dtype())))
    }

    fn entry(&self, name: &'static str) -> Result<&'a str> {
        self.metadata.get(name).map(String::as_str).ok_or_else(|| wrong(name, "is not in the metadata"))
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> Result<TensorView<'_>> {
        let tensor = self.tensors.tensor(name).map_err(|error| wrong(name, error))?;
        if tensor.dtype() != dtype {
            return Err(wrong(name, format!("is of type {:?}, not {dtype:?}", tensor.dtype())));
        }
        Ok(tensor)
    }

    fn u32s(&self, name: &str) -> Result<Vec<u32>> {
        let tensor = self.tensor(name, Dtype::U32)?;
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    fn f64s(&self, name: &str) -> Result<Vec<f64>> {
        let tensor = self.tensor(name, Dtype::F64)?;
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    fn f32s(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, Dtype::F32)?;
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

fn wrong(name: &str, detail: impl std::fmt::Display) -> FormatError {
    FormatError::invalid("safetensors file", format!("{name} {detail}"))
}

fn dtype(element: ElementType) -> Dtype {
    match element {
        ElementType::F32 => Dtype::F32,
        ElementType::F16 => Dtype::F16,
        ElementType::Bf16 => Dtype::BF16,
    }
}

/// Sixty-four hexadecimal digits.
fn digest(text: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(Digest(bytes))
}
