//! Every loop gives the same bits on every target, for widths that fill vectors and widths that do not.

use super::*;

fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..n).map(next).collect()
}

/// Numbers of many sizes, subnormal ones too.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let bits = noise(4 * n, seed);
    let number =
        |bits: &[u8; 4]| f32::from_bits(u32::from_le_bytes(*bits) & 0x81ff_ffff | u32::from(bits[0] & 63) << 24);
    bits.as_chunks::<4>().0.iter().map(number).collect()
}

/// As a page has them: eleven significant bits.
fn steps(n: usize, seed: u64) -> Vec<f32> {
    numbers(n, seed).into_iter().map(|x| f32::from_bits(x.abs().to_bits() & 0x7fff_e000)).collect()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// `run` on every target gives what it gives on the first, the reference; which it returns.
fn on_every_target(n: usize, run: impl Fn(Target, &mut [f32])) -> Vec<f32> {
    let on = |target| {
        let mut out = vec![f32::NAN; n];
        run(target, &mut out);
        out
    };
    let reference = on(Target::all()[0]);
    for target in Target::all() {
        assert_eq!(bits(&on(target)), bits(&reference), "{target:?}");
    }
    assert!(reference.iter().all(|x| !x.is_nan()), "every number is written");
    reference
}

/// Head widths that divide nothing, and those that models have.
const HEADS: [usize; 8] = [1, 2, 7, 16, 33, 50, 64, 128];

#[test]
fn codes_become_the_same_numbers_everywhere() {
    for head_dim in HEADS {
        let (n_heads, n_tokens) = (3, 5);
        let width = n_heads * head_dim;
        let (n, half) = (width * n_tokens, n_heads * n_tokens * head_dim.div_ceil(2));
        let (codes, packed) = (noise(n, 1), noise(half, 2));
        let (base, step) = (numbers(width, 3), steps(width, 4));
        let found = on_every_target(n, |target, out| expand_8_by_channel(target, &codes, &base, &step, out));
        assert_eq!(found[n - 1], base[width - 1] + f32::from(codes[n - 1]) * step[width - 1]);
        let found = on_every_target(n, |target, out| expand_4_by_channel(target, &packed, head_dim, &base, &step, out));
        assert_eq!(found[0], base[0] + f32::from(packed[0] & 15) * step[0]);
        for group in [1, 16, 50, 64, 1000] {
            let n_groups = n_heads * n_tokens * head_dim.div_ceil(group);
            let (base, step) = (numbers(n_groups, 5), steps(n_groups, 6));
            let by_8 = |t, out: &mut [f32]| expand_8_by_token(t, &codes, head_dim, group, &base, &step, out);
            let found = on_every_target(n, by_8);
            assert_eq!(found[n - 1], base[n_groups - 1] + f32::from(codes[n - 1]) * step[n_groups - 1]);
        }
    }
}

#[test]
fn halves_come_back() {
    for head_dim in HEADS {
        let codes = noise(6 * head_dim, 7);
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        pack_halves(&codes, head_dim, |code| code >> 4, &mut upper);
        pack_halves(&codes, head_dim, |code| code & 15, &mut lower);
        for target in Target::all() {
            let mut joined = vec![0; codes.len()];
            join_halves(target, &upper, &lower, head_dim, &mut joined);
            assert_eq!(joined, codes, "{target:?}");
            split_halves(target, &upper, head_dim, &mut joined);
            assert!(joined.iter().zip(&codes).all(|(half, code)| *half == code >> 4), "{target:?}");
        }
    }
}

#[test]
fn numbers_become_the_same_codes_everywhere() {
    for head_dim in HEADS {
        let width = 3 * head_dim;
        let (x, low, step) = (numbers(4 * width, 8), numbers(width, 9), steps(width, 10));
        let on = |target, by_channel: bool| {
            let mut codes = vec![0; x.len()];
            if by_channel {
                shrink_by_channel(target, &x, &low, &step, &mut codes);
            } else {
                let (low, step) = (low.repeat(4), step.repeat(4));
                shrink_by_token(target, &x, head_dim, 5, &low, &step, &mut codes);
            }
            codes
        };
        for by_channel in [false, true] {
            let reference = on(Target::all()[0], by_channel);
            assert!(Target::all().into_iter().all(|target| on(target, by_channel) == reference));
        }
    }
}

#[test]
fn turning_twice_multiplies_by_the_width() {
    for width in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let whole: Vec<f32> = noise(3 * width, 11).into_iter().map(f32::from).collect();
        let once = |target, out: &mut [f32]| {
            out.copy_from_slice(&whole);
            walsh_hadamard(target, out, width);
        };
        let mut turned = on_every_target(whole.len(), once);
        let by_definition = |i: usize| -> f32 {
            (0..width).map(|j| if (i & j).count_ones().is_multiple_of(2) { whole[j] } else { -whole[j] }).sum()
        };
        assert!((0..width).all(|i| turned[i] == by_definition(i)), "width {width}");
        walsh_hadamard(Target::best(), &mut turned, width);
        assert!(turned.iter().zip(&whole).all(|(twice, x)| *twice == width as f32 * x));
        let noise = numbers(3 * width, 12);
        on_every_target(noise.len(), |target, out: &mut [f32]| {
            out.copy_from_slice(&noise);
            walsh_hadamard(target, out, width);
        });
    }
}

#[test]
fn dot_products_are_the_same_everywhere() {
    for n in [1, 15, 16, 50, 64, 128] {
        let (codes, weights) = (noise(n, 13), numbers(n, 14));
        let found = on_every_target(1, |target, out| dot_codes(target, &codes, &weights, &mut out[0]));
        let exact: f64 = codes.iter().zip(&weights).map(|(code, x)| f64::from(*code) * f64::from(*x)).sum();
        let size: f64 = codes.iter().zip(&weights).map(|(code, x)| f64::from(*code) * f64::from(x.abs())).sum();
        assert!((f64::from(found[0]) - exact).abs() <= 1e-6 * size + 1e-40, "{n}: {} is {exact}", found[0]);
    }
}
