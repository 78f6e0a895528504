//! A model that knows some answers and copies what it is shown: what is worth something to it, and what is not.

use super::*;
use lagdb::Judgment;
use lagdb::agent::{Conversation, ConversationOptions, Decoding, Environment, LogUse, Recollection, Reply};
use lagdb::format::{ElementType, KvLog, KvRead};
use std::path::{Path, PathBuf};

const QUIET: Output = Output { json: true, quiet: true };

/// Knows the answer of questions about Walsh who leads; otherwise says the last answer that is before it, and if there is
/// none that it does not know.
struct Copier;

struct Said(String);

impl LanguageModel for Copier {
    fn identity(&self) -> String {
        "copier".to_owned()
    }

    fn open(&self, _: &ConversationOptions) -> lagdb::Result<Box<dyn Conversation>> {
        Ok(Box::new(Said(String::new())))
    }
}

impl Conversation for Said {
    fn attach(&mut self, _: &dyn KvRead) -> lagdb::Result<LogUse> {
        Err(Error::KvLogsUnsupported { model: "copier".to_owned() })
    }

    fn say(&mut self, text: &str) -> lagdb::Result<()> {
        self.0.push_str(text);
        Ok(())
    }

    fn say_tokens(&mut self, _: &[u32]) -> lagdb::Result<()> {
        Err(Error::KvLogsUnsupported { model: "copier".to_owned() })
    }

    fn reply(&mut self, _: &Decoding, _: &mut dyn FnMut(&str)) -> lagdb::Result<Reply> {
        let (before, asked) = self.0.rsplit_once("Question: ").unwrap_or(("", &self.0));
        let copied = before.rsplit_once("Answer: ").map(|(_, rest)| rest.lines().next().unwrap_or_default());
        let text = if asked.contains("leader") { "Oslo\n" } else { copied.unwrap_or("Unknown.") };
        Ok(Reply { text: format!(" {text}"), ..Reply::default() })
    }

    fn capture(&mut self, _: usize, _: ElementType) -> lagdb::Result<KvLog> {
        Err(Error::KvLogsUnsupported { model: "copier".to_owned() })
    }
}

fn question(text: &str, fact: &str, answer: &str) -> Value {
    json!({"question": text, "answer": answer, "question_decomposition": [{"question": fact, "answer": answer}]})
}

/// Two remembered questions about where a leader was born, which the model knows, and one asked that shares a fact with the
/// first; and the other way round as many that share none.
fn files(directory: &Path) -> Vec<PathBuf> {
    let write = |name: &str, value: &Value| {
        let path = directory.join(name);
        std::fs::write(&path, value.to_string()).expect("a file");
        path
    };
    let remembered = json!([
        question("Where was the leader of Wexler born?", "where was Walsh born", "Oslo"),
        question("In which city did the leader of clocks begin?", "where do clocks begin", "Oslo"),
    ]);
    let asked = json!([question("Where was the head of Wexler born?", "where was Walsh born", "Oslo")]);
    vec![write("remembered.json", &remembered), write("asked.json", &asked)]
}

fn options(arms: &[&str], out: Option<PathBuf>) -> learn::Options {
    learn::Options {
        arms: arms.iter().map(|arm| (*arm).to_owned()).collect(),
        seeds: 2,
        first_seed: 1,
        tasks: 60,
        resume: out.as_ref().is_some_and(|path| path.exists()),
        out,
        plot: None,
        model: None,
        threads: None,
    }
}

fn report(files: &[PathBuf], options: &learn::Options) -> Result<Value, String> {
    let files = replay::Options { files: files.to_vec(), db: None };
    let report = measured(&files, options, &Speaker::of(Copier), QUIET).map_err(|failure| failure.to_string())?;
    assert!(report.text().contains("copier"));
    Ok(report.json())
}

fn arm<'a>(report: &'a Value, split: usize, name: &str) -> &'a Value {
    let arms = report["splits"][split]["arms"].as_array().expect("arms");
    arms.iter().find(|arm| arm["name"] == name).expect("an arm")
}

#[test]
fn a_memory_is_worth_what_it_says_beside_one_without() {
    let directory = tempfile::tempdir().expect("a directory");
    let report =
        report(&files(directory.path()), &options(&["none", "text", "irrelevant_text"], None)).expect("a report");
    assert_eq!((&report["schema"], &report["questions"]), (&"lagdb.qa/1".into(), &3.into()));
    let published = &report["splits"][0];
    assert_eq!((&published["name"], &published["recallable"]), (&"published".into(), &2.into()), "{report}");
    let none = arm(&report, 0, "none");
    assert_eq!((&none["answered"]["share"], &none["success"]), (&0.0.into(), &0.0.into()));
    let text = arm(&report, 0, "text");
    assert_eq!((&text["success"], &text["more_than_none"]["share"]), (&1.0.into(), &1.0.into()), "{report}");
    assert_eq!((&text["right_if_answered"]["n"], &text["recalled"]), (&1.into(), &1.0.into()));
    assert_eq!(arm(&report, 0, "copy_nearest")["success"], 1.0);
    // Both draws of the split by facts: nothing of the asked side is recalled, and the draws are of one split.
    let apart = &report["splits"][1];
    assert_eq!((&apart["name"], &apart["draws"]), (&"by connected facts".into(), &2.into()), "{report}");
}

/// A run that was interrupted goes on from its journal, and asks nothing twice.
#[test]
fn a_run_goes_on_from_its_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, out) = (files(directory.path()), directory.path().join("out.jsonl"));
    let whole = report(&files, &options(&["none", "text"], Some(out.clone()))).expect("a report");
    let text = std::fs::read_to_string(&out).expect("a journal");
    let n_lines = text.lines().count();
    let cut: usize = text.lines().take(3).map(|line| line.len() + 1).sum::<usize>() + 20;
    std::fs::write(&out, &text[..cut]).expect("a cut journal");
    assert_eq!(report(&files, &options(&["none", "text"], Some(out.clone()))).expect("the rest"), whole);
    assert_eq!(std::fs::read_to_string(&out).expect("a journal").lines().count(), n_lines);
    let other = learn::Options { seeds: 1, ..options(&["none"], Some(out)) };
    let problem = report(&files, &other).expect_err("another run");
    assert!(problem.contains("seeds") && problem.contains('2'), "{problem}");
}

fn plain_question(text: &str) -> Question {
    Question { text: text.to_owned(), context: None, answers: vec!["yes".to_owned()], facts: Vec::new() }
}

/// A real model, so that KV logs are real: those of what may be recalled in the split are attached, and no others.
#[test]
fn what_is_recalled_is_what_may_be_recalled_in_the_split() {
    let speaker = Speaker::local(crate::demo::embedded_model().expect("the embedded model"));
    let scope = Database::in_memory().and_then(|database| database.scope("qa")).expect("a scope");
    let judged = |outcome| Judgment::new(outcome, "test");
    for (text, label, outcome) in [
        ("where do cats sleep", "apart 1", lagdb::Outcome::Success),
        ("where do dogs sleep", "apart 1", lagdb::Outcome::Success),
        ("where do owls sleep", "apart 1", lagdb::Outcome::Failure),
        ("where do bats sleep", "apart 2", lagdb::Outcome::Success),
    ] {
        let question = plain_question(text);
        let mut asking = asking::Asking::new(&question, &[label.to_owned()]);
        let agent = memory::agent(&scope, &speaker, &question, true).expect("an agent");
        let attempt = agent.solve(&mut asking, &Recollection::default()).expect("an answer");
        agent.remember(asking.task(), &attempt, &judged(outcome), 0).expect("a commit");
    }
    let (remembered, asked) = (vec![0, 1, 2], vec![3]);
    let split = Split { name: "by connected facts", seed: 1, label: "apart 1".to_owned(), remembered, asked };
    let asker = Asker { scope: &scope, speaker: &speaker, split: &split };
    let ask = |arm: &str, text: &str| {
        asker.ask(Arm::named(arm).expect("an arm"), &plain_question(text), text).expect("an answer")
    };
    let (kv, text) = (ask("kv", "where do bats sleep"), ask("text", "where do bats sleep"));
    assert_eq!((kv.n_recalled, text.n_recalled), (2, 2), "not the failure, and not what only the other draw remembers");
    assert!(kv.attached_tokens > 0 && text.attached_tokens == 0);
    assert!(text.prompt_tokens > kv.prompt_tokens, "{text:?} {kv:?}");
    assert_eq!(ask("kv", "where do cats sleep").n_recalled, 1, "never itself");
}

/// The control is a memory of the same kind, of another question.
#[test]
fn a_control_recalls_for_another_question() {
    let questions: Vec<Question> = (0..20).map(|i| plain_question(&format!("question {i}"))).collect();
    let journal = Journal::in_memory();
    let asking =
        Asking { questions: &questions, answers: &[], arms: &[], speaker: &Speaker::of(Copier), journal: &journal };
    let (remembered, asked) = ((0..10).collect(), (10..20).collect());
    let split = Split { name: "published", seed: 1, label: "published".to_owned(), remembered, asked };
    let query = |arm: &str, place| asking.query(Arm::named(arm).expect("an arm"), &split, place).to_owned();
    assert_eq!(query("text", 12), "question 12");
    let drawn: std::collections::BTreeSet<String> = (10..20).map(|place| query("irrelevant_text", place)).collect();
    assert!(drawn.len() > 3, "{drawn:?}");
    assert!(drawn.iter().all(|text| questions[..10].iter().any(|question| &question.text == text)));
    assert_eq!(query("irrelevant_kv", 12), query("irrelevant_text", 12), "all controls recall for the same one");
}

#[test]
fn what_cannot_be_asked_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = files(directory.path());
    let refused = |files: &[PathBuf], options: &learn::Options, says: &str| {
        let problem = report(files, options).expect_err("refused");
        assert!(problem.contains(says), "{problem} does not say {says}");
    };
    refused(&files, &options(&["texts"], None), "irrelevant_text");
    refused(&files, &options(&["kv"], None), "copier");
    refused(&[], &options(&[], None), "0 given");
    refused(&files, &learn::Options { first_seed: 0, ..options(&[], None) }, "--first-seed");
    refused(&files, &learn::Options { seeds: 0, ..options(&[], None) }, "1 to 32");
    let tiny = run(&replay::Options { files, db: None }, &options(&[], None), QUIET);
    assert!(tiny.is_err_and(|failure| failure.to_string().contains("--model")));
}

#[test]
fn questions_without_facts_are_drawn_at_random() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("plain.jsonl");
    let line = |i: usize| {
        format!("{{\"question\": \"Who is leader number {i}?\", \"answer\": \"Oslo\", \"context\": \"c\"}}\n")
    };
    std::fs::write(&path, (0..9).map(line).collect::<String>()).expect("a file");
    let report = report(&[path], &options(&[], None)).expect("a report");
    assert_eq!((&report["splits"][0]["name"], &report["splits"][0]["remembered"]), (&"at random".into(), &12.into()));
    let names: Vec<&str> =
        report["splits"][0]["arms"].as_array().expect("arms").iter().filter_map(|arm| arm["name"].as_str()).collect();
    assert_eq!(names, ["none", "text", "strategies", "irrelevant_text", "irrelevant_strategies", "copy_nearest"]);
    assert_eq!(arm(&report, 0, "strategies")["success"], 1.0);
}
