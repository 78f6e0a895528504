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

/// Rows of a head lie between those of others; sums are those of f64 to the rounding of f32, and what lies between rows of `out`
/// stays as it is.
#[test]
fn products_of_codes_are_those_of_plain_loops() {
    // Fewer and more rows than are computed together, widths that fill registers and widths that do not.
    let sizes = [1, 2, 3, 4, 5, 8, 9, 13, 31].into_iter().flat_map(|n| {
        let shapes = [
            (1, 1, 3),
            (15, 40, 2),
            (16, 16, 1),
            (50, 77, 4),
            (64, 128, 33),
            (96, 96, 9),
            (128, 256, 7),
            (200, 201, 3),
        ];
        shapes.map(|shape| (n, shape))
    });
    for (n, (width, stride, n_rows)) in sizes {
        let bytes = noise((n_rows - 1) * stride + width, 13);
        assert!(CodeRows::new(&bytes[1..], stride, n_rows, width).is_none());
        let codes = CodeRows::new(&bytes, stride, n_rows, width).unwrap();
        let code = |row: usize, channel: usize| f64::from(bytes[row * stride + channel]);
        let is_near = |found: f32, products: &mut dyn Iterator<Item = f64>| {
            let (exact, size) = products.fold((1.0, 1.0), |(sum, size): (f64, f64), x| (sum + x, size + x.abs()));
            assert!((f64::from(found) - exact).abs() <= 1e-6 * size, "{n}, {width}, {n_rows}: {found} is {exact}");
        };
        let unit = |i: usize| ((i * 7919 + 13) % 257) as f32 / 128.0 - 1.0;
        let (numbers, weights): (Vec<f32>, Vec<f32>) =
            ((0..n * width).map(unit).collect(), (0..n * (n_rows + 2)).map(unit).collect());
        for target in Target::all() {
            let (out_stride, mut dots) = (n_rows + 3, vec![1.0; n * (n_rows + 3)]);
            add_dots(target, codes, &numbers, &mut dots, out_stride);
            for (i, found) in dots.into_iter().enumerate() {
                let (q, row) = (i / out_stride, i % out_stride);
                let n_products = if row < n_rows { width } else { 0 };
                let product = |channel: usize| code(row, channel) * f64::from(numbers[q * width + channel]);
                is_near(found, &mut (0..n_products).map(product));
            }
            let (out_stride, mut sums) = (width + 5, vec![1.0; n * (width + 5)]);
            add_rows(target, codes, &weights, n_rows + 2, &mut sums, out_stride);
            for (i, found) in sums.into_iter().enumerate() {
                let (q, channel) = (i / out_stride, i % out_stride);
                let n_products = if channel < width { n_rows } else { 0 };
                let product = |row: usize| code(row, channel) * f64::from(weights[q * (n_rows + 2) + row]);
                is_near(found, &mut (0..n_products).map(product));
            }
        }
    }
}

/// Also of columns and rows out of the middle.
#[test]
fn codes_are_laid_channel_by_channel() {
    for (width, stride, n_rows) in [(1, 1, 3), (15, 40, 20), (16, 16, 16), (64, 128, 33), (128, 256, 47)] {
        let bytes = noise((n_rows - 1) * stride + width, 13);
        let all = CodeRows::new(&bytes, stride, n_rows, width).unwrap();
        for (rows, columns) in [(0..n_rows, 0..width), (1..n_rows, 0..width), (0..n_rows - 1, width / 2..width)] {
            let codes = all.rows(rows.clone()).columns(columns.clone());
            for target in Target::all() {
                let out_stride = rows.len() + 1;
                let mut out = vec![0; columns.len() * out_stride];
                transpose(target, codes, &mut out, out_stride);
                for (i, found) in out.into_iter().enumerate() {
                    let (channel, row) = (i / out_stride, i % out_stride);
                    let is_row = row < rows.len();
                    let code = if is_row { bytes[(rows.start + row) * stride + columns.start + channel] } else { 0 };
                    assert_eq!(found, code, "{target:?} {width} {n_rows} {channel} {row}");
                }
            }
        }
    }
}

#[test]
fn numbers_are_scaled_and_weighed_by_bases() {
    for n in [1, 15, 16, 33, 128] {
        let (x, base, step) = (numbers(n, 1), numbers(n, 2), steps(n, 3));
        let scaled = on_every_target(n + 1, |target, out| {
            let (out, sum) = out.split_at_mut(n);
            scale(target, &x, &base, &step, out, &mut sum[0]);
        });
        assert_eq!(bits(&scaled[..n]), bits(&(0..n).map(|i| x[i] * step[i]).collect::<Vec<_>>()));
        let products = || (0..n).map(|i| f64::from(x[i]) * f64::from(base[i]));
        let (exact, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
        assert!((f64::from(scaled[n]) - exact).abs() <= 1e-6 * size + 1e-40, "{n}: {} is {exact}", scaled[n]);
    }
}

#[test]
fn bounds_are_the_same_everywhere() {
    for n in [1, 7, 8, 50, 128] {
        let (query, min, max, mean) = (numbers(n, 1), numbers(n, 2), numbers(n, 3), numbers(n, 4));
        let sums = |target| {
            let mut sums = BoundSums::default();
            add_bounds(target, &query, &min, &max, &mean, &mut sums);
            sums.totals()
        };
        let reference = sums(Target::all()[0]);
        for target in Target::all() {
            assert_eq!(sums(target).map(f64::to_bits), reference.map(f64::to_bits), "{target:?} {n}");
        }
        let of = |i: usize| [query[i], min[i], max[i], mean[i]].map(f64::from);
        let plain = |f: fn([f64; 4]) -> f64| (0..n).map(of).map(f).sum::<f64>();
        let exact = [
            plain(|[q, min, max, _]| (q * min).max(q * max)),
            plain(|[q, min, max, _]| (q * min).abs().max((q * max).abs())),
            plain(|[q, _, _, mean]| q * mean),
            plain(|[q, ..]| q.abs()),
        ];
        for (found, exact) in reference.into_iter().zip(exact) {
            assert!((found - exact).abs() <= 1e-12 * exact.abs().max(1e-30), "{n}: {found} is {exact}");
        }
    }
}

/// A code of 16 symbols, some of one bit and some of six, and its table.
fn short_code() -> ([u8; 64], [u8; 64], [u8; 64]) {
    let lengths_of = [1_u8, 3, 4, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6];
    let (mut codes, mut lengths, mut table, mut next) = ([0; 64], [0; 64], [0; 64], 0_u32);
    for (symbol, length) in lengths_of.into_iter().enumerate() {
        let code = (next.reverse_bits() >> (32 - length)) as u8;
        (codes[symbol], lengths[symbol]) = (code, length);
        for entry in table.iter_mut().skip(code.into()).step_by(1 << length) {
            *entry = (symbol as u8) << 3 | length;
        }
        let following = lengths_of.get(symbol + 1).copied().unwrap_or(length);
        next = (next + 1) << (following - length);
    }
    (codes, lengths, table)
}

#[test]
fn lanes_are_the_same_everywhere_and_give_back_their_symbols() {
    let (codes, lengths, table) = short_code();
    for n in [1, 7, 8, 250, 256, 257, 4096, 5000, 20_000] {
        let symbols: Vec<u8> = noise(n, 21).iter().map(|byte| (byte.leading_zeros() as u8 + (byte & 5)) % 14).collect();
        let on = |target| {
            let mut memory = vec![0; OpenLanes::room(n) * LANES];
            let mut lanes = OpenLanes::new(&mut memory, n);
            encode_lanes(target, &codes, &lengths, &symbols, &mut lanes);
            let n_bytes = lanes.lengths();
            let lanes = memory.chunks(OpenLanes::room(n)).zip(n_bytes);
            lanes.map(|(lane, n_bytes)| lane[..n_bytes as usize].to_vec()).collect::<Vec<_>>()
        };
        let lanes = on(Target::all()[0]);
        assert!(Target::all().into_iter().all(|target| on(target) == lanes));
        let mut positions = [0; LANES];
        (1..LANES).for_each(|lane| positions[lane] = positions[lane - 1] + 8 * lanes[lane - 1].len() as u64);
        // With bytes behind the last lane, and without.
        for n_more in [0, 3, 100] {
            let bytes = [lanes.concat(), vec![0xff; n_more]].concat();
            for target in Target::all() {
                let (mut at, mut entries) = (positions, vec![0xa5; n]);
                decode_lanes(target, &bytes, &table, &mut at, &mut entries);
                assert!(entries.iter().zip(&symbols).all(|(entry, symbol)| entry >> 3 == *symbol), "{target:?}");
                let ends = at.iter().zip(&positions).map(|(at, from)| (at - from).div_ceil(8) as usize);
                assert!(ends.eq(lanes.iter().map(Vec::len)), "{target:?}");
            }
        }
    }
}

/// Lanes that begin anywhere and end nowhere.
#[test]
fn any_bits_decode_to_the_same_symbols_everywhere() {
    let table: [u8; 64] = noise(64, 22).iter().map(|byte| (byte % 248) | 1).collect::<Vec<_>>().try_into().unwrap();
    for n_bytes in [0, 5, 8, 9, 700, 3000] {
        let bytes = noise(n_bytes, 23);
        let on = |target| {
            let mut at = std::array::from_fn(|lane| (lane * n_bytes / 4) as u64);
            let mut entries = vec![0; 3000];
            decode_lanes(target, &bytes, &table, &mut at, &mut entries);
            (at, entries)
        };
        let reference = on(Target::all()[0]);
        assert!(Target::all().into_iter().all(|target| on(target) == reference), "{n_bytes} bytes");
    }
}

#[test]
fn numbers_of_a_few_bits_come_back_everywhere() {
    for (n_bits, n) in (1..=8).flat_map(|n_bits| [1, 8, 63, 64, 200, 1000].map(|n| (n_bits, n))) {
        let bytes = noise(n, 24);
        let low: Vec<u8> = bytes.iter().map(|byte| byte & ((1_u32 << n_bits) - 1) as u8).collect();
        let on = |target| {
            let mut packed = vec![7];
            pack_bits(target, n_bits, &bytes, &mut packed);
            packed
        };
        let packed = on(Target::all()[0]);
        assert_eq!(packed.len(), 1 + (n * n_bits as usize).div_ceil(8));
        for target in Target::all() {
            assert_eq!(on(target), packed, "{target:?}");
            let mut found = vec![0xa5; n];
            unpack_bits(target, n_bits, &packed[1..], &mut found);
            assert_eq!(found, low, "{target:?}");
            // What is missing is zero.
            let mut found = vec![0xa5; n + 100];
            unpack_bits(target, n_bits, &packed[1..], &mut found);
            assert_eq!((&found[..n], &found[n..]), (&low[..], &[0; 100][..]), "{target:?}");
        }
    }
}

#[test]
fn marked_bytes_are_found_everywhere() {
    for n in [1, 63, 64, 65, 1024, 3000] {
        for (least, n_source) in [(0, 10), (1, 5000), (200, 5000), (255, 3)] {
            let (bytes, source, before) = (noise(n, 25), noise(n_source, 26), noise(n, 27));
            let places: Vec<usize> = (0..n).filter(|i| bytes[*i] >= least).collect();
            let mut expected = before.clone();
            places.iter().zip(source.iter().chain(&[0; 3000])).for_each(|(i, byte)| expected[*i] = *byte);
            for target in Target::all() {
                let mut found = Vec::new();
                find_marked(target, &bytes, least, |i| found.push(i));
                assert_eq!(found, places, "{target:?}");
                let mut merged = before.clone();
                assert_eq!(merge_marked(target, &bytes, least, &source, &mut merged), places.len());
                assert_eq!(merged, expected, "{target:?}");
            }
        }
    }
}

#[test]
fn bytes_are_replaced_everywhere() {
    let table: [u8; 64] = noise(64, 28).try_into().unwrap();
    for n in [1, 64, 200] {
        let bytes: Vec<u8> = noise(n, 29).iter().map(|byte| byte & 63).collect();
        for target in Target::all() {
            let mut found = bytes.clone();
            replace(target, &table, &mut found);
            assert!(found.iter().zip(&bytes).all(|(found, byte)| *found == table[usize::from(*byte)]), "{target:?}");
        }
    }
}

/// All 65,536 of them.
#[test]
fn every_f16_is_widened_alike_everywhere() {
    let all: Vec<[u8; 2]> = (0..=u16::MAX).map(u16::to_le_bytes).collect();
    for n in [all.len(), 31, 5] {
        let found = on_every_target_bits(n, |target, out| widen_f16(target, &all[all.len() - n..], out));
        let of = |bytes: &[u8; 2]| half::f16::from_le_bytes(*bytes).to_f32().to_bits();
        assert!(found.into_iter().eq(all[all.len() - n..].iter().map(of)));
    }
    let found = on_every_target_bits(all.len(), |target, out| widen_bf16(target, &all, out));
    assert!(found.into_iter().eq((0..=u32::from(u16::MAX)).map(|bits| bits << 16)));
}

/// As [`on_every_target`], where NaN is a number.
fn on_every_target_bits(n: usize, run: impl Fn(Target, &mut [f32])) -> Vec<u32> {
    let on = |target| {
        let mut out = vec![0.5; n];
        run(target, &mut out);
        bits(&out)
    };
    let reference = on(Target::all()[0]);
    assert!(Target::all().into_iter().all(|target| on(target) == reference));
    reference
}

/// Numbers taken apart and put together, on every target.
#[test]
fn parts_are_the_same_everywhere() {
    let (n, raw) = (1000, noise(4000, 30));
    let (exponents, signs) = (noise(n, 31), noise(n, 32).iter().map(|byte| byte & 1).collect::<Vec<_>>());
    let references = References { exponents: &exponents, signs: &signs };
    for (n_bits, mantissa_bits) in [(16, 7), (16, 10), (32, 23)] {
        let layout = Layout { n_bits, mantissa_bits };
        let on = |target| {
            let (mut symbols, mut found_signs, mut found) = (vec![0; n], vec![0; n], vec![0; n]);
            let (mut sums, mut all) = ([vec![0_u32; 10], vec![0; 10]], 0);
            let [exponent_sums, sign_sums] = &mut sums;
            let mut planes = [vec![0; n], vec![0; n], vec![0; n]];
            let (twos, fours) = (raw.as_chunks::<2>().0, raw.as_chunks::<4>().0);
            for (i, plane) in planes.iter_mut().enumerate().take(mantissa_bits.div_ceil(8) as usize) {
                match n_bits {
                    16 => mantissas_16(target, &twos[..n], layout, 8 * i as u32, plane),
                    _ => mantissas_32(target, fours, layout, 8 * i as u32, plane),
                }
            }
            if n_bits == 16 {
                symbols_16(target, &twos[..n], layout, references, &mut symbols);
                exponents_16(target, &twos[..n], layout, exponent_sums, sign_sums, &mut all);
            } else {
                symbols_32(target, fours, layout, references, &mut symbols);
                exponents_32(target, fours, layout, exponent_sums, sign_sums, &mut all);
            }
            let entries: Vec<u8> = symbols.iter().map(|symbol| symbol << 3 | 1).collect();
            parts_of(target, &entries, references, &mut found, &mut found_signs);
            let escapes: Vec<u8> = (0..n)
                .filter(|i| symbols[*i] >= 30)
                .map(|i| match n_bits {
                    16 => layout.exponent(u16::from_le_bytes(twos[i]).into()),
                    _ => layout.exponent(u32::from_le_bytes(fours[i])),
                })
                .collect();
            assert_eq!(merge_marked(target, &entries, 0xf0, &escapes, &mut found), escapes.len());
            let planes = planes.each_ref().map(Vec::as_slice);
            let parts = Parts { signs: &found_signs, exponents: &found, planes, n_zeros: 0 };
            if n_bits == 16 {
                let mut out = vec![[0; 2]; n];
                join_16(target, parts, layout, &mut out);
                assert!(out == twos[..n], "{target:?}");
            } else {
                let (mut out, mut widened) = (vec![[0; 4]; n], vec![0.0; n]);
                join_32(target, parts, &mut out);
                join_f32(target, parts, &mut widened);
                assert!(
                    out == fours && widened.iter().zip(fours).all(|(x, bytes)| x.to_bits().to_le_bytes() == *bytes)
                );
            }
            (symbols, sums, all)
        };
        let reference = on(Target::all()[0]);
        assert!(Target::all().into_iter().all(|target| on(target) == reference));
        assert!(reference.1[0][0] > 0 && reference.1[1][0] > 0 && reference.2 > 0);
    }
}
