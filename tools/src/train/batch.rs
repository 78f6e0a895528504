//! One training batch: worlds drawn anew, as rows of token ids and the places in them that the losses look at.
//!
//! A batch holds two kinds of rows: the *source* rows, one a source task, whose logs become memory; and the *follow-up*
//! rows. Rows are padded on the right only, so causal attention needs no other mask. Every follow-up asks several
//! questions in turn, each answered in place, and what was looked up for one is known for the next.

use crate::world::{
    Exhausted, FollowUpDocuments, Kind, Known, MarkedWords, Pairs, Question, Relation, Rng, SourceTask, TaskSize,
    Through, Word, World, expected_response,
};
use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// How often a question is of each kind.
const KINDS: [(Kind, f64); 4] = [(Kind::Own, 2.0), (Kind::Spelled, 2.0), (Kind::Unspelled, 5.0), (Kind::Absent, 1.0)];
const MAX_BRIDGES: usize = 3;

/// What a follow-up is given of the source tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arm {
    /// Nothing.
    None,
    /// The words of their logs, in front of the prompt.
    Text,
    /// The keys and values of their logs, in front of the prompt.
    Kv,
    /// Their whole trajectories, in front of the prompt.
    Full,
}

impl Arm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Text => "text",
            Self::Kv => "kv",
            Self::Full => "full",
        }
    }
}

/// The sizes of one batch.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) arm: Arm,
    /// Examples in the batch.
    pub(crate) n_rows: usize,
    /// Source tasks whose memory each follow-up is given.
    pub(crate) n_logs: usize,
    /// Whether each follow-up is also asked about a source task whose memory it is *not* given.
    pub(crate) hidden: bool,
    pub(crate) size: TaskSize,
    /// More questions in each source row, for the loss only.
    pub(crate) n_extra: usize,
    /// Questions in each follow-up row.
    pub(crate) n_questions: usize,
    /// Words left out at the beginning and at the end of each log that becomes memory, so that nothing hangs on
    /// `think` and `<end>`.
    pub(crate) trim: (usize, usize),
}

/// Rows of words of one length, and the places the losses look at, as indices into the flattened rows.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    n_rows: usize,
    ids: Vec<u32>,
    /// Where the model speaks, and the word it should say next.
    said: Vec<(u32, u32)>,
    /// Where a log names its organisation, and the values of the organisation's three facts.
    written: Vec<(u32, [u32; 3])>,
}

/// A batch ready to be run.
pub(crate) struct Batch {
    /// One row a log, `n_logs` consecutive rows an example; none in the full arm.
    pub(crate) sources: Option<Rows>,
    pub(crate) follow_ups: Rows,
    /// Where the part of the log that becomes memory stands in every source row.
    pub(crate) log: Range<usize>,
}

struct Example {
    sources: Vec<SourceTask>,
    source_rows: Vec<MarkedWords>,
    follow_up: MarkedWords,
}

impl Batch {
    /// Draws a batch.
    pub(crate) fn draw(plan: &Plan, rng: &mut Rng) -> std::result::Result<Self, Exhausted> {
        let examples =
            (0..plan.n_rows).map(|_| Example::draw(plan, rng)).collect::<std::result::Result<Vec<_>, _>>()?;
        let prompt_len = examples[0].sources[0].prompt().len();
        let log = prompt_len - 1..prompt_len + 6;
        let is_full = plan.arm == Arm::Full;
        let mut follow_ups = Rows::new(examples.iter().map(|example| example.follow_up.as_slice()));
        let mut sources = Rows::new(examples.iter().flat_map(|example| &example.source_rows).map(Vec::as_slice));
        for (row, source) in examples.iter().flat_map(|e| e.sources.iter().take(plan.n_logs.max(1))).enumerate() {
            match is_full {
                true => {
                    let (row, nth) = (row / plan.n_logs, row % plan.n_logs);
                    follow_ups.note_written(row, nth * log.end + log.start + 3, source);
                }
                false => sources.note_written(row, log.start + 3, source),
            }
        }
        let log = log.start + plan.trim.0..log.end - plan.trim.1;
        Ok(Self { sources: (!is_full).then_some(sources), follow_ups, log })
    }
}

impl Example {
    fn draw(plan: &Plan, rng: &mut Rng) -> std::result::Result<Self, Exhausted> {
        let mut world = World::with_rng(Rng::new(rng.bits()), Pairs::Training);
        let n_sources = (plan.n_logs + usize::from(plan.hidden)).max(1);
        let sources =
            (0..n_sources).map(|_| world.source_task(plan.size)).collect::<std::result::Result<Vec<_>, _>>()?;
        let given = &sources[..plan.n_logs];
        let mut order: Vec<usize> = (0..n_sources).collect();
        rng.shuffle(&mut order);
        let bridged: Vec<&SourceTask> = order.iter().take(MAX_BRIDGES).map(|&i| &sources[i]).collect();
        let documents = world.follow_up_documents(&bridged)?;

        let mut follow_up: MarkedWords = match plan.arm {
            Arm::Text => given.iter().flat_map(|source| source.log()).map(|word| (word, false)).collect(),
            Arm::Full => given.iter().flat_map(|source| source_row(&world, source, 0, rng)).collect(),
            Arm::Kv | Arm::None => Vec::new(),
        };
        follow_up.push((Word::BOS, false));
        follow_up.extend(documents.facts.iter().flat_map(|fact| fact.words()).map(|word| (word, false)));
        let mut known = known(plan.arm, given, &documents);
        for _ in 0..plan.n_questions {
            let question = draw_question(&documents, &sources, &bridged, rng);
            follow_up.extend(question.words().map(|word| (word, false)));
            follow_up.extend(expected_response(&world, question, &mut known, rng));
        }
        let shown = if plan.arm == Arm::Full { 0 } else { plan.n_logs.max(1) };
        let source_rows = sources[..shown].iter().map(|source| source_row(&world, source, plan.n_extra, rng)).collect();
        Ok(Self { sources, source_rows, follow_up })
    }
}

fn draw_question(
    documents: &FollowUpDocuments,
    sources: &[SourceTask],
    bridged: &[&SourceTask],
    rng: &mut Rng,
) -> Question {
    let kind = rng.pick_weighted(&KINDS);
    match rng.pick(&[Through::Bridge, Through::SamePerson]) {
        Through::Bridge => {
            let i = rng.below(bridged.len());
            documents.question(kind, bridged[i], documents.bridges[i].1, rng)
        }
        Through::SamePerson => {
            let source = &sources[rng.below(sources.len())];
            documents.question(kind, source, source.question.person, rng)
        }
    }
}

fn known(arm: Arm, given: &[SourceTask], documents: &FollowUpDocuments) -> Known {
    let mut known = Known::new();
    known.documents(documents.facts.iter().copied());
    for source in given {
        match arm {
            Arm::None => {}
            Arm::Text => known.text_log(source),
            Arm::Kv => known.kv_log(source),
            Arm::Full => known.documents(source.facts.iter().copied()),
        }
    }
    known
}

/// A source task's trajectory, and `n_extra` more questions about the people it shows.
fn source_row(world: &World, source: &SourceTask, n_extra: usize, rng: &mut Rng) -> MarkedWords {
    let mut row: MarkedWords = source.prompt().into_iter().map(|word| (word, false)).collect();
    row.extend(source.response().into_iter().map(|word| (word, true)));
    let mut known = Known::new();
    known.documents(source.facts.iter().copied());
    for _ in 0..n_extra {
        let question = Question { person: rng.pick(&source.people), attribute: rng.pick(&Relation::OF_ORGS) };
        row.extend(question.words().map(|word| (word, false)));
        row.extend(expected_response(world, question, &mut known, rng));
    }
    row
}

impl Rows {
    /// Rows of marked words, padded on the right to the longest.
    pub(crate) fn new<'a>(rows: impl Iterator<Item = &'a [(Word, bool)]> + Clone) -> Self {
        let len = rows.clone().map(<[_]>::len).max().unwrap_or(0);
        let mut out = Self::default();
        for row in rows {
            let first = out.ids.len();
            out.ids.extend(row.iter().map(|(word, _)| word.id()));
            out.ids.resize(first + len, Word::PAD.id());
            let said = row.iter().enumerate().skip(1).filter(|(_, (_, said))| *said);
            out.said.extend(said.map(|(i, (word, _))| ((first + i - 1) as u32, word.id())));
            out.n_rows += 1;
        }
        out
    }

    fn note_written(&mut self, row: usize, column: usize, source: &SourceTask) {
        let value = |relation| {
            let fact = source.org_facts().find(|fact| fact.relation == relation);
            fact.map_or(0, |fact| fact.value.id())
        };
        let at = row * (self.ids.len() / self.n_rows) + column;
        self.written.push((at as u32, Relation::OF_ORGS.map(value)));
    }

    /// Token ids, `[n_rows, len]`.
    pub(crate) fn tokens(&self) -> Result<Tensor> {
        Tensor::from_slice(&self.ids, (self.n_rows, self.ids.len() / self.n_rows), &Device::Cpu)
    }

    /// Where the model speaks and what it should say next, `[n]` each.
    pub(crate) fn said(&self) -> Result<(Tensor, Tensor)> {
        let (at, words): (Vec<u32>, Vec<u32>) = self.said.iter().copied().unzip();
        Ok((indices(at)?, indices(words)?))
    }

    /// Where logs name their organisation and the values to be found there, `[n]` each, by relation.
    pub(crate) fn written(&self) -> Result<(Tensor, [Vec<u32>; 3])> {
        let at = indices(self.written.iter().map(|(at, _)| *at).collect())?;
        Ok((at, std::array::from_fn(|i| self.written.iter().map(|(_, values)| values[i]).collect())))
    }

    /// The words the model should say, row by row.
    pub(crate) fn said_by_row(&self) -> Vec<Vec<u32>> {
        let len = self.ids.len() / self.n_rows;
        let mut rows = vec![Vec::new(); self.n_rows];
        for (at, word) in &self.said {
            rows[*at as usize / len].push(*word);
        }
        rows
    }
}

fn indices(ids: Vec<u32>) -> Result<Tensor> {
    let n = ids.len();
    Tensor::from_vec(ids, n, &Device::Cpu)
}
