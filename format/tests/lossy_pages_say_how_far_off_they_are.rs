//! What a lossy encoding gives back is as near as it says, on every reading; layers end at the exact bits.

use lagdb_format::encoding::{QuantizedPage, bare};
use lagdb_format::{ElementType, Encoding, FormatError, PageError, PageShape, Part};
use proptest::prelude::*;

const LOSSY: [Encoding; 2] = [Encoding::Int8, Encoding::Int4];

/// A page of finite numbers: channels of their own offset and size, some of them large.
#[derive(Clone, Debug)]
struct Page {
    shape: PageShape,
    raw: Vec<u8>,
}

impl Page {
    fn new(shape: PageShape, size: f32, seed: u64) -> Self {
        let mut state = seed;
        let mut unit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        let channels: Vec<_> =
            (0..shape.row_width()).map(|c| (unit(), if c % 50 == 7 { 12.0 } else { unit() })).collect();
        let row = |_| channels.clone();
        let numbers: Vec<f32> = (0..shape.n_tokens)
            .flat_map(row)
            .map(|(offset, spread)| (offset + spread * (unit() + unit() + unit())) * size)
            .collect();
        Self { shape, raw: shape.element.encode_f32(&numbers).unwrap() }
    }

    fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.raw.len() / self.shape.element.n_bytes()];
        self.shape.element.decode_f32(&self.raw, &mut numbers).unwrap();
        numbers
    }
}

fn pages() -> impl Strategy<Value = Page> {
    let elements = prop::sample::select(vec![ElementType::F32, ElementType::F16, ElementType::Bf16]);
    let sizes = (1..70_u32, 1..4_u32, prop::sample::select(vec![1_u32, 2, 3, 8, 16, 20, 64, 128]));
    let parts = prop::sample::select(vec![Part::Keys, Part::Values]);
    // The largest f16 is 65504; the least is 6e-8.
    let magnitudes = prop::sample::select(vec![0.0, 1e-7, 1e-3, 1.0, 1500.0_f32]);
    (elements, sizes, parts, magnitudes, any::<u64>()).prop_map(|(element, sizes, part, size, seed)| {
        let (n_tokens, n_kv_heads, head_dim) = sizes;
        Page::new(PageShape { element, part, n_tokens, n_kv_heads, head_dim }, size, seed)
    })
}

/// What the error would be if the page said nothing.
fn error_of(exact: &[f32], found: &[f32]) -> PageError {
    let square = |x: f64| x * x;
    let differences: f64 = exact.iter().zip(found).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let squares: f64 = exact.iter().map(|x| square(f64::from(*x))).sum();
    let max = exact.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A zero that lost its sign is not the same either.
    let is_same = exact.iter().zip(found).all(|(a, b)| a.to_bits() == b.to_bits());
    let max = if max == 0.0 && !is_same { f32::from_bits(1) } else { max };
    PageError { relative_l2: if squares > 0.0 { (differences / squares).sqrt() as f32 } else { 0.0 }, max }
}

fn assert_near(said: PageError, found: PageError) {
    assert!((said.relative_l2 - found.relative_l2).abs() <= 1e-4 * found.relative_l2, "{said:?} is {found:?}");
    assert_eq!(said.max, found.max);
}

proptest! {
    #[test]
    fn the_error_is_the_one_said(page in pages()) {
        let exact = page.numbers();
        for encoding in LOSSY {
            let (stored, said) = bare::encode(encoding, page.shape, &page.raw).unwrap();
            let mut found = vec![f32::NAN; exact.len()];
            bare::decode_f32(encoding, page.shape, &stored, &mut found).unwrap();
            assert_near(said, error_of(&exact, &found));
            let mut raw = vec![0; page.raw.len()];
            bare::decode(encoding, page.shape, &stored, &mut raw).unwrap();
            let mut rounded = vec![f32::NAN; exact.len()];
            page.shape.element.decode_f32(&raw, &mut rounded).unwrap();
            // Rounding to the element type adds half a unit of its last place: 2^-9 for bf16.
            let rounding = found.iter().fold(0.0, |a: f32, x| a.max(x.abs())) / 256.0 + 1e-7;
            prop_assert!(error_of(&found, &rounded).max <= rounding);
        }
    }

    #[test]
    fn layers_come_nearer_and_end_exact(page in pages()) {
        let exact = page.numbers();
        let (stored, said) = bare::encode_levels(&Encoding::LAYERED, page.shape, &page.raw).unwrap();
        prop_assert_eq!(bare::encode(Encoding::Int4, page.shape, &page.raw).unwrap(), (stored[0].clone(), said[0]));
        let levels: Vec<_> = Encoding::LAYERED.into_iter().zip(stored.iter().map(Vec::as_slice)).collect();
        for n in 1..=3 {
            let mut found = vec![f32::NAN; exact.len()];
            bare::decode_levels_f32(page.shape, &levels[..n], &mut found).unwrap();
            assert_near(said[n - 1], error_of(&exact, &found));
        }
        // Sixteen times nearer, but where a few numbers happen to lie in the middle of their cells.
        prop_assert!(said[1].relative_l2 <= said[0].relative_l2 / 8.0 + 2e-3, "{:?}", said);
        let mut raw = vec![0; page.raw.len()];
        bare::decode_levels(page.shape, &levels, &mut raw).unwrap();
        prop_assert!(raw == page.raw, "the last level is exact");
    }

    #[test]
    fn any_bytes_are_numbers_or_corrupt(page in pages(), flips in prop::collection::vec(any::<prop::sample::Index>(), 1..8)) {
        for encoding in LOSSY {
            let (mut stored, _) = bare::encode(encoding, page.shape, &page.raw).unwrap();
            for flip in &flips {
                let bit = flip.index(stored.len() * 8);
                stored[bit / 8] ^= 1 << (bit % 8);
            }
            let mut out = vec![0.0; page.raw.len() / page.shape.element.n_bytes()];
            match bare::decode_f32(encoding, page.shape, &stored, &mut out) {
                Ok(()) => prop_assert!(out.iter().all(|x| x.is_finite())),
                Err(error) => prop_assert!(matches!(error, FormatError::Corrupt { .. }), "{error}"),
            }
        }
    }
}

proptest! {
    /// Scores and mixes of every way that an int8 page may be stored, of few queries and many, of all heads and some; this writer
    /// does not rotate, others may.
    #[test]
    fn what_is_made_of_stored_codes_is_what_the_decoded_numbers_give(
        page in pages(),
        seed in any::<u64>(),
        rotates in any::<bool>(),
        n_queries in prop::sample::select(vec![1_usize, 2, 3, 7, 8, 9, 25]),
        some in any::<bool>(),
    ) {
        let (mut stored, _) = bare::encode(Encoding::Int8, page.shape, &page.raw).unwrap();
        if rotates && stored[2] == 2 && page.shape.head_dim.is_power_of_two() {
            stored[3] |= 1;
        }
        let mut numbers = vec![0.0; page.raw.len() / page.shape.element.n_bytes()];
        bare::decode_f32(Encoding::Int8, page.shape, &stored, &mut numbers).unwrap();
        let quantized = QuantizedPage::parse(page.shape, &stored).unwrap();
        let (head_dim, n_tokens) = (page.shape.head_dim as usize, quantized.n_tokens());
        let n_heads = page.shape.n_kv_heads;
        let heads = if some { n_heads - 1..n_heads } else { 0..n_heads };
        let whole = |i: usize| ((seed >> (i * 7 % 60)) & 15) as f32 - 7.0;
        let queries: Vec<f32> = (0..heads.len() * n_queries * head_dim).map(whole).collect();
        let weights: Vec<f32> = (0..heads.len() * n_queries * n_tokens).map(whole).collect();
        let largest = numbers.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        let is_near = |found: f32, products: &mut dyn Iterator<Item = f32>| {
            let (exact, size, n) = products.map(f64::from).fold((0.0, 0.0, 0), |(sum, size, n): (f64, f64, _), x| {
                (sum + x, size + x.abs(), n + 1)
            });
            // Ranges reach as far as the numbers of all heads and tokens.
            let rounding = 1e-5 * (size + f64::from(largest) * f64::from(n) * 7.0) * if rotates { 8.0 } else { 1.0 };
            prop_assert!((f64::from(found) - exact).abs() <= rounding, "{found} is {exact}");
            Ok(())
        };
        let (mut scores, mut mixed) = (vec![f32::NAN; weights.len()], vec![1.0; queries.len()]);
        quantized.scores(heads.clone(), &queries, &mut scores).unwrap();
        quantized.mix(heads.clone(), &weights, &mut mixed).unwrap();
        for (i, query) in queries.chunks(head_dim).enumerate() {
            let head = heads.start as usize + i / n_queries;
            let rows = || numbers.chunks(page.shape.row_width()).map(|row| &row[head * head_dim..][..head_dim]);
            for (score, row) in scores[i * n_tokens..][..n_tokens].iter().zip(rows()) {
                is_near(*score, &mut query.iter().zip(row).map(|(q, x)| q * x))?;
            }
            let weights = &weights[i * n_tokens..][..n_tokens];
            for (channel, found) in mixed[i * head_dim..][..head_dim].iter().enumerate() {
                is_near(*found, &mut weights.iter().zip(rows()).map(|(w, row)| w * row[channel]).chain([1.0]))?;
            }
        }
        let (queries, weights) = (&queries[..head_dim], &weights[..n_tokens]);
        let (scores, mixed) = (&mut scores[..n_tokens], &mut mixed[..head_dim]);
        let none = n_heads..n_heads + 1;
        prop_assert!(quantized.scores(none.clone(), queries, scores).is_err());
        prop_assert!(quantized.scores(0..1, &queries[1..], scores).is_err());
        prop_assert!(quantized.scores(0..1, queries, &mut scores[1..]).is_err());
        prop_assert!(quantized.scores(0..0, &[], &mut []).is_err());
        prop_assert!(quantized.mix(none, weights, mixed).is_err());
        prop_assert!(quantized.mix(0..1, &weights[1..], mixed).is_err());
        prop_assert!(quantized.mix(0..1, weights, &mut mixed[1..]).is_err());
        prop_assert!(QuantizedPage::parse(page.shape, &stored[1..]).is_err());
    }
}

#[test]
fn every_shorter_and_longer_page_is_corrupt() {
    let shape = PageShape { element: ElementType::F16, part: Part::Keys, n_tokens: 40, n_kv_heads: 2, head_dim: 3 };
    for part in [Part::Keys, Part::Values] {
        let page = Page::new(PageShape { part, ..shape }, 1.0, 1);
        for encoding in LOSSY {
            let (stored, _) = bare::encode(encoding, page.shape, &page.raw).unwrap();
            let mut out = vec![0.0; page.raw.len() / 2];
            let longer = [stored.as_slice(), &[0]].concat();
            for bytes in (0..stored.len()).map(|n| &stored[..n]).chain([longer.as_slice()]) {
                let decoded = bare::decode_f32(encoding, page.shape, bytes, &mut out);
                assert!(matches!(decoded, Err(FormatError::Corrupt { .. })), "{} bytes: {decoded:?}", bytes.len());
            }
        }
    }
}

#[test]
fn what_has_no_range_is_refused_by_its_place() {
    let shape = PageShape { element: ElementType::F32, part: Part::Values, n_tokens: 2, n_kv_heads: 2, head_dim: 3 };
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let mut numbers = [1.0; 12];
        numbers[6 + 3 + 2] = odd;
        let raw = shape.element.encode_f32(&numbers).unwrap();
        for encoding in LOSSY {
            let refused = bare::encode(encoding, shape, &raw).unwrap_err();
            assert!(matches!(refused, FormatError::Invalid { what: "numbers", .. }));
            assert!(refused.to_string().contains("token 1 of the page, head 1, channel 2"), "{refused}");
        }
    }
}

#[test]
fn residuals_do_not_stand_alone() {
    let shape = PageShape { element: ElementType::F16, part: Part::Values, n_tokens: 1, n_kv_heads: 1, head_dim: 4 };
    let page = Page::new(shape, 1.0, 1);
    let (stored, _) = bare::encode_levels(&Encoding::LAYERED, shape, &page.raw).unwrap();
    let [base, residual, exact] = stored.as_slice() else { panic!("three levels") };
    let mut out = [0.0; 4];
    for levels in [
        &[(Encoding::Int8Residual, residual.as_slice())][..],
        &[(Encoding::ExactResidual, exact)],
        &[(Encoding::Int4, base), (Encoding::ExactResidual, exact)],
        &[(Encoding::Int8, base), (Encoding::Int8Residual, residual)],
        &[],
    ] {
        let decoded = bare::decode_levels_f32(shape, levels, &mut out);
        assert!(matches!(decoded, Err(FormatError::Corrupt { .. })), "{levels:?}");
        let levels: Vec<_> = levels.iter().map(|(encoding, _)| *encoding).collect();
        let encoded = bare::encode_levels(&levels, shape, &page.raw);
        assert!(matches!(encoded, Err(FormatError::Invalid { .. })), "{levels:?}");
    }
}

/// Two in a hundred channels are twelve times as large as the others: where one scale a token is bad.
#[test]
fn large_channels_do_not_drown_the_others() {
    for part in [Part::Keys, Part::Values] {
        let shape = PageShape { element: ElementType::F16, part, n_tokens: 256, n_kv_heads: 8, head_dim: 64 };
        let page = Page::new(shape, 1.0, 3);
        let exact = page.numbers();
        let naive: Vec<f32> = exact
            .chunks(shape.row_width())
            .flat_map(|row| {
                let step = row.iter().fold(0.0, |a: f32, x| a.max(x.abs())) / 7.0;
                row.iter().map(move |x| (x / step).round() * step)
            })
            .collect();
        let (naive, (_, found)) = (error_of(&exact, &naive), bare::encode(Encoding::Int4, shape, &page.raw).unwrap());
        assert!(found.relative_l2 * 3.0 <= naive.relative_l2, "{part:?}: {found:?}, one scale a token {naive:?}");
    }
}
