//! What attending to a KV log by its pages costs and saves, beside the same log as rows of a KV cache of each type.
//!
//! Keys and values are made up, at the geometry of Qwen3-0.6B: what is measured is bytes and arithmetic. CPU time of the whole
//! process, medians of rounds in which all ways take turns. The floor of a step is a session that attends to nothing: the
//! weights of the model. `-- 8192` measures logs of as many tokens.

mod qwen3;
mod report;
mod synthetic;

use lagdb::format::{Bytes, ElementType, Encoding, KvLog, KvLogView, KvRead, Segment, SegmentWriter};
use lagdb::generate::{
    AttachPolicy, Generator, KvNumbers, LogPositions, ModelConfig, PagePolicy, Session, SessionOptions, WeightPrecision,
};
use report::{Row, cpu, median};

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 7;
/// Steps of a round.
const STEPS: usize = 6;
/// Tokens of the prompts that are read after the log.
const PROMPTS: [usize; 2] = [16, 128];

fn main() -> BenchResult<()> {
    let config = ModelConfig::from_json(qwen3::CONFIG.as_bytes(), "config.json".as_ref())?;
    let generator = Generator::random(config, 1, WeightPrecision::Q8_0)?;
    let mut rows = Vec::new();
    for n_tokens in [2048, 8192] {
        if report::is_wanted(&n_tokens.to_string()) {
            rows.extend(compare(&generator, n_tokens)?);
        }
    }
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
}

/// A log of int8 with key summaries, as a segment has it.
fn segment(generator: &Generator, n_tokens: usize) -> BenchResult<Vec<u8>> {
    let log = synthetic::kv_log(synthetic::QWEN3_06B, n_tokens, ElementType::F16, 1)?;
    let (ids, positions) = (vec![7; n_tokens], log.positions().to_vec());
    let log = KvLog::new(*generator.fingerprint(), ElementType::F16, ids, positions, log.layers().to_vec())?;
    let mut writer = SegmentWriter::new(1).with_key_summaries();
    writer.push(&log, Encoding::Int8)?;
    Ok(writer.finish()?)
}

fn empty(generator: &Generator, numbers: KvNumbers) -> lagdb::Result<Session> {
    let options = SessionOptions { capture: false, kv_numbers: Some(numbers), ..SessionOptions::default() };
    let mut session = generator.session(options)?;
    session.feed(&[1, 2, 3])?;
    Ok(session)
}

/// How a session comes to attend to the log: as rows, or by its pages.
#[derive(Clone, Copy)]
enum Way {
    Nothing,
    Rows(KvNumbers),
    Pages(PagePolicy),
}

impl Way {
    /// A session of the type of rows that this way needs.
    fn empty(self, generator: &Generator) -> lagdb::Result<Session> {
        empty(generator, if let Self::Rows(numbers) = self { numbers } else { KvNumbers::F16 })
    }

    fn attach(self, session: &mut Session, log: KvLogView<'static>) -> lagdb::Result<()> {
        match self {
            Self::Nothing => {}
            Self::Rows(_) => {
                let policy = AttachPolicy { positions: LogPositions::One, ..AttachPolicy::default() };
                session.attach_all(&[&log], &policy)?;
            }
            Self::Pages(policy) => drop(session.attach_pages(&[log], &policy)?),
        }
        Ok(())
    }
}

fn compare(generator: &Generator, n_tokens: usize) -> BenchResult<Vec<Row>> {
    let segment = segment(generator, n_tokens)?;
    let opened = Segment::open(&segment)?;
    let row_group = &opened.footer().row_groups()[0];
    let range = row_group.range();
    let bytes = Bytes::from(segment[range.start as usize..range.end as usize].to_vec());
    let view = || KvLogView::new(row_group, bytes.clone());
    let most = |n| Way::Pages(PagePolicy { max_pages: Some(n), ..PagePolicy::default() });
    let negligible = Way::Pages(PagePolicy { negligible: 0.01, ..PagePolicy::default() });
    let ways = [
        ("all pages", Way::Pages(PagePolicy::default())),
        ("rows of f16", Way::Rows(KvNumbers::F16)),
        ("rows of int8", Way::Rows(KvNumbers::Int8)),
        ("rows of f32", Way::Rows(KvNumbers::F32)),
        ("nothing", Way::Nothing),
        ("8 pages", most(8)),
        ("1 page", most(1)),
        ("all but a hundredth", negligible),
    ];
    let mut attaches = ways.map(|_| Vec::new());
    let mut steps = ways.map(|_| Vec::new());
    let mut prompts = PROMPTS.map(|_| ways.map(|_| Vec::new()));
    let mut read = 0.0;
    for _ in 0..ROUNDS {
        for (i, (_, way)) in ways.iter().enumerate() {
            let log = view()?;
            let mut session = way.empty(generator)?;
            let (attach, attached) = cpu(|| way.attach(&mut session, log));
            attached?;
            attaches[i].push(attach * 1e3);
            session.feed(&[5])?; // whatever is done only once
            for step in 0..STEPS as u32 {
                let (step, fed) = cpu(|| session.feed(&[step]));
                fed?;
                steps[i].push(step * 1e3);
            }
            for (n, prompts) in PROMPTS.into_iter().zip(&mut prompts) {
                let (prompt, fed) = cpu(|| session.feed(&vec![9; n]));
                fed?;
                prompts[i].push(prompt * 1e3);
            }
            let pages = session.pages_read();
            read = pages.read as f64 / pages.of.max(1) as f64;
        }
    }
    let row = |what: &str, unit, figures: Vec<f64>| {
        let all = ways.iter().map(|(name, _)| *name).zip(figures).collect::<Vec<_>>();
        let (lagdb, peers) = (all[0].1, all[1..].to_vec());
        let name = format!("{n_tokens} tokens: {what}");
        Row { name, unit, higher_is_better: false, lagdb, peers, goal: None }
    };
    let medians = |times: [Vec<f64>; 8]| times.map(median).to_vec();
    let geometry = synthetic::QWEN3_06B;
    let f16_bytes = 2 * 2 * geometry.n_layers as usize * geometry.row_width() * n_tokens;
    let mib = |n: usize| n as f64 / f64::from(1 << 20);
    let log_bytes = mib((range.end - range.start) as usize);
    let mut rows = vec![row("attach", "CPU ms", medians(attaches)), row("decode step", "CPU ms", medians(steps))];
    let prompts = PROMPTS.into_iter().zip(prompts);
    rows.extend(prompts.map(|(n, times)| row(&format!("prompt of {n}"), "CPU ms", medians(times))));
    rows.extend([
        Row {
            name: format!("{n_tokens} tokens: keys and values held"),
            unit: "MiB",
            higher_is_better: false,
            lagdb: log_bytes,
            // Codes, and four bytes for every 64 of them.
            peers: vec![
                ("rows of f16", mib(f16_bytes)),
                ("rows of int8", mib(f16_bytes) * 68.0 / 128.0),
                ("rows of f32", 2.0 * mib(f16_bytes)),
            ],
            goal: None,
        },
        Row {
            name: format!("{n_tokens} tokens: pages read where a hundredth is negligible"),
            unit: "share",
            higher_is_better: false,
            lagdb: read,
            peers: vec![("all", 1.0)],
            goal: None,
        },
    ]);
    Ok(rows)
}
