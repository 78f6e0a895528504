//! What must hold of a run: the same seeds give the same streams, a kill costs nothing, the report has its shape.

use super::journal::{Header, Journal};
use super::judge::Witness;
use super::life::Life;
use super::mind::Minds;
use super::settings::Mind;
use super::*;
use crate::tool_choice::{Item, ToolWorld, Word};
use crate::world::Rng;
use lagdb::agent::{Agent, Dialect, Judge, Policy, Recollection};
use std::sync::Arc;

fn options(arms: &[&str]) -> Options {
    Options {
        arms: arms.iter().map(|arm| (*arm).to_owned()).collect(),
        seeds: 2,
        first_seed: 1,
        tasks: 6,
        out: None,
        resume: false,
        plot: None,
        model: None,
        threads: Some(2),
    }
}

fn quiet() -> Output {
    Output { json: true, quiet: true }
}

fn live(arm: &str, seed: u64, n_tasks: usize) -> Stream {
    let arm = Arm::named(arm).expect("an arm");
    let minds = Minds::load(None).expect("the embedded model");
    let life = Life::new(&arm, seed, n_tasks, minds.get(arm.mind)).expect("a life");
    let mut stream = life.live(&|| {}).expect("a stream");
    stream.overhead_ms.clear();
    stream
}

#[test]
fn the_same_seed_gives_the_same_stream() {
    for arm in ["successes_and_failures", "matts_sequential_3", "symbolic"] {
        assert_eq!(live(arm, 3, 8), live(arm, 3, 8), "{arm}");
    }
}

#[test]
fn a_symbolic_agent_with_memory_does_more_than_one_without() {
    let with = live("symbolic", 1, 60);
    let without = live("symbolic_no_memory", 1, 60);
    let last = |stream: &Stream| stream.success[40..].iter().map(|done| u32::from(*done)).sum::<u32>();
    assert!(last(&with) > last(&without) + 4, "{} and {} of 20", last(&with), last(&without));
}

/// With shared dice, arms that differ in name only are one arm.
#[test]
fn arms_of_one_setting_live_the_same_streams() {
    for (one, other) in [("none", "matts_parallel_1_no_memory"), ("successes_and_failures", "matts_sequential_1")] {
        assert_eq!(live(one, 4, 10).success, live(other, 4, 10).success, "{one} and {other}");
    }
}

#[test]
fn every_attempt_is_a_trajectory_and_only_memory_has_items() {
    let parallel = live("matts_parallel_3", 1, 5);
    assert_eq!(parallel.n_trajectories, 15);
    assert!(parallel.items_live > 0);
    let none = live("none", 1, 5);
    assert_eq!((none.n_trajectories, none.items_live), (5, 0));
}

#[test]
fn logs_are_kept_with_trajectories_and_never_make_items() {
    let with = live("kv_logs", 2, 40);
    assert_eq!((with.n_trajectories, with.items_live), (40, 0));
    assert!(with.attached_tokens > 0, "a success was attended to");
    let without = live("none", 2, 40);
    assert_eq!(without.attached_tokens, 0);
    let another = live("kv_logs_of_another_stream", 2, 12);
    assert_eq!(another.n_trajectories, 12 + 24, "the other stream's successes are remembered beside its own tasks");
    assert!(another.attached_tokens > 12 * 4 * 6, "four logs of at least six tokens a task");
}

#[test]
fn a_warning_reads_as_an_item_that_refutes() {
    let word = |text| Word::parse(text).expect("a word of the world");
    let item = Item { site: word("Delta"), subgoal: word("pay"), tool: word("menu"), works: false };
    let lesson = dialect::lesson(item);
    let strategy = lagdb::Strategy::new(lesson.title, lesson.description, lesson.content);
    assert_eq!(ToolDialect::default().warn(&[strategy]), "fails Delta pay");
}

/// A kill leaves half a line; what is gone on from it must be what an undisturbed run gives.
#[test]
fn a_run_that_was_killed_goes_on_without_loss_or_double() {
    let folder = tempfile::tempdir().expect("a folder");
    let arms = ["none", "symbolic", "successes_and_failures"];
    let lines = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).expect("a journal");
        let mut streams: Vec<Stream> =
            text.lines().skip(1).map(|line| serde_json::from_str(line).expect("a stream")).collect();
        streams.iter_mut().for_each(|stream| stream.overhead_ms.clear());
        streams.sort_by(|a, b| a.key.cmp(&b.key));
        streams
    };
    let whole = Options { out: Some(folder.path().join("whole.jsonl")), ..options(&arms) };
    measure(&whole, quiet()).expect("a run");
    let whole = lines(&folder.path().join("whole.jsonl"));
    assert_eq!(whole.len(), 6);

    let path = folder.path().join("killed.jsonl");
    let text = std::fs::read_to_string(folder.path().join("whole.jsonl")).expect("a journal");
    let cut: usize = text.lines().take(3).map(|line| line.len() + 1).sum::<usize>() + 40;
    std::fs::write(&path, &text[..cut]).expect("a cut journal");
    let killed = Options { out: Some(path.clone()), resume: true, ..options(&arms) };
    measure(&killed, quiet()).expect("the rest of a run");
    assert_eq!(lines(&path), whole);

    let again = Options { resume: false, ..killed.clone() };
    assert!(measure(&again, quiet()).is_err(), "a journal is not overwritten");
    let other = Options { tasks: 7, ..killed };
    let error = measure(&other, quiet()).err().expect("an error").to_string();
    assert!(error.contains("tasks 6"), "streams of another length are not mixed in: {error}");
    let text = std::fs::read_to_string(&path).expect("the journal").replace("Parallel(1)", "Parallel(2)");
    std::fs::write(&path, text).expect("a journal of other arms");
    let error = measure(&Options { tasks: 6, ..other }, quiet()).err().expect("an error").to_string();
    assert!(error.contains("the arm"), "nor streams of another arm of the same name: {error}");
}

#[test]
fn a_journal_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "dear diary\n").expect("a file");
    assert!(Journal::open(&path, true, &Header::new("model".to_owned(), 6)).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "dear diary\n");
}

#[test]
fn the_report_has_its_shape() {
    let arms = ["none", "irrelevant_items", "matts_parallel_3"];
    let report = measure(&options(&arms), quiet()).expect("a run");
    let json = report.json();
    assert_eq!(json["schema"], "lagdb.learn/1");
    assert_eq!(json["seeds"], serde_json::json!([1, 2]));
    let rows = json["arms"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row["n"], 2);
        for name in ["success", "success_last_third", "steps", "items_live"] {
            assert!(row[name].is_number(), "{name} of {row}");
        }
        assert_eq!(row["ci95"].as_array().map(Vec::len), Some(2));
    }
    assert!(json["judge"]["n"].as_u64() > Some(0) && json["judge"]["accuracy"].is_number());
    assert!(json["writer"]["n"].as_u64() >= json["writer"]["valid"].as_u64());
    assert!(json["overhead_ms_p50"].is_number());
    assert!(report.text().contains("irrelevant_items"));
    let svg = plot::svg(&measure(&Options { tasks: 12, ..options(&arms) }, quiet()).expect("a run"));
    assert!(svg.starts_with("<svg") && svg.contains("polyline"));
}

#[test]
fn an_arm_that_is_not_there_is_named() {
    let error = measure(&options(&["successess"]), quiet()).err().expect("an error").to_string();
    assert!(error.contains("successess") && error.contains("irrelevant_items"), "{error}");
}

#[test]
fn items_come_right_after_the_beginning() {
    let word = |text| Word::parse(text).expect("a word of the world");
    let item = Item { site: word("Delta"), subgoal: word("pay"), tool: word("menu"), works: false };
    let lesson = dialect::lesson(item);
    let strategy = lagdb::Strategy::new(lesson.title.clone(), lesson.description, lesson.content);
    assert_eq!(lesson.title, "Avoid menu for pay at Delta");
    assert_eq!(dialect::item_of(&strategy), Some(item));
    let dialect = ToolDialect::default();
    let reminded = dialect.remind(&[strategy], "<bos> task Delta pay act Delta pay");
    assert_eq!(reminded, "<bos> Delta pay menu fails task Delta pay act Delta pay");
    assert_eq!(dialect.retry(&reminded, 1, &lagdb::Judgment::new(lagdb::Outcome::Failure, "test")), "again Delta pay");
}

/// Three verdicts in ten are turned round in the noisy arm, none in the others, and the truth is told as it is.
#[test]
fn noise_turns_as_many_verdicts_round_as_it_says() {
    let mut rng = Rng::new(5);
    let world = ToolWorld::draw(&mut rng);
    let model = Minds::load(None).expect("the embedded model").get(Mind::Symbolic);
    let scope = lagdb::Database::in_memory().and_then(|database| database.scope("s")).expect("a scope");
    let dialect = Arc::new(ToolDialect::default());
    let agent = Agent::new(model.clone(), scope, Policy { max_steps: 3, ..Policy::default() }).dialect(dialect.clone());
    let n = 400;
    for (arm, turned_round) in [("successes_and_failures", 0..1), ("noisy_labels_30", n * 24 / 100..n * 36 / 100)] {
        let noise = Arm::named(arm).expect("an arm").judge.noise();
        let witness = |noise| Witness::new(Some((model.0.clone(), dialect.clone())), noise, 1);
        let (own, heard) = (witness(0.0), witness(noise));
        let mut n_turned = 0;
        for number in 0..n {
            let task = world.task(&mut rng);
            let mut environment = ToolEnvironment::new(&world, &task, number, Rng::new(number as u64));
            let attempt = agent.solve(&mut environment, &Recollection::default()).expect("an attempt");
            let [own, heard] = [&own, &heard].map(|judge| judge.judge(&mut environment, &attempt).expect("a verdict"));
            n_turned += usize::from(own.outcome != heard.outcome);
        }
        assert!(turned_round.contains(&n_turned), "{arm}: {n_turned} of {n}");
        assert_eq!(own.truths(), heard.truths(), "{arm}");
    }
}
