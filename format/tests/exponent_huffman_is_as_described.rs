//! What FORMAT.md says of exponent_huffman is enough to read it: a reader made from its words alone, a bit at a time.

use lagdb_format::encoding::bare;
use lagdb_format::{ElementType, Encoding, PageShape, Part};

/// Bits, the lowest of the first byte first.
struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn next(&mut self, n_bits: usize) -> u32 {
        let mut bit = |i| {
            let at = self.1 + i;
            u32::from(self.0[at / 8] >> (at % 8) & 1) << i
        };
        let number = (0..n_bits).map(&mut bit).sum();
        self.1 += n_bits;
        number
    }

    fn align(&mut self) {
        self.1 = self.1.next_multiple_of(8);
    }

    fn planes(&mut self, n_bits: usize, n: usize) -> Vec<u32> {
        let mut numbers = vec![0; n];
        for shift in (0..n_bits).step_by(8) {
            numbers.iter_mut().for_each(|x| *x |= self.next((n_bits - shift).min(8)) << shift);
            self.align();
        }
        numbers
    }
}

/// Length and code of each symbol, the first bit of the code lowest.
fn codes(lengths: &[u32]) -> Vec<(u32, u32, u32)> {
    let (mut codes, mut next) = (Vec::new(), 0);
    for length in 1..=6 {
        for symbol in (0..32).filter(|symbol| lengths[*symbol as usize] == length) {
            codes.push((symbol, length, (0..length).map(|i| (next >> (length - 1 - i) & 1) << i).sum()));
            next += 1;
        }
        next *= 2;
    }
    codes
}

/// The numbers of a page of `n_rows` rows of `width`.
fn read(element: ElementType, n_rows: usize, width: usize, page: &[u8]) -> Vec<u32> {
    let (n_bits, mantissa_bits) = match element {
        ElementType::F32 => (32, 23),
        ElementType::F16 => (16, 10),
        ElementType::Bf16 => (16, 7),
    };
    let mut bits = Bits(page, 0);
    if bits.next(8) == 0 {
        return (0..n_rows * width).map(|_| bits.next(n_bits)).collect();
    }
    let [zeros, reference_bits, largest, row_bits, lane_bits] = [(); 5].map(|()| bits.next(8));
    let shortest = bits.next(32);
    let lengths: Vec<u32> = (0..32).map(|_| bits.next(3)).collect();
    let is_repeat = if row_bits == 0 { vec![0; n_rows] } else { bits.planes(1, n_rows) };
    let n_repeats = is_repeat.iter().sum::<u32>() as usize;
    let mut repeats = bits.planes(row_bits as usize, n_repeats).into_iter();
    let n = (n_rows - n_repeats) * width;
    let references = if reference_bits == 0 { vec![0; width] } else { bits.planes(reference_bits as usize, width) };
    let longer = bits.planes(lane_bits as usize, 32);
    let mut lanes = Vec::new();
    for longer in longer {
        lanes.push(Bits(page, bits.1));
        bits.1 += 8 * (shortest + longer) as usize;
    }
    let codes = codes(&lengths);
    let symbols: Vec<u32> = (0..n)
        .map(|i| {
            let lane = &mut lanes[i / 8 % 32];
            let is_next = |(_, length, code): &&(u32, u32, u32)| Bits(page, lane.1).next(*length as usize) == *code;
            let (symbol, length, _) = *codes.iter().find(is_next).expect("a code");
            lane.1 += length as usize;
            symbol
        })
        .collect();
    let exponents: Vec<u32> = (0..n)
        .map(|i| match symbols[i] / 2 {
            15 => bits.next(8),
            d => largest.wrapping_sub(references[i % width] / 2).wrapping_sub(d),
        })
        .map(|exponent| exponent % (1 << (n_bits - 1 - mantissa_bits)))
        .collect();
    let mantissas = bits.planes(mantissa_bits - zeros as usize, n);
    assert_eq!(bits.1, 8 * page.len(), "nothing follows");
    let number = |i: usize| {
        let sign = symbols[i] & 1 ^ references[i % width] & 1;
        sign << (n_bits - 1) | exponents[i] << mantissa_bits | mantissas[i] << zeros
    };
    let stored: Vec<Vec<u32>> = (0..n).step_by(width).map(|row| (row..row + width).map(number).collect()).collect();
    let mut rows = stored.iter();
    let mut row = |is_repeat: &u32| match is_repeat {
        0 => rows.next().expect("a row").clone(),
        _ => stored[repeats.next().expect("a repeat") as usize].clone(),
    };
    is_repeat.iter().flat_map(&mut row).collect()
}

/// Numbers of channels of different size and sign, a few of them far from the others; every seventh row is an earlier one.
fn numbers(element: ElementType, n_rows: usize, width: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let sizes: Vec<f32> = (0..width).map(|i| [1.0, -0.01, 7.0][i % 3] * (0.5 + next())).collect();
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for row in 0..n_rows {
        let far = |x: f32, is_far: bool| if is_far { x * 1e-6 } else { x };
        let fresh = sizes.iter().map(|size| far(size * (next() + next() - 0.3), next() < 0.01)).collect();
        rows.push(if row % 7 == 6 { rows[row / 2].clone() } else { fresh });
    }
    element.encode_f32(&rows.concat()).unwrap()
}

#[test]
fn a_reader_made_from_the_description_reads_the_same_numbers() {
    for element in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
        for (n_rows, width) in [(1, 64), (40, 64), (64, 24), (50, 7), (6, 100), (300, 16)] {
            let raw = numbers(element, n_rows, width, 7);
            let (n_tokens, head_dim) = (n_rows as u32, width as u32);
            let shape = PageShape { element, part: Part::Keys, n_tokens, n_kv_heads: 1, head_dim };
            let (page, _) = bare::encode(Encoding::ExponentHuffman, shape, &raw).unwrap();
            let found = read(element, n_rows, width, &page);
            let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()[..element.n_bytes()].to_vec()).collect();
            assert!(bytes == raw, "{shape:?}");
            assert!(n_rows < 40 || page.len() < raw.len(), "{shape:?} is coded");
        }
    }
}

/// A page that is damaged and still a page is the one that the description says. Escapes of f16 once had bits above its
/// exponents, which the two took differently.
#[test]
fn damaged_pages_are_what_the_description_says_or_refused() {
    for (element, n_kv_heads) in [(ElementType::F32, 1), (ElementType::F16, 2), (ElementType::Bf16, 3)] {
        let (n_rows, head_dim) = (22, 8);
        let width = n_kv_heads * head_dim;
        let mut raw = numbers(element, n_rows, width, 11);
        if element == ElementType::F32 {
            // Zeros below every mantissa.
            raw.as_chunks_mut::<4>().0.iter_mut().for_each(|bytes| bytes[0] = 0);
        }
        let (n_tokens, n_kv_heads, head_dim) = (n_rows as u32, n_kv_heads as u32, head_dim as u32);
        let shape = PageShape { element, part: Part::Keys, n_tokens, n_kv_heads, head_dim };
        let (page, _) = bare::encode(Encoding::ExponentHuffman, shape, &raw).unwrap();
        assert!(page[0] == 1 && page[4] > 0, "coded, with repeats");
        assert_eq!(element == ElementType::F32, page[1] > 0, "zeros");
        let (mut decoded, mut widened) = (vec![0; raw.len()], vec![0.0; n_rows * width]);
        let (mut n_read, mut n_of_one_number) = (0, 0);
        for bit in 0..8 * page.len() {
            let mut damaged = page.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if bare::decode(Encoding::ExponentHuffman, shape, &damaged, &mut decoded).is_err() {
                continue;
            }
            n_read += 1;
            let found = read(element, n_rows, width, &damaged);
            let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()[..element.n_bytes()].to_vec()).collect();
            assert!(bytes == decoded, "bit {bit} of {shape:?}");
            bare::decode_f32(Encoding::ExponentHuffman, shape, &damaged, &mut widened).unwrap();
            let mut expected = widened.clone();
            element.decode_f32(&decoded, &mut expected).unwrap();
            assert!(expected.iter().zip(&widened).all(|(a, b)| a.to_bits() == b.to_bits()), "bit {bit} as f32");
            let row_bytes = width * element.n_bytes();
            let rows = |raw: &[u8]| raw.chunks(row_bytes).take(6).flatten().copied().collect::<Vec<_>>();
            let differing = rows(&raw).iter().zip(rows(&decoded)).filter(|(a, b)| **a != *b).count();
            n_of_one_number += usize::from(differing == 1);
        }
        assert!(
            n_read > 1000 && n_of_one_number > 300,
            "{n_read} read, {n_of_one_number} differ in a byte of six rows"
        );
    }
}
