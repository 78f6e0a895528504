//! The `lagdb` command as a user meets it: what it prints, where, and how it exits.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn lagdb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lagdb")).args(arguments).output().expect("the command runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A small recording: two attempts at each of two tasks, and a strategy that cites two of them.
fn recordings(directory: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
    let line = |group: &str, attempt: u32, task: &str, outcome: &str| {
        serde_json::json!({
            "task": task, "group": group, "attempt": attempt, "outcome": outcome, "labels": ["test"],
            "steps": [{"observation": "o", "action": "a"}, {"observation": "p", "action": "b"}],
        })
        .to_string()
    };
    let trajectories = [
        line("refund", 0, "I want a refund for my late flight to Oslo", "success"),
        line("refund", 1, "please refund my late flight to Oslo", "failure"),
        line("bags", 0, "add two checked bags to my reservation", "success"),
        line("bags", 1, "I need two more checked bags on my reservation", "success"),
    ];
    let strategy = serde_json::json!({
        "title": "Check the delay first", "description": "Before refunding", "content": "Look the flight up.",
        "kind": "contrast", "labels": ["policy"], "action_signature": "refund(flight)",
        "evidence": [
            {"group": "refund", "attempt": 0, "first_step": 0, "last_step": 1, "polarity": "support"},
            {"group": "refund", "attempt": 1, "first_step": 1, "last_step": 1, "polarity": "contradict"},
        ],
    });
    let (a, b) = (directory.join("trajectories.jsonl"), directory.join("strategies.jsonl"));
    std::fs::write(&a, trajectories.join("\n"))?;
    std::fs::write(&b, strategy.to_string())?;
    Ok((a, b))
}

/// A database with the recordings imported.
fn imported(directory: &Path) -> std::io::Result<String> {
    let (trajectories, strategies) = recordings(directory)?;
    let db = directory.join("agent.lagdb").display().to_string();
    let output =
        lagdb(&["import", "--db", &db, &trajectories.display().to_string(), &strategies.display().to_string()]);
    assert!(output.status.success(), "{}", stderr(&output));
    Ok(db)
}

#[test]
fn what_was_imported_is_found_again() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = imported(directory.path())?;
    let hits = json(&lagdb(&["search", "--db", &db, "--json", "refund", "late", "flight"]));
    assert_eq!(hits["schema"], "lagdb.search/1");
    assert_eq!(hits["hits"][0]["group"], "refund");
    let only = json(&lagdb(&["search", "--db", &db, "--json", "--outcome", "failure", "flight"]));
    assert_eq!(only["hits"].as_array().map(Vec::len), Some(1));
    let siblings = json(&lagdb(&["search", "--db", &db, "--json", "--leave-one-out"]));
    assert_eq!((&siblings["n"], &siblings["first"]), (&4.into(), &1.0.into()));
    let strategies = json(&lagdb(&["search", "--db", &db, "--json", "--what", "strategies", "refund"]));
    let id = strategies["hits"][0]["strategy"].to_string();
    let strategy = json(&lagdb(&["inspect", "strategy", "--db", &db, "--json", &id]));
    assert_eq!(strategy["evidence"][0]["outcome"], "success");
    assert_eq!(strategy["evidence"][1]["polarity"], "contradict");
    Ok(())
}

#[test]
fn a_malformed_line_is_named_and_nothing_is_imported() -> TestResult {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bad.jsonl");
    std::fs::write(&file, "{\"task\":\"t\",\"steps\":[]}\n\n{\"task\": 3}\n")?;
    let db = directory.path().join("agent.lagdb").display().to_string();
    let output = lagdb(&["import", "--db", &db, &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("bad.jsonl, line 3:"), "{}", stderr(&output));
    assert!(!Path::new(&db).exists(), "nothing was created");
    Ok(())
}

#[test]
fn evidence_of_a_missing_trajectory_is_refused_with_its_line() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (_, strategies) = recordings(directory.path())?;
    let db = directory.path().join("agent.lagdb").display().to_string();
    let output = lagdb(&["import", "--db", &db, &strategies.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("strategies.jsonl, line 1:"), "{}", stderr(&output));
    assert!(stderr(&output).contains("group refund, attempt 0"), "{}", stderr(&output));
    Ok(())
}

/// An import once committed fifty records before it found the record that could not be stored, and importing a file
/// twice made twins of every trajectory.
#[test]
fn an_import_stores_all_or_nothing_and_never_twice() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = imported(directory.path())?;
    let n_trajectories = || json(&lagdb(&["info", "--json", "--db", &db]))["trajectories"].as_u64();
    let again = directory.path().join("trajectories.jsonl").display().to_string();
    let output = lagdb(&["import", "--db", &db, &again]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("already there"), "{}", stderr(&output));
    let mut lines: Vec<String> = (0..60).map(|i| format!("{{\"task\":\"task {i}\",\"steps\":[]}}")).collect();
    lines[58] = "{\"task\":\"\",\"steps\":[]}".to_owned();
    let late = directory.path().join("late.jsonl");
    std::fs::write(&late, lines.join("\n"))?;
    let output = lagdb(&["import", "--db", &db, &late.display().to_string()]);
    assert!(stderr(&output).contains("late.jsonl, line 59:"), "{}", stderr(&output));
    assert_eq!(n_trajectories(), Some(4));
    Ok(())
}

#[test]
fn memory_answers_before_an_action_and_says_why_it_found_what_it_found() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = imported(directory.path())?;
    let known = json(&lagdb(&["guard", "--db", &db, "--json", "refund(flight)"]));
    assert_eq!(known["lessons"][0]["title"], "Check the delay first");
    assert_eq!(json(&lagdb(&["guard", "--db", &db, "--json", "refund(hotel)"]))["lessons"], serde_json::json!([]));
    assert_eq!(lagdb(&["guard", "--db", &db, ""]).status.code(), Some(1));

    let pair = json(&lagdb(&["contrast", "--db", &db, "--json", "refund", "my", "late", "flight"]))["pair"].clone();
    assert_eq!((&pair["success"]["outcome"], &pair["failure"]["outcome"]), (&"success".into(), &"failure".into()));
    assert_eq!(
        json(&lagdb(&["contrast", "--db", &db, "--json", "bags", "--scope", "default"]))["pair"]["failure"]["group"],
        "refund"
    );

    let explained = json(&lagdb(&[
        "search",
        "--db",
        &db,
        "--json",
        "--explain",
        "--mmr",
        "0.7",
        "-n",
        "1",
        "flight",
        "--not-label",
        "draft",
    ]));
    let explanation = &explained["explanation"];
    assert_eq!((&explanation["records"], &explanation["filters"][1]["left"]), (&4.into(), &4.into()));
    assert_eq!(explanation["considered"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        (&explanation["considered"][0]["fate"], &explanation["considered"][1]["fate"]),
        (&"hit".into(), &"too much like the hits".into())
    );
    let newest = ["search", "--db", &db, "--json", "--newest", "--what", "strategies", "--status"];
    let n_found = |status: &str| json(&lagdb(&[&newest[..], &[status]].concat()))["hits"].as_array().map(Vec::len);
    assert_eq!((n_found("active"), n_found("stale")), (Some(1), Some(0)));
    let strategy = json(&lagdb(&["inspect", "strategy", "--db", &db, "--json", "5"]));
    assert_eq!((&strategy["status"], &strategy["stats"]["success"]["mean"]), (&"active".into(), &0.5.into()));
    Ok(())
}

/// Strategies imported after their tau-bench recording once cited other steps than they meant, silently.
#[test]
fn evidence_that_counts_messages_comes_with_its_recording() -> TestResult {
    let directory = tempfile::tempdir()?;
    let recording = serde_json::json!([{"task_id": 1, "trial": 0, "reward": 0.0, "traj": [
        {"role": "system", "content": "rules"}, {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"}, {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "bye"},
    ]}]);
    let strategy = serde_json::json!({"title": "t", "description": "d", "content": "c", "evidence": [
        {"task_id": 1, "trial": 0, "first_step": 1, "last_step": 2, "polarity": "support", "outcome": "failure"},
    ]});
    let (a, b) = (directory.path().join("a.json"), directory.path().join("b.jsonl"));
    std::fs::write(&a, recording.to_string())?;
    std::fs::write(&b, strategy.to_string())?;
    let (a, b) = (a.display().to_string(), b.display().to_string());
    let db = |name: &str| directory.path().join(name).display().to_string();
    assert!(lagdb(&["import", "--db", &db("apart.lagdb"), &a]).status.success());
    let output = lagdb(&["import", "--db", &db("apart.lagdb"), &b]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("together with its recording"), "{}", stderr(&output));
    assert!(lagdb(&["import", "--db", &db("together.lagdb"), &a, &b]).status.success());
    let hits = json(&lagdb(&["search", "--json", "--db", &db("together.lagdb"), "--what", "strategies", "t"]));
    let id = hits["hits"][0]["strategy"].to_string();
    let strategy = json(&lagdb(&["inspect", "strategy", "--json", "--db", &db("together.lagdb"), &id]));
    assert_eq!((&strategy["evidence"][0]["first_step"], &strategy["evidence"][0]["last_step"]), (&0.into(), &0.into()));
    Ok(())
}

/// A second run into the same database, or a seed named twice, once gave the control the log that was taken from it.
#[test]
fn the_demo_refuses_what_would_spoil_its_control() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = directory.path().display().to_string();
    for arguments in [["--db", &db], ["--seeds", "1,1"], ["--streams", "0"]] {
        let output = lagdb(&[&["demo"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(arguments[0]) || arguments[0] == "--seeds", "{}", stderr(&output));
    }
    Ok(())
}

#[test]
fn a_missing_database_is_named_not_created() {
    for command in ["info", "verify", "compact"] {
        let output = lagdb(&[command, "--db", "/nowhere/agent.lagdb"]);
        assert!(!output.status.success(), "{command}");
        assert!(stderr(&output).contains("/nowhere/agent.lagdb"), "{command}: {}", stderr(&output));
    }
}

#[test]
fn a_database_open_elsewhere_is_refused_with_its_owner() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = imported(directory.path())?;
    let _open = lagdb::Database::open(&db)?;
    let output = lagdb(&["compact", "--db", &db]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains(&std::process::id().to_string()), "{}", stderr(&output));
    Ok(())
}

#[test]
fn an_unknown_model_file_is_named() -> TestResult {
    let directory = tempfile::tempdir()?;
    let empty = directory.path().display().to_string();
    let output = lagdb(&["generate", "--model", &empty, "--prompt", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("config.json"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn generate_remembers_recalls_and_refuses_what_does_not_fit() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("agent.lagdb").display().to_string();
    let facts =
        "<bos> Nova city Lagos Chen employer Nova Nova product chips Ada employer Orbit Orbit city Oslo Nova boss Cruz";
    let first = format!("{facts} question city employer Chen think");
    let output = json(&lagdb(&["generate", "--json", "--db", &db, "--prompt", &first, "--query", "Chen Nova"]));
    assert_eq!(output["remembered"].as_u64(), Some(1));
    let second = "<bos> Ada employer Nova question city employer Ada think";
    let generate = |prompt: &str| {
        json(&lagdb(&["generate", "--json", "--db", &db, "--prompt", prompt, "--query", "Nova", "--forget"]))
    };
    assert_eq!(generate(&first)["recalled"], serde_json::json!([]), "a task does not recall itself");
    let second = generate(second);
    assert_eq!(second["recalled"][0]["trajectory"], output["remembered"]);
    assert!(second["attached_tokens"].as_u64() > Some(0));
    assert_eq!(second["recalled"][0]["use"], "attached");
    assert_eq!(second["recalled"][0]["fidelity"], "approximate", "a response was computed after its prompt");
    assert!(second["remembered"].is_null() && second["admission"].is_null());
    // Measured, it says by what it chose.
    let prompt = "<bos> Ada employer Nova question city employer Ada think";
    let again = ["generate", "--json", "--db", &db, "--prompt", prompt, "--query", "Nova", "--forget", "--measure"];
    let measured = json(&lagdb(&again));
    assert!(measured["admission"]["prefill_s_per_token"].as_f64() > Some(0.0), "{measured}");
    assert!(["attached", "recomputed"].contains(&measured["recalled"][0]["use"].as_str().expect("a word")));
    let endless = "Nova ".repeat(5000);
    let output = lagdb(&["generate", "--prompt", &endless]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("exceed the context limit"), "{}", stderr(&output));
    Ok(())
}

/// The main job, small: memory-off fails on unspelled facts, the KV log carries them, the control fails.
#[test]
fn the_demo_shows_what_it_claims() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("demo.lagdb").display().to_string();
    let output = lagdb(&["demo", "--json", "--quiet", "--seeds", "11,12", "--streams", "4", "--db", &db]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["schema"], "lagdb.demo/1");
    assert_eq!(report["verify"]["ok"], true);
    let cells = report["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 5 * 4 * 4, "arms x kinds x numbers of logs");
    let correct = |arm: &str, kind: &str| {
        let found = cells.iter().find(|c| c["arm"] == arm && c["kind"] == kind && c["n_logs"] == 1);
        found.and_then(|cell| cell["correct"].as_f64()).expect("a cell")
    };
    assert_eq!(correct("none", "unspelled"), 0.0);
    assert_eq!(correct("text", "unspelled"), 0.0);
    assert!(correct("kv", "unspelled") >= 0.75, "{}", correct("kv", "unspelled"));
    assert!(correct("kv_of_another_task", "unspelled") <= 0.25);
    assert!(correct("text", "spelled") >= 0.75);

    // What it left behind is a sound database, and a damaged copy of it is told apart.
    assert!(lagdb(&["verify", "--db", &db]).status.success());
    let segment = first_segment(Path::new(&db))?;
    let sound = json(&lagdb(&["inspect", "segment", "--json", "--pages", &segment.display().to_string()]));
    assert_eq!(sound["segments"][0]["row_groups"][0]["tokens"], 7);
    let mut bytes = std::fs::read(&segment)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes)?;
    let inspected = lagdb(&["inspect", "segment", "--json", &segment.display().to_string()]);
    assert_eq!(inspected.status.code(), Some(3));
    let fault = &json(&inspected)["segments"][0]["faults"][0];
    assert!(fault.as_str().is_some_and(|fault| fault.contains("corrupt at byte")), "{fault}");
    let output = lagdb(&["verify", "--json", "--db", &db]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let problem = &json(&output)["problems"][0];
    let name = segment.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    assert!(problem["file"].as_str().is_some_and(|file| file.ends_with(&name)), "{problem}");
    assert!(problem["offset"].as_u64() > Some(0), "{problem}");
    Ok(())
}

/// Ctrl-C stops the demo at once; the tasks it finished are still there, and sound.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_committed() -> TestResult {
    let directory = tempfile::tempdir()?;
    let db = directory.path().join("demo.lagdb");
    let name = db.display().to_string();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_lagdb"))
        .args(["demo", "--json", "--quiet", "--streams", "500", "--db", &name])
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let segments = || std::fs::read_dir(db.join("segments")).map_or(0, Iterator::count);
    while segments() < 5 {
        assert!(demo.try_wait()?.is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status()?.success());
    assert_eq!(demo.wait_with_output()?.status.code(), Some(130));
    assert!(lagdb(&["verify", "--db", &name]).status.success());
    let info = json(&lagdb(&["info", "--json", "--db", &name]));
    assert!(info["trajectories"].as_u64() >= Some(5), "{info}");
    assert_eq!(info["trajectories"], info["kv_logs"]);
    assert!(info["spaces"].is_array(), "{info}");
    Ok(())
}

fn first_segment(db: &Path) -> std::io::Result<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(db.join("segments"))?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    files.into_iter().next().ok_or_else(|| std::io::Error::other("no segment"))
}

#[test]
fn a_segment_is_dumped_field_by_field_even_when_damaged() -> TestResult {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format/tests/golden");
    for name in ["v1.kv", "v2.kv"] {
        let file = golden.join(name).display().to_string();
        let output = lagdb(&["dump", "segment", &file, "--row-group", "3", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let dump = json(&output);
        assert_eq!((&dump["schema"], &dump["faults"]), (&"lagdb.dump/1".into(), &Value::Array(vec![])));
        let fields = dump["fields"].as_array().ok_or("fields")?;
        assert_eq!((&fields[0]["offset"], &fields[0]["field"]), (&0.into(), &"magic".into()));
        assert!(fields.iter().any(|field| field["place"] == "row group 3, directory" && field["field"] == "token ids"));

        let mut bytes = std::fs::read(&file)?;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let damaged = tempfile::NamedTempFile::new()?;
        std::fs::write(damaged.path(), &bytes)?;
        let output = lagdb(&["dump", "segment", &damaged.path().display().to_string()]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("WRONG: corrupt at byte") && text.contains("end magic"), "{text}");
        assert!(text.contains("fingerprint"), "the footer is found where the tail says: {text}");
    }
    Ok(())
}
