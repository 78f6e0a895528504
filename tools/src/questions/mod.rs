//! `lagdb learn --env questions REMEMBERED ASKED`: what a memory of questions and answers gives away without any thought.
//!
//! The control that a reader of such a benchmark needs: whoever copies the answer of the nearest remembered question is
//! right so often. On the published split of MuSiQue most asked questions share a resolved sub-question with a remembered
//! one; on a `split` by connected facts none does, and what is left is what copying is worth.
//!
//! The files are MuSiQue's: a JSON array, or one object a line, of `{question, question_decomposition: [{question, answer}],
//! answer, answer_aliases}` (Trivedi et al., 2022, <https://arxiv.org/abs/2108.00573>). Questions without a decomposition stand
//! on facts that nobody knows: they are counted, and left out where facts are what is split by.

pub(crate) mod question;
pub(crate) mod split;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::statistics::{Clustered, round};
use crate::{interrupt, replay};
use lagdb::{Database, Error, Id, Judgment, JudgmentSource, LexicalEmbedder, Query, Scope, Trajectory};
use question::Question;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Questions in one commit.
const BATCH: usize = 200;
/// Questions that are found.
const N_FOUND: usize = 3;
/// From this cosine on, a careful copier answers.
const FLOOR: f32 = 0.5;

/// Which questions are remembered and which are asked.
struct Split<'a> {
    name: &'static str,
    remembered: Vec<&'a Question>,
    asked: Vec<&'a Question>,
}

/// What copying is worth on one split; questions connected by facts belong together.
#[derive(Default)]
struct Copied {
    /// A fact of the asked question stands in a remembered one.
    shares_a_fact: Clustered,
    /// The answer of any remembered question.
    random: Clustered,
    /// The answer of the nearest.
    nearest: Clustered,
    /// One of the answers of the three nearest.
    among_three: Clustered,
    /// The nearest is near enough to be copied by the careful.
    answered: Clustered,
    /// And then its answer is right.
    right_if_answered: Clustered,
}

/// Remembers, asks and prints.
///
/// # Errors
/// [`Failure::Input`] for a file that is not such an array; [`Error::Invalid`] when there are not two files; on Ctrl-C,
/// [`Failure::Interrupted`].
pub fn run(options: &replay::Options, output: Output) -> Outcome {
    interrupt::listen();
    let (text, json) = measured(options, output)?;
    Ok(output.print(|| text, || json)?)
}

fn measured(options: &replay::Options, output: Output) -> Result<(String, Value), Failure> {
    let [remembered, asked] = options.files.as_slice() else {
        let detail = format!("{} given; two are needed: what is remembered, and what is asked", options.files.len());
        return Err(Error::invalid("FILES", detail).into());
    };
    let (remembered, asked) = (question::read(remembered)?, question::read(asked)?);
    let directory = tempfile::tempdir()?;
    let database = Database::open(options.new_database(directory.path())?)?;
    let published = Split { name: "published", remembered: remembered.iter().collect(), asked: asked.iter().collect() };
    let all: Vec<&Question> = remembered.iter().chain(&asked).collect();
    let known: Vec<&Question> = all.iter().copied().filter(|question| !question.facts.is_empty()).collect();
    let n_asked = asked.iter().filter(|question| !question.facts.is_empty()).count();
    let (remembered_apart, asked_apart) = split::by_connected_facts(&known, n_asked, 0);
    let connected = Split { name: "by connected facts", remembered: remembered_apart, asked: asked_apart };
    let (mut lines, mut splits) = (vec![header()], Vec::new());
    for split in [published, connected] {
        let copied = copy(&database.scope(split.name)?, &split, output)?;
        lines.push(copied.text(&split));
        splits.push(copied.json(&split));
    }
    let n_without_facts = all.len() - known.len();
    if n_without_facts > 0 {
        lines.push(format!("{n_without_facts} questions have no decomposition and are in the published split only"));
    }
    let json = json!({ "schema": "lagdb.questions/1", "without_facts": n_without_facts, "splits": splits });
    Ok((lines.join("\n"), json))
}

/// Remembers one side and asks the other.
fn copy(scope: &Scope, split: &Split<'_>, output: Output) -> Result<Copied, Failure> {
    let embedder = LexicalEmbedder::default();
    let bar = output.progress((split.remembered.len() + split.asked.len()) as u64, "copying");
    let mut known: BTreeMap<Id<Trajectory>, &Question> = BTreeMap::new();
    for batch in split.remembered.chunks(BATCH) {
        check_interrupt()?;
        let mut tx = scope.begin()?;
        for question in batch {
            let id = tx.put_new(&Trajectory::new(&question.text).step(&question.text, question.answer()))?;
            tx.judge(id, &Judgment::new(lagdb::Outcome::Success, "published answer").source(JudgmentSource::Person))?;
            tx.embed(id, &embedder.embed(&question.text))?;
            known.insert(id, question);
        }
        tx.commit()?;
        bar.inc(batch.len() as u64);
    }
    let facts: BTreeSet<&str> = split.remembered.iter().flat_map(|it| &it.facts).map(String::as_str).collect();
    let snapshot = scope.snapshot()?;
    let mut copied = Copied::default();
    let components = split::components_of(&split.asked);
    for ((i, question), component) in split.asked.iter().enumerate().zip(components) {
        let cluster = format!("{component}");
        check_interrupt()?;
        bar.inc(1);
        let hits = snapshot.search::<Trajectory>(&Query::near(embedder.embed(&question.text)).limit(N_FOUND))?;
        let is_right = |id: &Id<Trajectory>| known.get(id).is_some_and(|found| question.is_answered_by(found.answer()));
        let nearest = hits.first().is_some_and(|hit| is_right(&hit.id));
        copied.shares_a_fact.add_hit(&cluster, question.facts.iter().any(|fact| facts.contains(fact.as_str())));
        let any = split.remembered.get(split::scattered(i as u64) as usize % split.remembered.len().max(1));
        copied.random.add_hit(&cluster, any.is_some_and(|other| question.is_answered_by(other.answer())));
        copied.nearest.add_hit(&cluster, nearest);
        copied.among_three.add_hit(&cluster, hits.iter().any(|hit| is_right(&hit.id)));
        let is_near = hits.first().is_some_and(|hit| hit.score >= FLOOR);
        copied.answered.add_hit(&cluster, is_near);
        if is_near {
            copied.right_if_answered.add_hit(&cluster, nearest);
        }
    }
    bar.finish_and_clear();
    Ok(copied)
}

fn check_interrupt() -> Result<(), Failure> {
    match interrupt::requested() {
        true => Err(Failure::Interrupted("nothing was printed".to_owned())),
        false => Ok(()),
    }
}

fn header() -> String {
    format!(
        "{:<20}{:>11}{:>7}  {:<38}{:<38}{:<38}{:<38}{:<38}{:<38}",
        "split",
        "remembered",
        "asked",
        "shares a fact",
        "any answer",
        "copy the nearest",
        "one of three",
        "near enough to copy",
        "and then right"
    )
}

impl Copied {
    fn text(&self, split: &Split<'_>) -> String {
        let Self { shares_a_fact, random, nearest, among_three, answered, right_if_answered } = self;
        format!(
            "{:<20}{:>11}{:>7}  {shares_a_fact:<38}{random:<38}{nearest:<38}{among_three:<38}{answered:<38}{right_if_answered:<38}",
            split.name,
            split.remembered.len(),
            split.asked.len()
        )
    }

    fn json(&self, split: &Split<'_>) -> Value {
        json!({
            "name": split.name, "remembered": split.remembered.len(), "asked": split.asked.len(),
            "shares_a_fact": self.shares_a_fact.json(),
            "arms": [
                arm("random_answer", &self.random), arm("copy_nearest", &self.nearest), arm("one_of_three", &self.among_three),
            ],
            "floor": FLOOR, "answered": self.answered.json(), "right_if_answered": self.right_if_answered.json(),
        })
    }
}

fn arm(name: &str, share: &Clustered) -> Value {
    let ci95 = share.ci95().map(|x| round(x, 4));
    let (n, n_groups) = (share.n(), share.n_groups());
    json!({ "name": name, "n": n, "n_tasks": n_groups, "success": round(share.value(), 4), "ci95": ci95 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: u32, hops: &[(&str, &str)]) -> Value {
        let parts: Vec<Value> = hops.iter().map(|(ask, answer)| json!({"question": ask, "answer": answer})).collect();
        let answer = hops.last().map_or("", |(_, answer)| answer);
        let text = hops.iter().map(|(ask, _)| *ask).collect::<Vec<_>>().join(" and ");
        json!({"id": format!("q{id}"), "question": text, "question_decomposition": parts, "answer": answer,
            "answer_aliases": []})
    }

    #[test]
    fn what_is_copied_is_worth_nothing_where_no_fact_is_shared() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, value: &Value| {
            let path = directory.path().join(name);
            std::fs::write(&path, value.to_string()).map(|()| path)
        };
        let remembered = json!([
            question(1, &[("who leads Wexler", "Walsh"), ("where was #1 born", "Oslo")]),
            question(2, &[("who makes clocks", "Ida"), ("when was #1 born", "1912")]),
        ]);
        let asked = json!([question(3, &[("who sits in Paris", "Walsh"), ("where was #1 born", "Oslo")])]);
        let files = vec![write("a.json", &remembered).expect("a file"), write("b.json", &asked).expect("a file")];
        let quiet = Output { json: true, quiet: true };
        let (text, report) = measured(&replay::Options { files: files.clone(), db: None }, quiet).expect("a report");
        let [published, apart] = [&report["splits"][0], &report["splits"][1]];
        assert_eq!(published["shares_a_fact"]["share"], 1.0);
        assert_eq!(published["arms"][1]["success"], 1.0, "where was Walsh born: {text}");
        assert_eq!(apart["shares_a_fact"]["share"], 0.0);
        assert_eq!((&apart["remembered"], &apart["asked"]), (&2.into(), &1.into()), "{text}");
        // Without a decomposition every question once looked like one that shares no fact with any other, and the split by
        // facts was none: what is not known to be apart is left out of it.
        let mut unknown = asked.clone();
        unknown[0]["question_decomposition"] = json!([]);
        let unknown = vec![files[0].clone(), write("c.json", &unknown).expect("a file")];
        let (text, report) = measured(&replay::Options { files: unknown, db: None }, quiet).expect("a report");
        assert_eq!((&report["without_facts"], &report["splits"][1]["asked"]), (&1.into(), &0.into()), "{text}");

        // What was in a database already was once found too, and counted as a wrong answer.
        let db = Some(directory.path().to_path_buf());
        let there = measured(&replay::Options { files: files.clone(), db }, quiet);
        assert!(there.is_err_and(|failure| failure.to_string().contains("exists")));

        let one = replay::Options { files: files.into_iter().take(1).collect(), db: None };
        assert!(measured(&one, quiet).is_err_and(|failure| failure.to_string().contains("two are needed")));
    }
}
