//! Encodings without the checksums around them: what they write they read, and any bytes are numbers or refused.

use lagdb_format::encoding::bare;
use lagdb_format::{ElementType, Encoding, PageError, PageShape, Part, QuantizedPage};

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

/// Any numbers come back from exponent-huffman; any bytes decode, to the same numbers as bytes and as f32, or are refused. All
/// of it after another page, whose every mantissa bit is set, and as without.
pub fn encoding_exponent_huffman(data: &[u8]) {
    let encoding = Encoding::ExponentHuffman;
    let Some((shape, data)) = data.split_first_chunk::<4>() else { return };
    let shape = shape_of(*shape);
    let width = shape.element.n_bytes();
    let mut raw = vec![0x3f; shape.n_tokens as usize * shape.row_width() * width];
    let mut numbers = vec![0.0; raw.len() / width];
    let mut kept = bare::Kept::default();
    raw.as_chunks_mut::<2>().0.iter_mut().step_by(2).for_each(|bytes| *bytes = [0xff, 0x3f]);
    let before = kept.encode(encoding, shape, &raw).expect("any numbers are encoded");
    kept.decode(encoding, shape, &before, &mut raw).expect("what was encoded is decoded");

    let decoded = kept.decode(encoding, shape, data, &mut raw);
    let widened = kept.decode_f32(encoding, shape, data, &mut numbers);
    assert_eq!(decoded, widened);
    let mut expected = numbers.clone();
    if decoded.is_ok() {
        shape.element.decode_f32(&raw, &mut expected).expect("whole numbers");
        assert!(expected.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()), "as f32");
    } else {
        raw.iter_mut().zip(data.iter().cycle()).for_each(|(raw, byte)| *raw = *byte);
        shape.element.decode_f32(&raw, &mut expected).expect("whole numbers");
    }
    let stored = kept.encode(encoding, shape, &raw).expect("any numbers are encoded");
    let (alone, error) = bare::encode(encoding, shape, &raw).expect("any numbers are encoded");
    assert!(stored == alone && stored.len() <= raw.len() + 1 && error == PageError::NONE);
    kept.decode_f32(encoding, shape, &stored, &mut numbers).expect("what was encoded is decoded");
    assert!(expected.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()), "as f32");
    let exact = std::mem::replace(&mut raw, vec![0xa5; expected.len() * width]);
    kept.decode(encoding, shape, &stored, &mut raw).expect("what was encoded is decoded");
    assert_eq!(raw, exact);
}

/// As many numbers as there are whole ones in `n_bytes`, of one token.
fn one_row(element: ElementType, n_bytes: usize) -> PageShape {
    let head_dim = (n_bytes / element.n_bytes()) as u32;
    PageShape { element, part: Part::Keys, n_tokens: 1, n_kv_heads: 1, head_dim }
}

/// A page shape of at most 4,096 numbers out of four bytes.
fn shape_of([kind, n_tokens, n_kv_heads, head_dim]: [u8; 4]) -> PageShape {
    let element = [ElementType::F32, ElementType::F16, ElementType::Bf16][usize::from(kind % 3)];
    let part = if kind & 4 == 0 { Part::Keys } else { Part::Values };
    let head_dim = [1, 2, 3, 7, 8, 16, 33, 64][usize::from(head_dim % 8)];
    let (n_tokens, n_kv_heads) = (u32::from(n_tokens % 64) + 1, u32::from(n_kv_heads % 2) + 1);
    PageShape { element, part, n_tokens, n_kv_heads, head_dim }
}

/// Numbers come back from int8, int4 and their residuals as near as is said; any bytes decode to finite numbers or are
/// refused.
pub fn encoding_quantized(data: &[u8]) {
    let Some((shape, data)) = data.split_first_chunk::<4>() else { return };
    let shape = shape_of(*shape);
    let mut raw = vec![0; shape.n_tokens as usize * shape.row_width() * shape.element.n_bytes()];
    let mut numbers = vec![0.0; raw.len() / shape.element.n_bytes()];
    for encoding in [Encoding::Int8, Encoding::Int4] {
        if bare::decode_f32(encoding, shape, data, &mut numbers).is_ok() {
            assert!(numbers.iter().all(|x| x.is_finite()), "{encoding:?} gives numbers");
        }
    }
    codes_are_read(shape, data, &mut numbers);
    let (base, residual) = data.split_at(data.len() / 2);
    let (residual, exact) = residual.split_at(residual.len() / 2);
    let levels = [(Encoding::Int4, base), (Encoding::Int8Residual, residual), (Encoding::ExactResidual, exact)];
    for n in 2..=3 {
        if bare::decode_levels_f32(shape, &levels[..n], &mut numbers).is_ok() && n == 2 {
            assert!(numbers.iter().all(|x| x.is_finite()), "layers give numbers");
        }
    }
    raw.iter_mut().zip(data.iter().cycle()).for_each(|(raw, byte)| *raw = *byte);
    layers_come_back(shape, &raw);
}

/// A page is read as it is stored exactly when it is decoded.
fn codes_are_read(shape: PageShape, stored: &[u8], numbers: &mut [f32]) {
    let decoded = bare::decode_f32(Encoding::Int8, shape, stored, numbers);
    let page = QuantizedPage::parse(shape, stored);
    assert_eq!(decoded.is_ok(), page.is_ok());
    let Ok(page) = page else { return };
    let (d, n_tokens, heads) = (shape.head_dim as usize, shape.n_tokens as usize, shape.n_kv_heads as usize);
    // Few queries a head take another way than many.
    for n in [1, 9] {
        let (mut scores, mut mixed) = (vec![1.0; heads * n * n_tokens], vec![0.0; heads * n * d]);
        page.scores(0..shape.n_kv_heads, &vec![0.0; heads * n * d], &mut scores).expect("heads that there are");
        page.mix(0..shape.n_kv_heads, &vec![0.0; heads * n * n_tokens], &mut mixed).expect("heads that there are");
        assert!(scores.iter().chain(&mixed).all(|x| *x == 0.0), "of nothing comes nothing");
    }
}

fn layers_come_back(shape: PageShape, raw: &[u8]) {
    let mut numbers = vec![0.0; raw.len() / shape.element.n_bytes()];
    shape.element.decode_f32(raw, &mut numbers).expect("whole numbers");
    let has_range = numbers.iter().all(|x| x.abs() < 2.0_f32.powi(90));
    for encoding in [Encoding::Int8, Encoding::Int4] {
        let encoded = bare::encode(encoding, shape, raw);
        assert_eq!(encoded.is_ok(), has_range, "what has no range is refused, and nothing else");
        let Ok((stored, error)) = encoded else { return };
        let mut found = vec![f32::NAN; numbers.len()];
        bare::decode_f32(encoding, shape, &stored, &mut found).expect("what was encoded is decoded");
        let max = numbers.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A zero that lost its sign is off by the smallest number.
        let is_same = numbers.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits());
        let max = if max == 0.0 && !is_same { f32::from_bits(1) } else { max };
        assert_eq!(max, error.max, "{encoding:?}");
    }
    let (stored, _) = bare::encode_levels(&Encoding::LAYERED, shape, raw).expect("numbers with a range");
    let levels: Vec<_> = Encoding::LAYERED.into_iter().zip(stored.iter().map(Vec::as_slice)).collect();
    let mut decoded = vec![0xa5; raw.len()];
    bare::decode_levels(shape, &levels, &mut decoded).expect("what was encoded is decoded");
    assert_eq!(decoded, raw, "the last level is exact");
}
