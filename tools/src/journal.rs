//! What a run has found so far, one JSON line each; a run that was killed goes on from it.
//!
//! The first line says which run it is: one with other options, another model or another lagdb is not gone on from. Everything
//! else is written when it has ended, in one line and with one sync, so it is in the journal wholly or not at all. A line that a
//! kill cut off is taken away when the journal is opened; what it said is found anew. So nothing is lost or counted twice.

use crate::failure::Failure;
use lagdb::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

/// Something that is found once.
pub(crate) trait Noted: Serialize + DeserializeOwned {
    /// What tells it from others.
    type Key: Ord + Clone;

    /// Its key.
    fn key(&self) -> Self::Key;
}

/// What has been found, on disk if it has a file.
#[derive(Debug)]
pub(crate) struct Journal<T: Noted> {
    found: Mutex<BTreeMap<T::Key, T>>,
    file: Option<Mutex<File>>,
}

impl<T: Noted> Journal<T> {
    /// A journal in memory only.
    pub(crate) fn in_memory() -> Self {
        Self { found: Mutex::default(), file: None }
    }

    /// A journal of `run` in a file. One that is there already is gone on from if `resume` says so, else refused.
    ///
    /// # Errors
    /// When the file is there and is not to be resumed, is of another run or none, is written by a run that has not ended, or
    /// cannot be read or written.
    pub(crate) fn open(path: &Path, resume: bool, run: &Value) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let mut file = match resume {
            true => options.create(true).truncate(false).open(path)?,
            false => options.create_new(true).open(path).map_err(|error| refuse(path, error))?,
        };
        file.try_lock().map_err(|error| in_use(path, error))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        // Half a line is taken away only where a kill of this very run left it.
        if whole == 0 && !run.to_string().starts_with(&text) {
            return Err(Error::invalid("--out", format!("{} is no journal", path.display())).into());
        }
        let mut lines = text.get(..whole).unwrap_or_default().lines().enumerate();
        if let Some((_, first)) = lines.next() {
            check_run(first, run)?;
        }
        let mut found = BTreeMap::new();
        for (i, line) in lines {
            let one: T = serde_json::from_str(line)
                .map_err(|error| Error::invalid("--out", format!("line {} is not of a journal: {error}", i + 1)))?;
            found.insert(one.key(), one);
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let journal = Self { found: Mutex::new(found), file: Some(Mutex::new(file)) };
        if whole == 0 {
            journal.write(run)?;
        }
        Ok(journal)
    }

    /// What `look` sees of what was found under this key; `None` if nothing was.
    pub(crate) fn get<R>(&self, key: &T::Key, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.found.lock().ok().and_then(|found| found.get(key).map(look))
    }

    /// Notes what was found.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn note(&self, one: T) -> Result<(), Failure> {
        self.write(&one)?;
        if let Ok(mut found) = self.found.lock() {
            found.insert(one.key(), one);
        }
        Ok(())
    }

    /// All that was found, by key.
    pub(crate) fn into_found(self) -> BTreeMap<T::Key, T> {
        self.found.into_inner().unwrap_or_default()
    }

    fn write(&self, what: &impl Serialize) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut line = serde_json::to_string(what).map_err(std::io::Error::from)?;
        line.push('\n');
        if let Ok(mut file) = file.lock() {
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
        }
        Ok(())
    }
}

/// Refuses to go on from another run, and names what differs.
fn check_run(first: &str, run: &Value) -> Result<(), Error> {
    let written: Value = serde_json::from_str(first)
        .map_err(|error| Error::invalid("--out", format!("line 1 does not begin a journal: {error}")))?;
    if written == *run {
        return Ok(());
    }
    let differs = |(name, value): &(&String, &Value)| written.get(name.as_str()) != Some(*value);
    let (what, now) = run.as_object().and_then(|run| run.iter().find(differs)).map_or(("run", run), |(k, v)| (k, v));
    let then = written.get(what).unwrap_or(&Value::Null);
    Err(Error::invalid("--resume", format!("the journal is of {what} {then}, this run of {now}")))
}

fn in_use(path: &Path, error: TryLockError) -> Failure {
    match error {
        TryLockError::WouldBlock => Error::invalid("--out", format!("another run writes {}", path.display())).into(),
        TryLockError::Error(error) => error.into(),
    }
}

fn refuse(path: &Path, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let detail = format!("{} is there; --resume goes on from it", path.display());
            Error::invalid("--out", detail).into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Stream;
    use serde_json::json;

    /// A file without the end of a line was once taken for a line that a kill had cut off: `--resume` emptied it.
    #[test]
    fn a_file_that_is_no_journal_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("note");
        let run = json!({ "env": "demo", "tasks": 6 });
        for note in ["my only note", "my only note\n", "{}", "{\"env\":\"demo\",\"tasks\":7"] {
            std::fs::write(&path, note).expect("a file");
            assert!(Journal::<Stream>::open(&path, true, &run).is_err(), "{note:?}");
            assert_eq!(std::fs::read_to_string(&path).expect("the file"), note);
        }
        std::fs::write(&path, "{\"env\":\"demo\",\"ta").expect("half a header");
        let journal = Journal::<Stream>::open(&path, true, &run).expect("a journal that was killed at once");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), format!("{run}\n"));
        let second = Journal::<Stream>::open(&path, true, &run).map(drop).expect_err("in use").to_string();
        assert!(second.contains("another run writes"), "{second}");
        drop(journal);
        assert!(Journal::<Stream>::open(&path, true, &run).is_ok());
    }
}
