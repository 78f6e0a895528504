//! A plan keeps its budget, or says the least that is possible; more budget never gives a worse plan.

use crate::support::{Shape, log_of, noise};
use lagdb_format::planner::{Budget, Column, OverBudget, Plan, Trial, measure, plan};
use lagdb_format::{ElementType, Encoding, FormatError, KvLog, KvRead, PageError, Part, Segment, SegmentWriter};
use proptest::prelude::*;

fn trials() -> impl Strategy<Value = Vec<Trial>> {
    let trial = (0..4_usize, 1..1000_u32, 0..1000_u32).prop_map(|(encoding, bytes, error)| Trial {
        encoding: Encoding::ALL[encoding],
        bytes_per_token: f64::from(bytes),
        error: PageError { relative_l2: error as f32 / 1000.0, max: 1.0 },
    });
    prop::collection::vec(trial, 1..5)
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    prop::collection::vec(trials(), 1..9).prop_map(|trials| {
        let part = |i| if i % 2 == 0 { Part::Keys } else { Part::Values };
        let column = |(i, trials)| Column { layer: i as u32 / 2, part: part(i), trials };
        trials.into_iter().enumerate().map(column).collect()
    })
}

/// Bytes and largest error of the best reading of a plan: of trials with one encoding it may mean either.
fn outcomes(columns: &[Column], plan: &Plan) -> (f64, f32) {
    let chosen = |column: &Column| {
        let encoding = plan.encoding(column.layer, column.part).unwrap();
        let of_it: Vec<_> = column.trials.iter().filter(|trial| trial.encoding == encoding).copied().collect();
        assert!(!of_it.is_empty(), "an encoding that was tried");
        of_it
    };
    let least = |trials: &[Trial]| trials.iter().map(|t| t.bytes_per_token).fold(f64::INFINITY, f64::min);
    let nearest = |trials: &[Trial]| trials.iter().map(|t| t.error.relative_l2).fold(f32::INFINITY, f32::min);
    let chosen: Vec<_> = columns.iter().map(chosen).collect();
    (chosen.iter().map(|trials| least(trials)).sum(), chosen.iter().map(|trials| nearest(trials)).fold(0.0, f32::max))
}

proptest! {
    #[test]
    fn errors_stay_in_the_budget(columns in columns(), most in 0.0..1.0_f32) {
        match plan(&columns, Budget::RelativeL2(most)) {
            Ok(plan) => prop_assert!(outcomes(&columns, &plan).1 <= most),
            Err(OverBudget::RelativeL2 { budget, least, .. }) => {
                prop_assert!(budget == most && least > most);
                prop_assert!(plan(&columns, Budget::RelativeL2(least)).is_ok(), "the least is possible");
                let less = f32::from_bits(least.to_bits() - 1);
                prop_assert!(plan(&columns, Budget::RelativeL2(less)).is_err(), "and nothing below it");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn bytes_stay_in_the_budget(columns in columns(), most in 0.0..5000.0_f64) {
        match plan(&columns, Budget::BytesPerToken(most)) {
            Ok(plan) => prop_assert!(outcomes(&columns, &plan).0 <= most),
            Err(OverBudget::BytesPerToken { budget, least }) => {
                prop_assert!(budget == most && least > most);
                prop_assert!(plan(&columns, Budget::BytesPerToken(least)).is_ok(), "the least is possible");
                prop_assert!(plan(&columns, Budget::BytesPerToken(least - 0.5)).is_err(), "and nothing below it");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

fn log() -> KvLog {
    noise_of_finite(Shape { n_layers: 3, n_kv_heads: 2, head_dim: 64, n_tokens: 300 })
}

/// Bytes whose f16s are all finite: no exponent has all its bits.
fn noise_of_finite(shape: Shape) -> KvLog {
    let (mut state, mut i) = (9_u64, 0);
    log_of(shape, ElementType::F16, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i += 1;
        if i % 2 == 0 { (state >> 56) as u8 & 0x80 | 0x38 | (state >> 48) as u8 & 7 } else { (state >> 56) as u8 }
    })
}

/// Keys and values of every layer.
fn encodings(plan: &Plan) -> Vec<Encoding> {
    let layers =
        (0..).map_while(|layer| Some([plan.encoding(layer, Part::Keys)?, plan.encoding(layer, Part::Values)?]));
    layers.flatten().collect()
}

#[test]
fn a_looser_budget_takes_fewer_bits() {
    let candidates = [Encoding::Plain, Encoding::ExponentHuffman, Encoding::Int8, Encoding::Int4];
    let columns = measure(&log(), &candidates).unwrap();
    assert_eq!(columns.len(), 6);
    let of = |budget| plan(&columns, budget).unwrap();
    for (budget, encoding) in [(0.02, Encoding::Int8), (0.3, Encoding::Int4)] {
        assert_eq!(encodings(&of(Budget::RelativeL2(budget))), [encoding; 6]);
    }
    let lossless = of(Budget::RelativeL2(0.0));
    for (layer, part) in (0..3).flat_map(|layer| [(layer, Part::Keys), (layer, Part::Values)]) {
        assert!(Encoding::LOSSLESS.contains(&lossless.encoding(layer, part).unwrap()));
    }
    // Enough for int4 everywhere and int8 for a third of it: keys get it before values.
    let bytes = |encoding| -> f64 {
        let trials = columns.iter().flat_map(|column| &column.trials);
        trials.filter(|trial| trial.encoding == encoding).map(|trial| trial.bytes_per_token).sum()
    };
    let budget = Budget::BytesPerToken(bytes(Encoding::Int4) * 2.0 / 3.0 + bytes(Encoding::Int8) / 3.0 + 8.0);
    let mixed = of(budget);
    assert_eq!(mixed.encoding(0, Part::Keys), Some(Encoding::Int8));
    assert_eq!(mixed.encoding(2, Part::Values), Some(Encoding::Int4));
}

#[test]
fn a_log_is_written_as_planned() {
    let log = log();
    let columns = measure(&log, &[Encoding::Plain, Encoding::Int8, Encoding::Int4]).unwrap();
    let int8: f64 = columns.iter().map(|column| column.trials[1].bytes_per_token).sum();
    let plan = plan(&columns, Budget::BytesPerToken(int8 * 0.8)).unwrap();
    let chosen = encodings(&plan);
    assert!(chosen.contains(&Encoding::Int8) && chosen.contains(&Encoding::Int4), "{plan:?}");
    let mut writer = SegmentWriter::new(1);
    let index = writer.push_plan(&log, &plan).unwrap();
    assert!(matches!(writer.push_plan(&log, &Plan::uniform(Encoding::Int8, 2)), Err(FormatError::Invalid { .. })));
    let bytes = writer.finish().unwrap();
    let segment = Segment::open(&bytes).unwrap();
    assert!(segment.verify().is_sound());
    let view = segment.kv_log(index).unwrap();
    let mut stored_bytes = 0.0;
    for page in view.pages() {
        assert_eq!(Some(page.encoding), plan.encoding(page.layer, page.part));
        stored_bytes += f64::from(page.stored_bytes.next_multiple_of(64) + 20);
    }
    assert!(stored_bytes / 300.0 <= int8 * 0.81, "the sample stands for the log");
}

/// The first 256 tokens were measured and the rest believed to be like them: values of a few large numbers among small
/// ones, further on, were written far above the budget, and one NaN there made a log impossible to write.
#[test]
fn every_page_keeps_the_budget_and_not_only_the_sample() {
    let shape = Shape { n_layers: 1, n_kv_heads: 4, head_dim: 64, n_tokens: 2000 };
    for outlier in [8.0, f32::NAN, f32::INFINITY] {
        let kind = noise_of_finite(shape);
        let mut layers = kind.layers().to_vec();
        let mut numbers = vec![0.0; 2000 * 256];
        ElementType::F16.decode_f32(&layers[0].values, &mut numbers).unwrap();
        numbers.iter_mut().skip(1536 * 256).step_by(61).for_each(|x| *x = outlier);
        layers[0].values = numbers.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
        let (ids, positions) = (kind.token_ids().to_vec(), kind.positions().to_vec());
        let log = KvLog::new(*kind.fingerprint(), ElementType::F16, ids, positions, layers).unwrap();
        let columns = measure(&log, &[Encoding::Plain, Encoding::Int8, Encoding::Int4]).unwrap();
        let of_samples = columns.iter().map(|column| column.trials.last().unwrap().error.relative_l2);
        let budget = of_samples.fold(0.0, f32::max) * 1.01;
        let plan = plan(&columns, Budget::RelativeL2(budget)).unwrap();
        assert_eq!(plan.encoding(0, Part::Values), Some(Encoding::Int4), "what the samples say");
        let mut writer = SegmentWriter::new(1);
        let index = writer.push_plan(&log, &plan).unwrap();
        let bytes = writer.finish().unwrap();
        let segment = Segment::open(&bytes).unwrap();
        let pages: Vec<_> = segment.kv_log(index).unwrap().pages().collect();
        assert!(pages.iter().all(|page| page.error.relative_l2 <= budget), "{pages:?}");
        assert_eq!(pages[0].encoding, Encoding::Int4);
        let last = pages.last().unwrap();
        assert!(last.encoding != Encoding::Int4 && last.first_token > 0, "{last:?}");
        let to_read = segment.kv_log(index).unwrap().to_log().unwrap();
        assert_eq!(to_read.layers()[0].values.len(), log.layers()[0].values.len());
    }
}

#[test]
fn numbers_without_a_range_are_kept_lossless() {
    // Every bit pattern, NaN and infinity too.
    let log = noise(Shape { n_layers: 1, n_kv_heads: 2, head_dim: 64, n_tokens: 64 }, ElementType::F16, 5);
    let columns = measure(&log, &[Encoding::Int4, Encoding::ExponentHuffman]).unwrap();
    let plan = plan(&columns, Budget::RelativeL2(1.0)).unwrap();
    assert_eq!(encodings(&plan), [Encoding::ExponentHuffman; 2]);
    let residual = measure(&log, &[Encoding::Int8Residual]);
    assert!(matches!(residual, Err(FormatError::Invalid { .. })));
}
