//! Keeping a database with the command: purge, backup and restore, and looking at one that an application has open.

use serde_json::Value;
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

/// A database with two trajectories in the scope `default`; the path, and the first id.
fn filled(directory: &std::path::Path) -> lagdb::Result<(String, String)> {
    let path = directory.join("agent.lagdb");
    let mut tx = lagdb::Database::open(&path)?.scope("default")?.begin()?;
    let id = tx.put(&lagdb::Trajectory::new("a task to forget"))?;
    tx.put(&lagdb::Trajectory::new("a task to keep"))?;
    tx.commit()?;
    Ok((path.display().to_string(), id.to_string()))
}

#[test]
fn what_is_purged_is_gone_and_what_was_backed_up_comes_back() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (db, id) = filled(directory.path())?;
    let (backup, copy) =
        (directory.path().join("b").display().to_string(), directory.path().join("c").display().to_string());
    let written = lagdb(&["backup", "--json", "--db", &db, &backup]);
    assert_eq!((written.status.code(), &json(&written)["commit"]), (Some(0), &Value::from(1)));

    let receipt = lagdb(&["purge", "--json", "--db", &db, &id]);
    assert_eq!(receipt.status.code(), Some(0));
    let receipt = json(&receipt);
    assert!(receipt["digest"].is_string() && receipt["schema"] == "lagdb.purge/1", "{receipt}");
    assert_eq!(json(&lagdb(&["info", "--json", "--db", &db]))["trajectories"], 1);
    let catalog = std::fs::read(directory.path().join("agent.lagdb/catalog.redb"))?;
    assert!(!catalog.windows(16).any(|window| window == b"a task to forget"));

    let restored = lagdb(&["restore", "--json", "--db", &copy, &backup]);
    assert_eq!((restored.status.code(), &json(&restored)["commit"]), (Some(0), &Value::from(1)));
    assert_eq!(json(&lagdb(&["info", "--json", "--db", &copy]))["trajectories"], 2);
    assert_eq!(lagdb(&["restore", "--db", &copy, &backup]).status.code(), Some(1), "there is something already");
    std::fs::write(directory.path().join("b/catalog.backup"), b"damaged")?;
    let elsewhere = directory.path().join("d").display().to_string();
    assert_eq!(lagdb(&["restore", "--db", &elsewhere, &backup]).status.code(), Some(3));
    Ok(())
}

/// An application had it open, and none of these could look at it.
#[test]
fn a_database_that_is_open_can_be_looked_at() -> TestResult {
    let directory = tempfile::tempdir()?;
    let (db, id) = filled(directory.path())?;
    let application = lagdb::Database::open(&db)?;
    for arguments in [vec!["info", "--db"], vec!["verify", "--db"]] {
        let output = lagdb(&[arguments.as_slice(), &[&db, "--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = lagdb(&["inspect", "trajectory", "--db", &db, &id]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lagdb(&["compact", "--db", &db]).status.code(), Some(4), "writing is for one");
    assert!(lagdb(&["compact", "--db", &db]).stderr.windows(7).any(|window| window == b"process"));
    drop(application);
    Ok(())
}
