//! Encodings without the checksums around them.

use lagdb_format::encoding::bare;
use lagdb_format::{ElementType, Encoding};

/// Any numbers come back from byte-split + zstd; any bytes decode to the length asked for or are refused.
pub fn encoding_byte_split(data: &[u8]) {
    let Some((choice, data)) = data.split_first_chunk::<3>() else { return };
    let element = [ElementType::F32, ElementType::F16, ElementType::Bf16][usize::from(choice[0] % 3)];
    comes_back(element, data);

    let n_numbers = usize::from(u16::from_le_bytes([choice[1], choice[2]]));
    let mut raw = vec![0; n_numbers * element.n_bytes()];
    if bare::decode(Encoding::ByteSplitZstd, element, data, &mut raw).is_ok() {
        comes_back(element, &raw);
    }
}

fn comes_back(element: ElementType, raw: &[u8]) {
    let Ok(stored) = bare::encode(Encoding::ByteSplitZstd, element, raw) else {
        assert!(raw.is_empty() || !raw.len().is_multiple_of(element.n_bytes()), "whole numbers are encoded");
        return;
    };
    assert!(stored.len() <= raw.len() + 16, "never more than the lengths of the planes");
    let mut decoded = vec![0xa5; raw.len()];
    bare::decode(Encoding::ByteSplitZstd, element, &stored, &mut decoded).expect("what was encoded is decoded");
    assert_eq!(decoded, raw);
}
