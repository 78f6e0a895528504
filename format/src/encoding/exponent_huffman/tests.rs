//! Any numbers come back, to the last bit, and damage is found or decodes to other numbers of the same page.

use super::*;
use crate::Part;
use proptest::prelude::*;

const ELEMENTS: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::Bf16];

fn shape(element: ElementType, n_tokens: usize, n_kv_heads: usize, head_dim: usize) -> PageShape {
    let (n_tokens, n_kv_heads, head_dim) = (n_tokens as u32, n_kv_heads as u32, head_dim as u32);
    PageShape { element, part: Part::Keys, n_tokens, n_kv_heads, head_dim }
}

/// SplitMix64.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Channels of a size and a sign of their own, as keys have.
fn like_keys(shape: PageShape, seed: u64) -> Vec<u8> {
    let mut next = random(seed);
    let width = shape.row_width();
    let sizes: Vec<f32> = (0..width).map(|_| [0.01, 0.5, 1.0, -2.0, 20.0][(next() % 5) as usize]).collect();
    let mut normal = || (0..8).map(|_| (next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 4.0;
    let numbers: Vec<f32> =
        (0..shape.n_tokens as usize * width).map(|i| sizes[i % width] * (1.0 + 0.7 * normal())).collect();
    shape.element.encode_f32(&numbers).unwrap()
}

/// A decoder that has read another page of this shape.
fn after_another(shape: PageShape) -> Decoder {
    let mut raw = like_keys(shape, 77);
    let full = shape.element.encode_f32(&[1.999_999_9_f32, 1.999, 1.99][..]).unwrap();
    raw.iter_mut().zip(full.iter().cycle()).step_by(3).for_each(|(byte, full)| *byte = *full);
    let (mut stored, mut decoder) = (Vec::new(), Decoder::default());
    Encoder::default().encode(shape, &raw, &mut stored);
    let mut decoded = vec![0; raw.len()];
    decoder.decode(shape, &stored, &mut decoded).unwrap();
    assert!(decoded == raw);
    decoder
}

/// Encodes, decodes in every way and compares; the stored form.
fn comes_back(shape: PageShape, raw: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    Encoder::default().encode(shape, raw, &mut stored);
    assert!(stored.len() <= raw.len() + MOST_EXTRA_BYTES);
    let mut decoded = vec![0xa5; raw.len()];
    // Buffers are those of a page before, in which every bit of a mantissa is set somewhere.
    let mut decoder = after_another(shape);
    decoder.decode(shape, &stored, &mut decoded).unwrap();
    assert!(decoded == raw, "{shape:?}");
    let n = raw.len() / shape.element.n_bytes();
    let (mut expected, mut found) = (vec![0.0; n], vec![f32::NAN; n]);
    shape.element.decode_f32(raw, &mut expected).unwrap();
    decoder.decode_f32(shape, &stored, &mut found).unwrap();
    assert!(expected.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits()), "{shape:?} as f32");
    stored
}

#[test]
fn pages_of_every_size_come_back() {
    for element in ELEMENTS {
        for (tokens, heads, dim) in [
            (1, 1, 1),
            (1, 1, 7),
            (1, 2, 4),
            (2, 1, 8),
            (3, 5, 51),
            (15, 1, 64),
            (16, 1, 64),
            (17, 3, 33),
            (40, 2, 32),
            (128, 8, 64),
            (70, 1, 1),
            (5000, 1, 1),
            (1, 1, 5000),
            (64, 2, 64),
            (65, 2, 64),
            (33, 1, 255),
        ] {
            let shape = shape(element, tokens, heads, dim);
            comes_back(shape, &like_keys(shape, tokens as u64));
        }
    }
}

#[test]
fn keys_and_values_become_smaller() {
    for (element, at_least) in [(ElementType::F32, 1.2), (ElementType::F16, 1.2), (ElementType::Bf16, 1.5)] {
        let shape = shape(element, 128, 8, 64);
        let raw = like_keys(shape, 1);
        let ratio = raw.len() as f64 / comes_back(shape, &raw).len() as f64;
        assert!(ratio > at_least, "{element:?}: {ratio}");
    }
}

/// Every kind of number, in pages that look like nothing else.
#[test]
fn odd_numbers_come_back() {
    for element in ELEMENTS {
        let width = element.n_bytes();
        let ones =
            [1_u32 << (8 * width - 1), 0, 1, 0x7c00, 0xfc00, 0x7e01, 0xfd55, 0x7f80, 0xff80, 0x7f80_0000, 0xffc0_1234];
        for odd in ones {
            for other in [0, 0x3c01_u32, 0x4048_f5c3] {
                let shape = shape(element, 40, 1, 10);
                let numbers =
                    (0..400).flat_map(|i| if i % 7 == 0 { odd } else { other }.to_le_bytes()[..width].to_vec());
                let stored = comes_back(shape, &numbers.collect::<Vec<_>>());
                assert!(stored.len() < 400 * width / 2, "{} bytes", stored.len());
            }
        }
    }
}

#[test]
fn constant_pages_are_next_to_nothing() {
    for element in ELEMENTS {
        let shape = shape(element, 128, 8, 64);
        let raw = element.encode_f32(&vec![-1.5; 128 * 512]).unwrap();
        assert!(comes_back(shape, &raw).len() < 512 + 128);
    }
}

#[test]
fn noise_is_kept_as_it_is() {
    let mut next = random(3);
    for element in ELEMENTS {
        let shape = shape(element, 30, 2, 16);
        let raw: Vec<u8> = (0..30 * 32 * element.n_bytes()).map(|_| next() as u8).collect();
        let stored = comes_back(shape, &raw);
        assert!(element == ElementType::F32 || stored[0] == AS_THEY_ARE && stored[1..] == raw);
    }
}

/// f32 that were f16 or bf16 have zeros below, which are not stored.
#[test]
fn widened_numbers_take_no_more_than_before() {
    for element in [ElementType::F16, ElementType::Bf16] {
        let narrow = shape(element, 64, 2, 64);
        let raw = like_keys(narrow, 5);
        let mut wide = vec![0.0; raw.len() / 2];
        element.decode_f32(&raw, &mut wide).unwrap();
        let wide: Vec<u8> = wide.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (before, after) =
            (comes_back(narrow, &raw).len(), comes_back(shape(ElementType::F32, 64, 2, 64), &wide).len());
        assert!(after.abs_diff(before) < 200, "{after} bytes, {before} before");
    }
}

/// As the first layer has them, whose keys and values depend on the token alone.
#[test]
fn rows_that_repeat_are_stored_once() {
    for element in ELEMENTS {
        let shape = shape(element, 60, 2, 32);
        let row_bytes = 64 * element.n_bytes();
        let fresh = like_keys(shape, 9);
        let rows = (0..60).map(|row| [row, row % 7, 0, row / 2][row % 4]);
        let raw: Vec<u8> = rows.clone().flat_map(|row| fresh[row * row_bytes..][..row_bytes].to_vec()).collect();
        let distinct = rows.collect::<std::collections::BTreeSet<_>>().len();
        let (fresh, stored) = (comes_back(shape, &fresh).len(), comes_back(shape, &raw).len());
        assert!(stored * 60 < fresh * (distinct + 5), "{stored} of {fresh} for {distinct} of 60");
    }
}

/// A page that is damaged is refused, or is another page; never anything else, and never more memory than its numbers.
#[test]
fn damaged_pages_decode_or_are_refused() {
    for (element, repeats) in [(ElementType::Bf16, true), (ElementType::F16, false), (ElementType::F32, true)] {
        let shape = shape(element, 20, 1, 16);
        let mut raw = like_keys(shape, 4);
        if repeats {
            raw.copy_within(..3 * 16 * element.n_bytes(), 10 * 16 * element.n_bytes());
        }
        let stored = comes_back(shape, &raw);
        let mut out = vec![0; raw.len()];
        let mut decoder = Decoder::default();
        let mut is_ok = |stored: &[u8]| decoder.decode(shape, stored, &mut out).is_ok();
        let mut n_refused = 0;
        for bit in 0..8 * stored.len() {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            n_refused += usize::from(!is_ok(&damaged));
        }
        assert!(n_refused > 8 * 20, "lengths and codes are checked");
        assert!((0..stored.len()).all(|n| !is_ok(&stored[..n])), "truncated");
        assert!(!is_ok(&[&stored[..], &[0]].concat()), "a byte more");
    }
}

proptest! {
    #[test]
    fn anything_comes_back(
        element in 0..3_usize, tokens in 1..40_usize, heads in 1..3_usize, dim in 1..40_usize, mask in any::<u32>(), seed in any::<u64>(),
    ) {
        let shape = shape(ELEMENTS[element], tokens, heads, dim);
        let mut next = random(seed);
        let width = shape.element.n_bytes();
        let numbers = (0..tokens * heads * dim).flat_map(|_| (next() as u32 & mask).to_le_bytes()[..width].to_vec());
        comes_back(shape, &numbers.collect::<Vec<_>>());
    }

    #[test]
    fn anything_decodes_or_is_refused(element in 0..3_usize, tokens in 1..20_u32, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let shape = shape(ELEMENTS[element], tokens as usize, 1, 5);
        let mut out = vec![0; tokens as usize * 5 * shape.element.n_bytes()];
        let _ = Decoder::default().decode(shape, &bytes, &mut out);
    }
}
