//! Every target gives what plain loops in f64 give.

use super::{
    BLOCK, Codes, Columns, Halves, LANES, Target, add_byte_products, add_products, byte_dots, dot_blocks, dots,
    narrow_heads, narrow_row, scale_weights, softmax, widen_rows,
};
use crate::generate::config::{RopeConfig, RopeScaling};
use crate::generate::heads::{HeadShape, Numbers, Rows};
use crate::generate::rope::Rope;
use half::f16;

fn floats(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + 13) % 257) as f32 / 128.0 - 1.0).collect()
}

fn halves(n: usize) -> Vec<Halves> {
    let numbers = floats(n * LANES);
    numbers.as_chunks::<LANES>().0.iter().map(|chunk| chunk.map(|x| f16::from_f32(x).to_bits())).collect()
}

#[test]
fn products_are_those_of_plain_loops() {
    for target in Target::all() {
        for (n_rows, n_inner, n_vectors) in [(1, 5, 9), (2, 40, 8), (3, 1, 1), (5, 33, 4), (12, 7, 2), (29, 64, 5)] {
            let (a, b) = (floats(n_rows * (n_inner + 3)), halves(n_inner * n_vectors));
            for (inner, outer) in [(n_vectors, 1), (1, n_inner)] {
                let columns = Columns { numbers: &b, inner, outer, n_inner, n_vectors };
                let stride = n_vectors * LANES + 16;
                let mut out = vec![1.0; (n_rows - 1) * stride + n_vectors * LANES];
                add_products(target, &a, n_inner + 3, columns, &mut out, stride);
                for row in 0..n_rows {
                    for column in 0..n_vectors * LANES {
                        let term = |k: usize| {
                            let y = f16::from_bits(b[k * inner + column / LANES * outer][column % LANES]).to_f64();
                            f64::from(a[row * (n_inner + 3) + k]) * y
                        };
                        let expected = 1.0 + (0..n_inner).map(term).sum::<f64>();
                        let found = f64::from(out[row * stride + column]);
                        assert!((found - expected).abs() < 1e-4, "{target:?} {n_rows}x{n_inner}: {found} {expected}");
                    }
                }
            }
        }
    }
}

/// Fewer and more keys and queries than are computed together.
#[test]
fn dots_are_those_of_plain_loops() {
    for target in Target::all() {
        for (n_queries, n_keys, width) in
            [(1, 1, 1), (1, 17, 4), (2, 9, 8), (3, 4, 2), (4, 65, 3), (5, 7, 5), (8, 131, 6)]
        {
            let (queries, keys) = (floats(n_queries * width * LANES), halves(n_keys * width));
            let mut out = vec![f32::NAN; n_queries * n_keys];
            dots(target, queries.as_chunks().0, &keys, width, &mut out);
            for (i, found) in out.iter().enumerate() {
                let (query, key) = (&queries[i / n_keys * width * LANES..], keys[i % n_keys * width..].as_flattened());
                let term = |i: usize| f64::from(query[i]) * f16::from_bits(key[i]).to_f64();
                let expected = (0..width * LANES).map(term).sum::<f64>();
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{target:?} {i}: {found} {expected}");
            }
        }
    }
}

#[test]
fn rows_of_q8_0_blocks_are_multiplied_as_they_lie() {
    for target in Target::all() {
        for (n_rows, n_blocks) in [(0, 3), (1, 1), (4, 2), (7, 5), (9, 32)] {
            let x = floats(n_blocks * 32);
            let block = |i: usize| {
                let scale = f16::from_f32(0.01 + 0.003 * (i % 11) as f32).to_le_bytes();
                let code = move |j: usize| ((i * 32 + j) * 2654435761 % 256) as u8;
                scale.into_iter().chain((0..32).map(code))
            };
            let blocks: Vec<u8> = (0..n_rows * n_blocks).flat_map(block).collect();
            let mut out = vec![f32::NAN; n_rows];
            dot_blocks(target, &x, &blocks, &mut out);
            for (row, found) in out.into_iter().enumerate() {
                let number = |i: usize| {
                    let block = &blocks[(row * n_blocks + i / 32) * 34..][..34];
                    f16::from_le_bytes([block[0], block[1]]).to_f64() * f64::from(block[2 + i % 32] as i8)
                };
                let expected = (0..n_blocks * 32).map(|i| f64::from(x[i]) * number(i)).sum::<f64>();
                assert!((f64::from(found) - expected).abs() < 1e-3, "{target:?} {row}: {found} {expected}");
            }
        }
    }
}

fn codes(n: usize) -> Vec<Codes> {
    let numbers: Vec<i8> = (0..n * LANES).map(|i| ((i * 7919 + 13) % 255) as i8).collect();
    numbers.as_chunks::<LANES>().0.to_vec()
}

/// Widths of which the last block is whole, and half.
#[test]
fn products_of_bytes_are_those_of_plain_loops() {
    for target in Target::all() {
        for (n, n_rows, width) in
            [(1, 1, 2), (1, 17, 8), (2, 9, 8), (3, 4, 6), (4, 65, 4), (5, 7, 10), (8, 131, 6), (13, 33, 8)]
        {
            let (codes, n_scales) = (codes(n_rows * width), (width * LANES).div_ceil(BLOCK));
            let scales: Vec<f32> = (0..n_rows * n_scales).map(|i| 0.01 + (i % 13) as f32 / 100.0).collect();
            let number = |row: usize, channel: usize| {
                let code = codes[row * width + channel / LANES][channel % LANES];
                f64::from(code) * f64::from(scales[row * n_scales + channel / BLOCK])
            };
            let queries = floats(n * width * LANES);
            let mut out = vec![f32::NAN; n * n_rows];
            byte_dots(target, queries.as_chunks().0, &codes, &scales, width, &mut out);
            for (i, found) in out.iter().enumerate() {
                let query = &queries[i / n_rows * width * LANES..];
                let products =
                    (0..width * LANES).map(|channel| f64::from(query[channel]) * number(i % n_rows, channel));
                let (exact, size) = products.fold((0.0, 0.0), |(sum, size): (f64, f64), x| (sum + x, size + x.abs()));
                assert!((f64::from(*found) - exact).abs() < 1e-6 * size, "{target:?} {n} {i}: {found} {exact}");
            }
            let (weights, stride) = (floats(n * (n_rows + 3)), n_rows + 3);
            for block in 0..n_scales {
                let mut scaled = vec![f32::NAN; n * n_rows];
                scale_weights(target, &weights, stride, &scales[block..], n_scales, &mut scaled);
                let vectors = block * (BLOCK / LANES)..width.min((block + 1) * (BLOCK / LANES));
                let columns = Columns {
                    numbers: &codes[vectors.start..],
                    inner: width,
                    outer: 1,
                    n_inner: n_rows,
                    n_vectors: vectors.len(),
                };
                let out_stride = vectors.len() * LANES + 16;
                let mut out = vec![1.0; n * out_stride];
                add_byte_products(target, &scaled, n_rows, columns, &mut out, out_stride);
                for (i, found) in out.iter().enumerate() {
                    let (q, channel) = (i / out_stride, i % out_stride);
                    let n_products = if channel < vectors.len() * LANES { n_rows } else { 0 };
                    let product = |row: usize| {
                        f64::from(weights[q * stride + row]) * number(row, vectors.start * LANES + channel)
                    };
                    let products = (0..n_products).map(product);
                    let (exact, size) =
                        products.fold((1.0, 1.0), |(sum, size): (f64, f64), x| (sum + x, size + x.abs()));
                    assert!((f64::from(*found) - exact).abs() < 1e-6 * size, "{target:?} {n} {i}: {found} {exact}");
                }
            }
        }
    }
}

/// What is narrowed is off by half a step of its block.
#[test]
fn rows_of_bytes_are_near() {
    for target in Target::all() {
        for (n_rows, d) in [(1, 16), (5, 24), (9, 64), (4, 96), (7, 128), (2, 256)] {
            let (width, n_blocks) = (f32_width(d), f32_width(d).div_ceil(BLOCK));
            let rows: Vec<f32> = floats(n_rows * d).iter().enumerate().map(|(i, x)| x * (1 + i % 7) as f32).collect();
            let (mut codes, mut scales) = (vec![9_i8; n_rows * width], vec![f32::NAN; n_rows * n_blocks]);
            for (i, row) in rows.chunks(d).enumerate() {
                let mut largest = f32::NAN;
                let (codes, scales) = (&mut codes[i * width..][..width], &mut scales[i * n_blocks..][..n_blocks]);
                narrow_row(target, row, codes, scales, &mut largest);
                assert_eq!(largest, row.iter().fold(0.0, |a: f32, x| a.max(x.abs())), "{target:?}");
            }
            let mut wide = vec![f32::NAN; n_rows * width];
            widen_rows(target, &codes, width, &scales, &mut wide);
            for (i, x) in rows.iter().enumerate() {
                let (row, channel) = (i / d, i % d);
                let step = scales[row * n_blocks + channel / BLOCK];
                assert!((wide[row * width + channel] - x).abs() <= 0.501 * step, "{target:?}, {d}: {x}");
            }
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut codes, mut scales, mut largest) = ([0; 128], [0.0; 2], 0.0);
            let mut row = floats(128);
            row[3] = bad;
            narrow_row(target, &row, &mut codes, &mut scales, &mut largest);
            assert!(!largest.is_finite(), "{target:?}: {bad}");
        }
        let (mut codes, mut scales, mut largest) = ([1; 64], [1.0], 1.0);
        narrow_row(target, &[0.0; 64], &mut codes, &mut scales, &mut largest);
        assert_eq!((codes, scales, largest), ([0; 64], [0.0], 0.0));
    }
}

/// Rows of codes are whole vectors of 32.
fn f32_width(d: usize) -> usize {
    d.next_multiple_of(32)
}

#[test]
fn weights_sum_to_one_and_follow_the_scores() {
    for target in Target::all() {
        for n in [1, 7, 64, 129] {
            let scores = floats(n);
            let mut weights = scores.clone();
            let mut total = f32::NAN;
            softmax(target, &mut weights, 0.5, &mut total);
            let exps: Vec<f64> = scores.iter().map(|x| f64::from(x * 0.5).exp()).collect();
            let sum: f64 = exps.iter().sum();
            assert!((f64::from(total) - sum.ln()).abs() < 1e-6, "{target:?}, {n}: {total}");
            for (weight, exp) in weights.iter().zip(exps) {
                assert!((f64::from(*weight) - exp / sum).abs() < 1e-6, "{target:?}, {n}");
            }
        }
    }
}

#[test]
fn heads_are_narrowed_into_their_rows() {
    for target in Target::all() {
        for head_dim in [16, 24, 128] {
            let shape = HeadShape { n_tokens: 3, n_heads: 2, head_dim };
            let x = floats(6 * head_dim);
            let (rows, width) = (Rows { first: 2, capacity: 16 }, head_dim.div_ceil(LANES));
            let (mut out, mut fits) = (vec![[0; LANES]; 2 * 16 * width], true);
            narrow_heads(target, Numbers::Single(&x), shape, None, &mut out, rows, &mut fits);
            assert!(fits, "{target:?}");
            for (i, x) in x.iter().enumerate() {
                let (token, head, channel) = (i / head_dim / 2, i / head_dim % 2, i % head_dim);
                let at = (head * 16 + 2 + token) * width + channel / LANES;
                assert_eq!(out[at][channel % LANES], f16::from_f32(*x).to_bits(), "{target:?}, {head_dim}, {i}");
            }
            let mut huge = x;
            for bad in [70_000.0, f32::NAN, f32::NEG_INFINITY] {
                huge[head_dim - 1] = bad;
                fits = true;
                narrow_heads(target, Numbers::Single(&huge), shape, None, &mut out, rows, &mut fits);
                assert!(!fits, "{target:?}, {head_dim}: {bad}");
            }
        }
    }
}

/// Keys are turned by the angles of their own tokens, whether they come as f32 or as f16, and however wide they are.
#[test]
fn keys_are_turned_on_their_way() {
    for target in Target::all() {
        for head_dim in [8, 16, 32, 40, 128] {
            let rope = Rope::new(&RopeConfig { theta: 1e4, scaling: RopeScaling::None }, head_dim);
            let angles = rope.angles(&[900, 901, 902, 903]);
            let shape = HeadShape { n_tokens: 3, n_heads: 2, head_dim };
            let x: Vec<f32> = floats(6 * head_dim).iter().map(|x| f16::from_f32(*x).to_f32()).collect();
            let bytes: Vec<[u8; 2]> = x.iter().map(|x| f16::from_f32(*x).to_le_bytes()).collect();
            let (rows, width) = (Rows { first: 2, capacity: 16 }, head_dim.div_ceil(LANES));
            for numbers in [Numbers::Single(&x), Numbers::Half(&bytes)] {
                let (mut out, mut fits) = (vec![[0; LANES]; 2 * 16 * width], true);
                narrow_heads(target, numbers, shape, Some((&angles, 1)), &mut out, rows, &mut fits);
                assert!(fits, "{target:?}");
                for (i, head) in x.chunks_exact(head_dim).enumerate() {
                    let mut turned = vec![0.0; head_dim];
                    angles.turn(1 + i / 2, head, &mut turned);
                    let at = (i % 2 * 16 + 2 + i / 2) * width;
                    for (channel, expected) in turned.iter().enumerate() {
                        let found = f16::from_bits(out[at + channel / LANES][channel % LANES]).to_f32();
                        assert!(
                            (found - expected).abs() < 1e-3,
                            "{target:?} {head_dim} {i} {channel}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }
}
