//! House rules that a program can check: every file says what it is, and imports point downwards.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the house, lowest first; those on one line do not know each other unless the right imports the left.
const FLOORS: [&[&str]; 10] = [
    &["id", "error"],
    &["record"],
    &["embed", "options"],
    &["medium"],
    &["catalog", "segment", "index"],
    &["store"],
    &["txn"],
    &["retrieval"],
    &["db"],
    &["maintenance", "agent", "fuzzing"],
];

/// Floors that stand on none of the store and carry none of it.
const APART: [&str; 1] = ["generate"];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all(dirs: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    dirs.iter().map(|dir| root.join(dir)).filter(|dir| dir.is_dir()).for_each(|dir| sources(&dir, &mut found));
    found.sort();
    let text = |path: PathBuf| (path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    found.into_iter().map(text).collect()
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in all(&["src", "format/src", "tools/src", "tests"]) {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > 20, "{}: begins with {first:?}", path.display());
    }
}

/// The module of the root crate that a file belongs to.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    below.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The modules that a file names after `crate::`, also inside braces; `crate::Error` stands for its module.
fn imported(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with("(in ") || code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let items = list.split('}').next().unwrap().split(',').map(str::trim);
                modules.extend(items.filter(|item| !item.is_empty()).map(first_word))
            }
            None => modules.push(first_word(rest)),
        }
    }
    modules
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Where the re-exports of the crate root come from.
fn home_of(name: &str) -> &str {
    match name {
        "Error" | "ErrorKind" | "Result" => "error",
        "Id" | "SegmentId" | "CommitId" => "id",
        "Record" | "RecordKind" | "Trajectory" | "Strategy" | "Embedding" | "EmbeddingSpace" | "Judgment"
        | "Outcome" | "Step" | "Exposure" | "Delivery" | "DeliveryPoint" | "Estimate" | "Evidence"
        | "JudgmentSource" | "Offered" | "Polarity" | "Provenance" | "Rollout" | "Status" | "StrategyKind"
        | "StrategyStats" | "Tally" | "Trust" => "record",
        "Embedder" | "LexicalEmbedder" => "embed",
        "Options" => "options",
        "Snapshot" | "Transaction" | "KvLogInfo" => "txn",
        "Query" | "Hit" | "Filter" | "Lesson" => "retrieval",
        "Database" | "Scope" => "db",
        module => module,
    }
}

#[test]
fn imports_point_downwards() {
    for (path, text) in all(&["src"]) {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        for name in imported(&text) {
            let target = home_of(&name);
            if APART.contains(&module.as_str()) {
                assert!(
                    ["generate", "error", "format"].contains(&target),
                    "{}: {module} imports {target} of the store",
                    path.display()
                );
                continue;
            }
            if APART.contains(&target) {
                assert_eq!(module, "agent", "{}: only agent sees both sides", path.display());
                continue;
            }
            let here = floor_of(&module).unwrap_or_else(|| panic!("{module} has no floor"));
            let there = floor_of(target).unwrap_or_else(|| panic!("{}: {name} has no floor", path.display()));
            assert!(there <= here, "{}: {module} imports {target}, which is above it", path.display());
        }
    }
}

#[test]
fn every_test_file_is_in_the_one_binary() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/main.rs")).unwrap();
    for (path, _) in all(&["tests"]) {
        let name = module_of(Path::new(&path.to_string_lossy().replacen("tests", "src", 1)));
        let declared = main.lines().any(|line| line == format!("mod {name};"));
        assert!(name == "main" || declared, "{} is in no test binary", path.display());
    }
}
