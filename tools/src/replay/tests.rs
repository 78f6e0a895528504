//! A replay of four tasks made by hand, in the form of tau-bench: what must be found, what must warn, what is refused.

use super::{Options, replayed};
use crate::output::Output;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const QUIET: Output = Output { json: true, quiet: true };

/// A call and its answer.
fn call(tool: &str, arguments: &Value, answer: &str) -> [Value; 2] {
    let function = json!({"name": tool, "arguments": arguments.to_string()});
    [
        json!({"role": "assistant", "content": null, "tool_calls": [{"function": function}]}),
        json!({"role": "tool", "name": tool, "content": answer}),
    ]
}

/// The user asks, the agent looks the booking up and cancels what it is told to, if anything.
fn conversation(task: u32, trial: u32, says: &str, cancels: Option<&str>, right: Option<&str>) -> Value {
    let mut messages = vec![json!({"role": "system", "content": "rules"}), json!({"role": "user", "content": says})];
    let booking = format!("{{\"id\": \"BOOK{task}\", \"cabin\": \"economy\"}}");
    messages.extend(call("get_booking", &json!({"id": format!("BOOK{task}")}), &booking));
    messages.extend(cancels.iter().flat_map(|id| call("cancel", &json!({ "id": id }), "{\"done\": true}")));
    messages.push(json!({"role": "user", "content": "Thank you."}));
    let actions: Vec<Value> = right.iter().map(|id| json!({"name": "cancel", "kwargs": {"id": id}})).collect();
    let reward = if cancels == right { 1.0 } else { 0.0 };
    json!({"task_id": task, "trial": trial, "reward": reward, "info": {"task": {"actions": actions}}, "traj": messages})
}

/// Two tasks to choose on and two to evaluate; in 1 and 3 it is right to cancel the booking and some cancel another, in 2
/// and 4 nothing may be cancelled.
fn recording() -> Value {
    let mut all = Vec::new();
    for (task, city) in [(1, "Oslo"), (2, "Lima"), (3, "Cairo"), (4, "Kyoto")] {
        let (mine, other) = (format!("BOOK{task}"), format!("WRONG{task}"));
        let right = (task % 2 == 1).then_some(mine.as_str());
        let did = [right, Some(other.as_str()), right, Some(other.as_str())];
        for (trial, cancels) in (0..).zip(did) {
            let says = format!("Hello, please see to my flight to {city}, number {trial}");
            all.push(conversation(task, trial, &says, cancels, right));
        }
    }
    Value::Array(all)
}

/// One trial of a task made of calls about its booking; it is a success if it made exactly the right ones.
fn trial(task: u32, number: u32, calls: &[&str], right: &[&str]) -> Value {
    let id = format!("BOOK{task}");
    let mut messages = vec![json!({"role": "user", "content": format!("See to booking {id}, number {number}")})];
    messages.extend(calls.iter().flat_map(|tool| call(tool, &json!({ "id": id }), "{}")));
    let actions: Vec<Value> = right.iter().map(|tool| json!({"name": tool, "kwargs": {"id": id}})).collect();
    let reward = if calls == right { 1.0 } else { 0.0 };
    json!({"task_id": task, "trial": number, "reward": reward, "info": {"task": {"actions": actions}}, "traj": messages})
}

/// The report on four tasks, the trials of each said by its calls.
fn report_on(right: &[&str], trials: impl Fn(u32) -> Vec<Vec<String>>) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let of_task = |task: u32| {
        let numbered = trials(task).into_iter().zip(0..);
        let one = |(calls, number): (Vec<String>, u32)| {
            trial(task, number, &calls.iter().map(String::as_str).collect::<Vec<_>>(), right)
        };
        numbered.map(one).collect::<Vec<_>>()
    };
    let all: Vec<Value> = (1..=4).flat_map(of_task).collect();
    let file = written(directory.path(), "runs.json", &Value::Array(all).to_string());
    replay(vec![file]).expect("a report").1
}

fn said(calls: &[&str]) -> Vec<String> {
    calls.iter().map(|tool| (*tool).to_owned()).collect()
}

/// A lesson once drawn from a failure must not be found by that very failure: what nobody else did, nobody can be warned of.
#[test]
fn a_failure_that_nobody_repeats_is_not_warned_of() {
    let report = report_on(&["cancel"], |task| vec![said(&["cancel"]), vec![format!("escalate_{task}")]]);
    for row in report["guard"].as_array().expect("rows").iter().filter(|row| row["lessons"] != "strategies") {
        let fired = &row["evaluated"]["fired"];
        assert_eq!((&fired["n"], &fired["share"]), (&2.into(), &0.0.into()), "{row}");
    }
}

/// A trial that is the only success of its task has nothing to be found: it is no case, and must not count as a miss or, worse,
/// find itself.
#[test]
fn the_only_success_of_a_task_is_no_case() {
    let alone = report_on(&["cancel"], |_| vec![said(&["cancel"])]);
    let n_of = |report: &Value| report["arms"][0]["n"].clone();
    assert_eq!(n_of(&alone), 0);
    let beside_a_failure = report_on(&["cancel"], |_| vec![said(&["cancel"]), said(&["refund"])]);
    assert_eq!(n_of(&beside_a_failure), 2, "the failures of the two tasks have a success to find");
    assert_eq!(n_of(&report_on(&["cancel"], |_| vec![said(&["cancel"]), said(&["cancel"])])), 4);
}

/// A success that is yet to come cannot refute a lesson: where its own act was the only refutation, it is disturbed, and
/// that counts as a false alarm. With a second success that did the same it is not.
#[test]
fn what_only_the_left_out_success_refutes_alarms_it() {
    let half_done = || said(&["cancel"]);
    let done = || said(&["cancel", "refund"]);
    let alarms = |trials: &dyn Fn() -> Vec<Vec<String>>| {
        let report = report_on(&["cancel", "refund"], |_| trials());
        row(&report, "divergence", "value")["evaluated"]["false_alarms_per_success"].clone()
    };
    let alone = alarms(&|| vec![done(), half_done()]);
    assert_eq!((&alone["n"], &alone["share"]), (&2.into(), &1.0.into()), "{alone}");
    let with_another = alarms(&|| vec![done(), half_done(), done()]);
    assert_eq!((&with_another["n"], &with_another["share"]), (&4.into(), &0.0.into()), "{with_another}");
}

fn written(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("a file");
    path
}

fn replay(files: Vec<PathBuf>) -> Result<(String, Value), String> {
    replayed(&Options { files, db: None }, QUIET).map_err(|failure| failure.to_string())
}

fn row<'a>(report: &'a Value, lessons: &str, level: &str) -> &'a Value {
    let rows = report["guard"].as_array().expect("rows");
    rows.iter().find(|row| row["lessons"] == lessons && row["level"] == level).expect("a row")
}

#[test]
fn what_is_repeated_is_warned_of_and_what_is_right_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let (text, report) =
        replay(vec![written(directory.path(), "runs.json", &recording().to_string())]).expect("a report");
    assert_eq!(report["schema"], "lagdb.replay/1");
    // In task 4 nothing was cancelled in the two successes, so they are weak evidence.
    let evaluated = &report["evaluated"];
    assert_eq!((&evaluated["n"], &evaluated["success"], &evaluated["weak_success"]), (&8.into(), &4.into(), &2.into()));
    assert_eq!(evaluated["failure_with_wrong_action"], 4);

    let by_value = &row(&report, "divergence", "value")["evaluated"];
    assert_eq!(by_value["fired"]["share"], 1.0, "the same booking is cancelled wrongly again: {text}");
    assert_eq!(by_value["false_alarms_per_action"]["share"], 0.0);
    // The tool alone warns of everything: the right cancellations of task 3 too.
    let by_tool = &row(&report, "not contrasted", "tool")["evaluated"];
    assert_eq!((&by_tool["fired"]["share"], &by_tool["false_alarms_per_action"]["share"]), (&1.0.into(), &1.0.into()));
    assert_eq!(row(&report, "divergence", "tool")["evaluated"]["fired"]["share"], 0.0, "successes cancel as well");
    assert_eq!(row(&report, "strategies", "tool")["evaluated"], Value::Null, "there are none");

    let arm =
        |name: &str| report["arms"].as_array().and_then(|arms| arms.iter().find(|arm| arm["name"] == name)).cloned();
    let lexical = arm("lexical (default)").expect("an arm");
    assert_eq!((&lexical["n"], &lexical["success"]), (&8.into(), &1.0.into()), "the city says which task it is");
    assert_eq!(lexical["n_tasks"], 2, "four trials of a task are not four cases");
    assert_eq!(report["chosen_arm"], "plain n-grams", "of those that find all on the tuned half the simplest");
    assert!(arm("random").is_some_and(|random| random["success"].as_f64() < Some(1.0)), "{text}");
    assert!(text.contains("divergence") && text.contains("Chosen on the tuned half"), "{text}");
}

#[test]
fn strategies_are_asked_about_other_tasks() {
    let directory = tempfile::tempdir().expect("a directory");
    let runs = written(directory.path(), "runs.json", &recording().to_string());
    let line = |trial: u32, last: u32| {
        json!({"title": "Look twice", "description": "d", "content": "c", "kind": "guardrail", "action_signature":
            "cancel(id)", "evidence": [{"task_id": 1, "trial": trial, "first_step": 1, "last_step": last}]})
        .to_string()
    };
    let db = directory.path().join("kept.lagdb");
    std::fs::create_dir(&db).expect("a directory");
    let again = replayed(&Options { files: vec![runs.clone()], db: Some(db) }, QUIET);
    assert!(again.is_err_and(|failure| failure.to_string().contains("kept.lagdb exists")));
    let good = written(directory.path(), "good.jsonl", &line(1, 5));
    let (_, report) = replay(vec![runs.clone(), good]).expect("a report");
    let by_tool = &row(&report, "strategies", "tool")["evaluated"];
    // Two of the four successes changed nothing: nothing could disturb them, and they are not counted as left in peace.
    assert_eq!((&by_tool["fired"]["share"], &by_tool["false_alarms_per_success"]["n"]), (&1.0.into(), &2.into()));
    let bad = written(directory.path(), "bad.jsonl", &format!("{}\n{}", line(1, 5), line(9, 5)));
    let problem = replay(vec![runs.clone(), bad]).expect_err("no such trial");
    assert!(problem.contains("bad.jsonl, line 2") && problem.contains("attempt 9"), "{problem}");
    let long = written(directory.path(), "long.jsonl", &line(1, 99));
    assert!(replay(vec![runs, long]).expect_err("no such steps").contains("steps 1 to 99"));
}

#[test]
fn what_cannot_be_replayed_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = |content: &str, says: &str| {
        let problem = replay(vec![written(directory.path(), "x.json", content)]).expect_err("refused");
        assert!(problem.contains(says), "{problem} does not say {says}");
    };
    let mut twice = recording();
    twice[3] = twice[2].clone();
    refused(&twice.to_string(), "x.json, element 4: attempt 2 of 1 is there already");
    let mut damaged = recording();
    damaged[5] = json!({"task_id": 3});
    refused(&damaged.to_string(), "x.json, element 6: not a tau-bench conversation");
    refused(r#"{"task": "t", "steps": [], "outcome": "success"}"#, "x.json, line 1: a replay needs the `group`");
    refused(r#"{"task": "t", "steps": [], "group": "g"}"#, "x.json, line 1: a replay needs the `outcome`");
    refused(r#"{"task": "t", "steps": [], "group": "g", "outcome": "success"}"#, "1 tasks");
    refused("", "0 tasks");
    assert!(replay(Vec::new()).expect_err("nothing").contains("recorded trajectories"));
}
