//! How `lagdb` serves conversations: the flags do what they say, and what the demo shows does not hang on them.

use serde_json::Value;
use std::process::Command;

/// What a command that succeeds prints as JSON.
fn json(arguments: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lagdb")).args(arguments).arg("--json").output().expect("the command runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The share of follow-ups about a fact that the logs do not spell which are answered at once, with one log recalled.
fn answered(report: &Value, arm: &str) -> f64 {
    let cells = report["cells"].as_array().expect("cells");
    let of_arm = |cell: &&Value| cell["arm"] == arm && cell["kind"] == "unspelled" && cell["n_logs"] == 1;
    cells.iter().find(of_arm).and_then(|cell| cell["correct"].as_f64()).expect("a cell")
}

fn demo(flags: &[&str]) -> Value {
    json(&[&["demo", "--quiet", "--seeds", "11,12", "--streams", "4"][..], flags].concat())
}

/// Rows of eight bits are off by hundredths, and logs in pages all stand at one position: what they carry is carried all the same, by
/// the right log and by no other.
#[test]
fn the_demo_recalls_with_eight_bits_in_rows_and_in_pages() {
    for (flags, numbers) in [(["--kv", "int8"], "int8"), (["--attach", "pages"], "f32")] {
        let report = demo(&flags);
        assert_eq!(report["kv_numbers"], numbers);
        let [right, other, none] = ["kv", "kv_of_another_task", "none"].map(|arm| answered(&report, arm));
        assert!(right >= 0.75, "{flags:?}: {right}");
        assert!(other <= 0.25, "{flags:?}: {other}");
        assert_eq!(none, 0.0, "{flags:?}");
    }
}

#[test]
fn a_generation_says_as_what_keys_and_values_are_held() {
    let said = |flags: &[&str]| {
        let generated = json(
            &[&["generate", "--prompt", "<bos> Ada employer Nova question", "--max-new-tokens", "4"], flags].concat(),
        );
        generated["kv_numbers"].clone()
    };
    assert_eq!(said(&[]), "f32", "weights of f32");
    for numbers in ["f32", "f16", "int8"] {
        assert_eq!(said(&["--kv", numbers]), numbers);
    }
}

/// Whoever attends in pages stores so; what was stored otherwise becomes rows, and it is said why.
#[test]
fn logs_are_attended_to_in_their_pages() -> Result<(), std::io::Error> {
    let directory = tempfile::tempdir()?;
    let generate = |name: &str, prompt: &str, flags: &[&str]| {
        let db = directory.path().join(name).display().to_string();
        json(&[&["generate", "--db", &db, "--query", "Chen Nova", "--prompt", prompt][..], flags].concat())
    };
    let facts = "<bos> Nova city Lagos Chen employer Nova Nova product chips Ada employer Orbit question city employer Chen think";
    let asks = "<bos> Ada employer Nova question city employer Ada think";
    generate("int8", facts, &["--attach", "pages"]);
    generate("lossless", facts, &[]);
    let paged = generate("int8", asks, &["--attach", "pages", "--forget"]);
    assert_eq!(
        (&paged["recalled"][0]["use"], &paged["recalled"][0]["fidelity"]),
        (&"paged".into(), &"approximate".into())
    );
    assert!(paged["attached_tokens"].as_u64() > Some(0), "{paged}");
    let rows = generate("int8", asks, &["--forget"]);
    assert_eq!(rows["recalled"][0]["use"], "attached");
    let fallen_back = generate("lossless", asks, &["--attach", "pages", "--forget"]);
    assert_eq!(fallen_back["recalled"][0]["use"], "attached");
    assert!(fallen_back["recalled"][0]["why"].as_str().is_some_and(|why| why.contains("not int8")), "{fallen_back}");
    Ok(())
}
