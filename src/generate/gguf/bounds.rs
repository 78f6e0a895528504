//! What is checked of a GGUF header before a parser allocates for it: counts, lengths, names, shapes, and that every tensor
//! lies in the file, in bytes of its own.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. A header says how many entries and how long each
//! string is; here nothing is believed that the file is too short for, nor what no model needs. So no name stands for two
//! things, no byte belongs to two tensors (a small file cannot become a large model), and vectors are floats, as
//! llama.cpp writes them. Each refusal names the field and the byte at which it stands.

use candle_core::quantized::GgmlDType;
use std::collections::HashSet;
use std::io::{BufRead, Read, Seek, SeekFrom};

/// The most metadata entries, and the most tensors.
const MAX_ENTRIES: u64 = 1 << 16;
/// The most elements of one list; a vocabulary of 250,000 tokens has 500,000 merges.
const MAX_LIST: u64 = 1 << 22;
/// The most elements of all lists; a parser keeps about 32 bytes for each.
const MAX_ELEMENTS: u64 = 1 << 23;
/// The most bytes of a string; chat templates have some ten thousand.
const MAX_STRING: u64 = 1 << 24;

type Checked<T> = Result<T, String>;

/// Checks the header at the beginning of `reader`, which has `n_bytes`, and returns the byte at which tensors begin.
///
/// # Errors
/// What is wrong, with the field and its byte.
pub(super) fn check(reader: &mut (impl BufRead + Seek), n_bytes: u64) -> Checked<u64> {
    let mut header = Header { reader, at: 0, n_bytes, n_elements: 0, names: HashSet::new() };
    if header.bytes::<4>("magic")? != *b"GGUF" {
        return Err("it does not begin with GGUF".to_owned());
    }
    let version = header.u32("version")?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version} is not read; 2 and 3 are"));
    }
    let n_tensors = header.count("number of tensors", MAX_ENTRIES)?;
    let n_metadata = header.count("number of metadata entries", MAX_ENTRIES)?;
    let mut alignment = 32;
    for _ in 0..n_metadata {
        let key = header.name("metadata key")?;
        let kind = header.u32(&key)?;
        match header.value(&key, kind)? {
            Some(value) if key == "general.alignment" => alignment = value,
            _ => {}
        }
    }
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(format!("general.alignment is {alignment}, no power of two up to a megabyte"));
    }
    header.names.clear();
    let tensors = (0..n_tensors).map(|_| header.tensor(alignment)).collect::<Checked<Vec<_>>>()?;
    let data = header.at.next_multiple_of(alignment);
    check_extents(tensors, n_bytes.saturating_sub(data))?;
    Ok(data)
}

/// All tensors must lie within the `n_bytes` there are for them, none in the bytes of another.
fn check_extents(mut tensors: Vec<Extent>, n_bytes: u64) -> Checked<()> {
    tensors.sort_by_key(|tensor| tensor.offset);
    let mut free = (0, String::new());
    for Extent { name, offset, n_bytes: tensor_bytes } in tensors {
        let name = shown(&name);
        let end = offset.checked_add(tensor_bytes).filter(|&end| end <= n_bytes);
        let end = end.ok_or_else(|| format!("tensor {name}: {tensor_bytes} bytes at {offset} are not in the file"))?;
        if offset < free.0 {
            return Err(format!("tensor {name}: its bytes are those of tensor {} too", free.1));
        }
        free = (end, name);
    }
    Ok(())
}

/// Where a tensor lies, from the beginning of all tensors.
struct Extent {
    name: String,
    offset: u64,
    n_bytes: u64,
}

struct Header<'a, R> {
    reader: &'a mut R,
    at: u64,
    n_bytes: u64,
    /// Elements of all lists so far.
    n_elements: u64,
    /// The keys so far, then the tensors so far.
    names: HashSet<String>,
}

impl<R: BufRead + Seek> Header<'_, R> {
    fn bytes<const N: usize>(&mut self, field: &str) -> Checked<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|e| self.problem(field, e))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, field: &str) -> Checked<u32> {
        self.bytes(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &str) -> Checked<u64> {
        self.bytes(field).map(u64::from_le_bytes)
    }

    fn count(&mut self, field: &str, most: u64) -> Checked<u64> {
        let n = self.u64(field)?;
        if n > most { Err(self.problem(field, format!("{n}; at most {most} are read"))) } else { Ok(n) }
    }

    /// The length of a string that is in the file.
    fn length(&mut self, field: &str) -> Checked<u64> {
        let n = self.count(field, MAX_STRING)?;
        match n > self.n_bytes.saturating_sub(self.at) {
            true => Err(self.problem(field, format!("{n} bytes are not in the file"))),
            false => Ok(n),
        }
    }

    /// A name that no other has. Parsers cut trailing NULs off, so a name with one could become another.
    fn name(&mut self, field: &str) -> Checked<String> {
        let n = self.length(field)?;
        let mut bytes = Vec::new();
        self.reader.by_ref().take(n).read_to_end(&mut bytes).map_err(|e| self.problem(field, e))?;
        self.at += n;
        let name = String::from_utf8(bytes).map_err(|_| self.problem(field, "no UTF-8"))?;
        if name.contains('\0') {
            return Err(self.problem(&name, "a name with a zero byte"));
        }
        match self.names.insert(name.clone()) {
            true => Ok(name),
            false => Err(self.problem(&name, "this name is there twice")),
        }
    }

    fn skip(&mut self, n: u64, field: &str) -> Checked<()> {
        if n > self.n_bytes.saturating_sub(self.at) {
            return Err(self.problem(field, format!("{n} bytes are not in the file")));
        }
        self.at += n;
        let n = i64::try_from(n).map_err(|_| self.problem(field, "too long"))?;
        self.reader.seek_relative(n).map_err(|e| self.problem(field, e))
    }

    /// Steps over a value; a whole number is returned.
    fn value(&mut self, field: &str, kind: u32) -> Checked<Option<u64>> {
        match kind {
            0 | 1 => Ok(Some(u64::from(self.bytes::<1>(field)?[0]))),
            7 => match self.bytes::<1>(field)? {
                [0 | 1] => Ok(None),
                [other] => Err(self.problem(field, format!("{other} is no truth value"))),
            },
            2 | 3 => Ok(Some(u64::from(u16::from_le_bytes(self.bytes(field)?)))),
            4 | 5 => Ok(Some(u64::from(self.u32(field)?))),
            6 => self.skip(4, field).map(|()| None),
            8 => {
                let n = self.length(field)?;
                self.skip(n, field).map(|()| None)
            }
            9 => self.list(field).map(|()| None),
            10 | 11 => self.u64(field).map(Some),
            12 => self.skip(8, field).map(|()| None),
            other => Err(self.problem(field, format!("value type {other} is not known"))),
        }
    }

    fn list(&mut self, field: &str) -> Checked<()> {
        let kind = self.u32(field)?;
        let n = self.count(field, MAX_LIST)?;
        self.n_elements += n;
        if self.n_elements > MAX_ELEMENTS {
            return Err(self.problem(field, format!("more than {MAX_ELEMENTS} list elements")));
        }
        if kind == 9 {
            return Err(self.problem(field, "a list of lists"));
        }
        (0..n).try_for_each(|_| self.value(field, kind).map(drop))
    }

    fn tensor(&mut self, alignment: u64) -> Checked<Extent> {
        let name = self.name("tensor name")?;
        let n_dims = self.u32(&name)?;
        if !(1..=2).contains(&n_dims) {
            return Err(self.problem(&name, format!("{n_dims} dimensions; vectors and matrices are read")));
        }
        let dims = (0..n_dims).map(|_| self.u64(&name)).collect::<Checked<Vec<_>>>()?;
        let kind = self.u32(&name)?;
        let Some(dtype) = type_of(kind) else {
            return Err(self.problem(&name, format!("type {kind} is not read")));
        };
        if n_dims == 1 && !matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            return Err(self.problem(&name, "a quantized vector; vectors are F32, F16 or BF16"));
        }
        let offset = self.u64(&name)?;
        let (block, width) = (dtype.block_size() as u64, dims.first().copied().unwrap_or(0));
        if width == 0 || !width.is_multiple_of(block) {
            return Err(self.problem(&name, format!("rows of {width} numbers are no whole blocks of {block}")));
        }
        let n_bytes = dims.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim));
        let n_bytes = n_bytes.and_then(|n| (n / block).checked_mul(dtype.type_size() as u64));
        let n_bytes = n_bytes.ok_or_else(|| self.problem(&name, format!("shape {dims:?} is too large")))?;
        if !offset.is_multiple_of(alignment) {
            return Err(self.problem(&name, format!("offset {offset} is not aligned to {alignment}")));
        }
        Ok(Extent { name, offset, n_bytes })
    }

    fn problem(&self, field: &str, detail: impl std::fmt::Display) -> String {
        format!("{} at byte {}: {detail}", shown(field), self.at)
    }
}

/// A name out of the file in a message that a terminal may show.
fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The types of numbers that candle reads.
fn type_of(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// Bytes of the file; the reader stands at its beginning then.
pub(super) fn length(reader: &mut impl Seek) -> std::io::Result<u64> {
    let n_bytes = reader.seek(SeekFrom::End(0))?;
    reader.rewind()?;
    Ok(n_bytes)
}
