//! Parquet: a column per keys or values of a layer, BYTE_STREAM_SPLIT and zstd at level 1, no dictionary, no statistics.

use crate::codec::Codec;
use crate::tensors::Tensor;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, cast::AsArray};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use lagdb::format::KvRead;
use lagdb_peers::BenchResult;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::sync::Arc;

/// Pages of about 1 MiB; the default of 20,000 rows would make them 40 KB.
const PAGE_BYTES: usize = 1 << 20;

/// The parquet crate.
#[derive(Default)]
pub(crate) struct Parquet {
    buffer: Vec<u8>,
}

/// The columns of a tensor as Arrow arrays of values as wide as a number; nothing is copied.
pub(crate) fn batch(tensor: &Tensor) -> BenchResult<RecordBatch> {
    let width = tensor.log.element().n_bytes() as i32;
    let array =
        |column: Bytes| Ok(Arc::new(FixedSizeBinaryArray::try_new(width, Buffer::from(column), None)?) as ArrayRef);
    let columns = tensor.columns().map(array).collect::<BenchResult<Vec<_>>>()?;
    let field = |i| Field::new(format!("c{i}"), DataType::FixedSizeBinary(width), false);
    let schema = Schema::new((0..columns.len()).map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

impl Codec for Parquet {
    fn name(&self) -> &'static str {
        "Parquet BSS zstd"
    }

    fn encode(&mut self, tensor: &Tensor) -> BenchResult<usize> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_encoding(Encoding::BYTE_STREAM_SPLIT)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(PAGE_BYTES)
            .set_write_batch_size(PAGE_BYTES / 8)
            .build();
        let batch = batch(tensor)?;
        self.buffer.clear();
        let mut writer = ArrowWriter::try_new(&mut self.buffer, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(self.buffer.len())
    }

    fn file(&mut self, tensor: &Tensor) -> BenchResult<Bytes> {
        self.encode(tensor)?;
        Ok(Bytes::copy_from_slice(&self.buffer))
    }

    fn decode(&mut self, file: &Bytes, out: &mut [u8]) -> BenchResult<()> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone())?;
        let n_columns = reader.schema().fields().len();
        let n_rows = usize::try_from(reader.metadata().file_metadata().num_rows())?;
        let mut columns = out.chunks_exact_mut(out.len() / n_columns);
        for batch in reader.with_batch_size(n_rows).build()? {
            for array in batch?.columns() {
                let column = columns.next().ok_or("fewer columns")?;
                column.copy_from_slice(array.as_fixed_size_binary().value_data());
            }
        }
        Ok(())
    }
}
