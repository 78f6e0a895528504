//! A small database with some of everything, and everything that a user asks of it: for tests that damage it.

use super::{embed, kv_log, model};
use crate::kit;
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Error, Id, Options, Outcome, Polarity, Query, Result, Strategy, StrategyKind, Trajectory};
use std::collections::BTreeMap;
use std::sync::{Arc, Once};

pub(crate) type Files = BTreeMap<String, Vec<u8>>;
pub(crate) const CATALOG: &str = "catalog.redb";
pub(crate) const SEGMENT: &str = "segments/1.kv";

/// redb's own panics are caught; their messages would bury those of a failing test.
pub(crate) fn without_redbs_panic_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().contains("redb-")) {
                usual(info);
            }
        }));
    });
}

pub(crate) fn database() -> Files {
    let medium = MemoryMedium::new();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    for i in 0..12 {
        let task = format!("task number {i} about flights");
        let id = tx.put(&kit::trajectory(&task).rollout("group", i)).unwrap();
        tx.embed(id, &embed(&task)).unwrap();
        tx.judge(id, &if i % 2 == 0 { kit::success() } else { kit::failure() }).unwrap();
        if i < 3 {
            tx.put_kv_log(id, &kv_log(&model(1), 4 + i, i)).unwrap();
        }
        let strategy = tx.put(&kit::strategy(&task, id, Polarity::Support)).unwrap();
        tx.embed(strategy, &embed(&task)).unwrap();
    }
    tx.commit().unwrap();
    drop((scope, database));
    medium.dump()
}

/// Everything that a user asks, each answer apart.
pub(crate) fn answers(files: &Files) -> Vec<Result<String>> {
    answers_with(Database::options(), files)
}

pub(crate) fn answers_with(options: Options, files: &Files) -> Vec<Result<String>> {
    let medium = Arc::new(MemoryMedium::from_dump(files.clone()));
    let database = match options.open_on(medium) {
        Ok(database) => database,
        Err(error) => return vec![Err(error)],
    };
    let mut answers = vec![database.admin().scopes().map(|names| format!("{names:?}"))];
    let snapshot = match database.scope("s").unwrap().snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![Err(error)],
    };
    let near = Query::near(embed("task number 3")).limit(5);
    let mut add = |answer: Result<String>| answers.push(answer);
    add(snapshot.ids::<Trajectory>().map(|ids| format!("{ids:?}")));
    for id in (1..=6).map(Id::<Trajectory>::from_u64) {
        add(snapshot.get(id).map(|record| format!("{record:?}")));
        add(snapshot.outcome(id).map(|outcome| format!("{outcome:?}")));
        add(snapshot.judgments(id).map(|judgments| format!("{judgments:?}")));
        add(snapshot.kv_log(id, &model(1)).and_then(|view| match view {
            Some(view) => view.to_log().map(|log| format!("{log:?}")).map_err(|e| Error::from_format(e, SEGMENT)),
            None => Ok("none".to_owned()),
        }));
    }
    let trajectories = [near.clone(), near.clone().outcome(Outcome::Failure), near.clone().label("test")];
    for query in trajectories {
        add(snapshot.search::<Trajectory>(&query).map(|hits| format!("{hits:?}")));
    }
    for query in [near.clone(), near.clone().kind(StrategyKind::Procedure), near.exclude_group("group")] {
        add(snapshot.search::<Strategy>(&query).map(|hits| format!("{hits:?}")));
    }
    answers
}

/// How many of the answers are other ones; errors are fine.
pub(crate) fn n_wrong(good: &[Result<String>], damaged: &[Result<String>]) -> usize {
    if damaged.len() == 1 && damaged[0].is_err() {
        return 0;
    }
    let wrong = |(good, damaged): (&Result<String>, &Result<String>)| match damaged {
        Err(_) => false,
        Ok(answer) => good.as_ref().ok() != Some(answer),
    };
    good.iter().zip(damaged).filter(|pair| wrong(*pair)).count()
}

/// The same database with a catalog as the first version wrote it: the bytes of redb, without checksums.
pub(crate) fn of_the_first_version(mut files: Files) -> Files {
    let checked = &files[CATALOG];
    let turn = |head: usize| u64::from_le_bytes(checked[head + 16..head + 24].try_into().unwrap());
    let head = if turn(4096) > turn(0) { 4096 } else { 0 };
    let mut plain = checked[head + 24..head + 344].to_vec();
    plain.resize(4096, 0);
    // Of every group, the first block holds the checksums of the others.
    checked[8192..].chunks(1025 * 4096).for_each(|group| plain.extend_from_slice(&group[4096..]));
    files.insert(CATALOG.to_owned(), plain);
    files
}
