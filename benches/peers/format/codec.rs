//! What compresses keys and values and gives them back exactly: lagdb and its peers in Rust behind one trait.

use crate::tensors::Tensor;
use bytes::Bytes;
use lagdb::format::{Encoding, KvRead, RowGroupIndex, Segment, SegmentWriter};
use lagdb_peers::BenchResult;

/// A lossless peer in this process. Buffers are kept from call to call, as by whoever writes many logs.
pub(crate) trait Codec {
    /// Its name in the rows.
    fn name(&self) -> &'static str;
    /// Encodes into a buffer of its own; bytes.
    fn encode(&mut self, tensor: &Tensor) -> BenchResult<usize>;
    /// The file a reader gets.
    fn file(&mut self, tensor: &Tensor) -> BenchResult<Bytes>;
    /// Fills `out` with the numbers of a file.
    fn decode(&mut self, file: &Bytes, out: &mut [u8]) -> BenchResult<()>;
}

/// lagdb's segments: every page's checksum is checked.
pub(crate) struct Lagdb {
    encoding: Encoding,
    writer: SegmentWriter,
}

impl Lagdb {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, writer: SegmentWriter::new(1) }
    }
}

impl Codec for Lagdb {
    fn name(&self) -> &'static str {
        "lagdb"
    }

    fn encode(&mut self, tensor: &Tensor) -> BenchResult<usize> {
        self.writer.push(&tensor.log, self.encoding)?;
        let mut n_bytes = 0;
        self.writer.drain(|bytes| {
            n_bytes = bytes.len();
            Ok::<(), lagdb::format::FormatError>(())
        })?;
        Ok(n_bytes)
    }

    fn file(&mut self, tensor: &Tensor) -> BenchResult<Bytes> {
        let mut writer = SegmentWriter::new(1);
        writer.push(&tensor.log, self.encoding)?;
        Ok(writer.finish()?.into())
    }

    fn decode(&mut self, file: &Bytes, out: &mut [u8]) -> BenchResult<()> {
        let view = Segment::open(file)?.kv_log(RowGroupIndex(0))?;
        let n_layers = view.geometry().n_layers;
        let mut columns = out.chunks_exact_mut(out.len() / (2 * n_layers as usize));
        for layer in 0..n_layers {
            view.copy_keys(layer, columns.next().ok_or("fewer columns")?)?;
            view.copy_values(layer, columns.next().ok_or("fewer columns")?)?;
        }
        Ok(())
    }
}

/// zstd at level 1, over everything.
pub(crate) struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Zstd {
    pub(crate) fn new() -> BenchResult<Self> {
        let (compressor, decompressor) = (zstd::bulk::Compressor::new(1)?, zstd::bulk::Decompressor::new()?);
        Ok(Self { compressor, decompressor, buffer: Vec::new() })
    }
}

impl Codec for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn encode(&mut self, tensor: &Tensor) -> BenchResult<usize> {
        self.buffer.resize(zstd::zstd_safe::compress_bound(tensor.raw.len()), 0);
        Ok(self.compressor.compress_to_buffer(&tensor.raw, &mut self.buffer)?)
    }

    fn file(&mut self, tensor: &Tensor) -> BenchResult<Bytes> {
        let n_bytes = self.encode(tensor)?;
        Ok(Bytes::copy_from_slice(self.buffer.get(..n_bytes).ok_or("more bytes than the buffer has")?))
    }

    fn decode(&mut self, file: &Bytes, out: &mut [u8]) -> BenchResult<()> {
        self.decompressor.decompress_to_buffer(file, out)?;
        Ok(())
    }
}

/// LZ4, over everything.
#[derive(Default)]
pub(crate) struct Lz4 {
    buffer: Vec<u8>,
}

impl Codec for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn encode(&mut self, tensor: &Tensor) -> BenchResult<usize> {
        self.buffer.resize(lz4_flex::block::get_maximum_output_size(tensor.raw.len()), 0);
        Ok(lz4_flex::block::compress_into(&tensor.raw, &mut self.buffer)?)
    }

    fn file(&mut self, tensor: &Tensor) -> BenchResult<Bytes> {
        let n_bytes = self.encode(tensor)?;
        Ok(Bytes::copy_from_slice(self.buffer.get(..n_bytes).ok_or("more bytes than the buffer has")?))
    }

    fn decode(&mut self, file: &Bytes, out: &mut [u8]) -> BenchResult<()> {
        lz4_flex::block::decompress_into(file, out)?;
        Ok(())
    }
}
