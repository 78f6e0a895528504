//! Encodings without the checksums around them.

use lagdb_format::encoding::bare;
use lagdb_format::{ElementType, Encoding, PageShape, Part};

/// Any numbers come back from byte-split + zstd; any bytes decode to the length asked for or are refused.
pub fn encoding_byte_split(data: &[u8]) {
    let Some((choice, data)) = data.split_first_chunk::<3>() else { return };
    let element = [ElementType::F32, ElementType::F16, ElementType::Bf16][usize::from(choice[0] % 3)];
    comes_back(element, data);

    let n_numbers = usize::from(u16::from_le_bytes([choice[1], choice[2]]));
    let mut raw = vec![0; n_numbers * element.n_bytes()];
    if bare::decode(Encoding::ByteSplitZstd, one_row(element, raw.len()), data, &mut raw).is_ok() {
        comes_back(element, &raw);
    }
}

fn comes_back(element: ElementType, raw: &[u8]) {
    let shape = one_row(element, raw.len());
    let Ok((stored, _)) = bare::encode(Encoding::ByteSplitZstd, shape, raw) else {
        assert!(raw.is_empty() || !raw.len().is_multiple_of(element.n_bytes()), "whole numbers are encoded");
        return;
    };
    assert!(stored.len() <= raw.len() + 16, "never more than the lengths of the planes");
    let mut decoded = vec![0xa5; raw.len()];
    bare::decode(Encoding::ByteSplitZstd, shape, &stored, &mut decoded).expect("what was encoded is decoded");
    assert_eq!(decoded, raw);
}

/// As many numbers as there are whole ones in `n_bytes`, of one token.
fn one_row(element: ElementType, n_bytes: usize) -> PageShape {
    let head_dim = (n_bytes / element.n_bytes()) as u32;
    PageShape { element, part: Part::Keys, n_tokens: 1, n_kv_heads: 1, head_dim }
}
