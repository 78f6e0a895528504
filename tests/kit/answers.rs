//! A small database with some of everything, and everything that a user asks of it: for tests that damage it.

use super::{embed, kv_log, model};
use crate::kit;
use lagdb::medium::MemoryMedium;
use lagdb::{
    Database, Error, Id, Options, Outcome, Polarity, Query, Result, Snapshot, Strategy, StrategyKind, Trajectory,
};
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

/// A question, in words or not.
type Question = Box<dyn Fn(&Database, &Snapshot) -> Result<String>>;

fn ask<T: std::fmt::Debug>(question: impl Fn(&Snapshot) -> Result<T> + 'static) -> Question {
    Box::new(move |_, snapshot| question(snapshot).map(|answer| format!("{answer:?}")))
}

fn questions() -> Vec<Question> {
    let near = Query::near(embed("task number 3")).limit(5);
    let mut all: Vec<Question> =
        vec![Box::new(|database, _| database.admin().scopes().map(|names| format!("{names:?}")))];
    all.push(ask(|snapshot| snapshot.ids::<Trajectory>()));
    for id in (1..=6).map(Id::<Trajectory>::from_u64) {
        all.push(ask(move |snapshot| snapshot.get(id)));
        all.push(ask(move |snapshot| snapshot.outcome(id)));
        all.push(ask(move |snapshot| snapshot.judgments(id)));
        all.push(ask(move |snapshot| match snapshot.kv_log(id, &model(1))? {
            Some(view) => view.to_log().map(Some).map_err(|e| Error::from_format(e, SEGMENT)),
            None => Ok(None),
        }));
    }
    for query in [near.clone(), near.clone().outcome(Outcome::Failure), near.clone().label("test")] {
        all.push(ask(move |snapshot| snapshot.search::<Trajectory>(&query)));
    }
    for query in [near.clone(), near.clone().kind(StrategyKind::Procedure), near.exclude_group("group")] {
        all.push(ask(move |snapshot| snapshot.search::<Strategy>(&query)));
    }
    all
}

/// After an error the database is opened anew: one damaged block must not excuse all answers after it.
pub(crate) fn answers_with(options: Options, files: &Files) -> Vec<Result<String>> {
    let open = || -> Result<(Database, Snapshot)> {
        let database = options.clone().open_on(Arc::new(MemoryMedium::from_dump(files.clone())))?;
        let snapshot = database.scope("s").unwrap().snapshot()?;
        Ok((database, snapshot))
    };
    let mut opened = match open() {
        Ok(opened) => opened,
        Err(error) => return vec![Err(error)],
    };
    let mut answers = Vec::new();
    for question in questions() {
        let answer = question(&opened.0, &opened.1);
        if answer.is_err() {
            match open() {
                Ok(anew) => opened = anew,
                Err(error) => return vec![Err(error)],
            }
        }
        answers.push(answer);
    }
    answers
}

/// How many of the answers are other ones, or errors that do not say what is wrong with which file.
pub(crate) fn n_wrong(good: &[Result<String>], damaged: &[Result<String>]) -> usize {
    if damaged.len() == 1 && damaged[0].is_err() {
        return 0;
    }
    let wrong = |(good, damaged): (&Result<String>, &Result<String>)| match damaged {
        Err(error) => !matches!(error, Error::Corrupt { .. } | Error::Unsupported { .. } | Error::Io { .. }),
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
