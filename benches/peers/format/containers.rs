//! Files that keep numbers as they are: safetensors and Arrow IPC, a tensor (or column) per keys or values of a layer.

use crate::tensors::Tensor;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, cast::AsArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use lagdb::format::{ElementType, KvRead};
use lagdb_peers::BenchResult;
use safetensors::tensor::{Dtype, TensorView};
use std::sync::Arc;

/// The tensors of a log as a safetensors file.
pub(crate) fn safetensors_file(tensor: &Tensor) -> BenchResult<Vec<u8>> {
    let dtype = match tensor.log.element() {
        ElementType::F32 => Dtype::F32,
        ElementType::F16 => Dtype::F16,
        ElementType::Bf16 => Dtype::BF16,
    };
    let shape = vec![tensor.log.n_tokens(), tensor.log.geometry().row_width()];
    let columns: Vec<Bytes> = tensor.columns().collect();
    let views =
        columns.iter().enumerate().map(|(i, column)| Ok((name(i), TensorView::new(dtype, shape.clone(), column)?)));
    Ok(safetensors::serialize(views.collect::<BenchResult<Vec<_>>>()?, None)?)
}

/// Names sort as columns do.
pub(crate) fn name(column: usize) -> String {
    format!("c{column:04}")
}

/// The log as one Arrow record batch, a token's row of a column per value; nothing is copied.
fn batch(tensor: &Tensor) -> BenchResult<RecordBatch> {
    let row_bytes = i32::try_from(tensor.column_bytes() / tensor.log.n_tokens())?;
    let array = |column: Bytes| {
        let array: ArrayRef = Arc::new(FixedSizeBinaryArray::try_new(row_bytes, Buffer::from(column), None)?);
        Ok(array)
    };
    let columns = tensor.columns().map(array).collect::<BenchResult<Vec<_>>>()?;
    let field = |i| Field::new(name(i), DataType::FixedSizeBinary(row_bytes), false);
    let schema = Schema::new((0..columns.len()).map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// The log as an Arrow IPC file.
pub(crate) fn arrow_file(tensor: &Tensor) -> BenchResult<Vec<u8>> {
    let batch = batch(tensor)?;
    let mut file = Vec::with_capacity(tensor.raw.len() + (1 << 16));
    let mut writer = FileWriter::try_new(&mut file, &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(file)
}

/// The columns of a mapped Arrow IPC file, read in place.
pub(crate) fn arrow_columns(file: &Bytes) -> BenchResult<Vec<FixedSizeBinaryArray>> {
    let buffer = Buffer::from(file.clone());
    let trailer = buffer.len().checked_sub(10).ok_or("too short")?;
    let footer_bytes = read_footer_length(buffer[trailer..].try_into()?)?;
    let footer = arrow_ipc::root_as_footer(&buffer[trailer - footer_bytes..trailer]).map_err(|it| it.to_string())?;
    let schema = arrow_ipc::convert::try_fb_to_schema(footer.schema().ok_or("no schema")?)?;
    let decoder = FileDecoder::new(Arc::new(schema), footer.version());
    let block = footer.recordBatches().ok_or("no batches")?.get(0);
    let n_bytes = usize::try_from(block.bodyLength())? + usize::try_from(block.metaDataLength())?;
    let data = buffer.slice_with_length(usize::try_from(block.offset())?, n_bytes);
    let batch = decoder.read_record_batch(block, &data)?.ok_or("no batch")?;
    Ok(batch.columns().iter().map(|array| array.as_fixed_size_binary().clone()).collect())
}
