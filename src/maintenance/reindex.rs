//! Building every bitmap and every counter anew from the records.

use crate::catalog::{Key, Table};
use crate::{Database, Result, txn};

impl Database {
    /// Builds every bitmap and every counter anew from the records, in one commit: after
    /// [`verify`](Self::verify) found that they do not agree. Reading goes on meanwhile; writing waits.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a record is damaged or missing: then nothing changes.
    /// [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open, for it would wait for itself.
    pub fn reindex(&self) -> Result<()> {
        let store = self.store();
        store.check_running()?;
        let turn = store.writer_turn()?;
        store.check_running()?;
        let rows = store.begin_staging()?;
        // A commit like any other: what is remembered of the one before is not taken for what this one says.
        let numbers = store.next_numbers(&rows)?;
        txn::rebuild(&rows)?;
        rows.put_row(Table::Meta, &Key::state(), &numbers)?;
        let ticket = store.stage(rows, false);
        drop(turn);
        store.make_durable(&ticket, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::bitmaps::{self, Field};
    use crate::{Evidence, Id, LexicalEmbedder, Polarity, Query, Strategy, Trajectory};

    /// What has an embedding is remembered by the number of the commit, and a reindex had none of its own: what had been
    /// missing in the bitmaps, and was put back, stayed missing in searches of the same process.
    #[test]
    fn a_search_sees_at_once_what_a_reindex_put_right() {
        let database = Database::in_memory().unwrap();
        let scope = database.scope("s").unwrap();
        let near = LexicalEmbedder::default().embed("a flight");
        let mut tx = scope.begin().unwrap();
        let id = tx.put(&Trajectory::new("a flight")).unwrap();
        tx.embed(id, &near).unwrap();
        tx.commit().unwrap();
        let tx = scope.begin().unwrap();
        bitmaps::remove(&tx.rows, tx.scope.unwrap(), Field::Embedded(0), id.as_u64()).unwrap();
        tx.commit().unwrap();
        let find = || {
            let snapshot = scope.snapshot().unwrap();
            (snapshot.commit_id(), snapshot.search::<Trajectory>(&Query::near(near.clone())).unwrap().len())
        };
        let (damaged, n) = find();
        assert_eq!(n, 0);
        assert!(!database.verify(&mut |_| {}).unwrap().is_sound());
        database.reindex().unwrap();
        let (right, n) = find();
        assert!(right > damaged && n == 1, "{right} after {damaged} finds {n}");
    }

    /// A purge had left strategies filed under tasks that none of their evidence was of. Verification took every such id for
    /// one of what is gone, and a reindex kept it.
    #[test]
    fn a_task_that_no_evidence_is_of_is_noticed_and_taken_back() {
        let database = Database::in_memory().unwrap();
        let scope = database.scope("s").unwrap();
        let mut tx = scope.begin().unwrap();
        let from = ["a", "b"].map(|task| tx.put(&Trajectory::new(task)).unwrap());
        let evidence_of =
            |trajectory| Evidence { trajectory, first_step: 0, last_step: 0, polarity: Polarity::Support };
        let [sure, unsure] = [&from[..1], &from[..]].map(|from| {
            let mut strategy = Strategy::new(format!("from {}", from.len()), "", "");
            strategy.provenance.evidence = from.iter().copied().map(evidence_of).collect();
            tx.put(&strategy).unwrap()
        });
        tx.delete(from[1]).unwrap();
        tx.commit().unwrap();
        assert!(database.verify(&mut |_| {}).unwrap().is_sound());
        let of = |task: &str| {
            let snapshot = scope.snapshot().unwrap();
            bitmaps::load(&snapshot.rows, snapshot.scope.unwrap(), Field::Task(task)).unwrap()
        };
        let ids = |ids: &[Id<Strategy>]| ids.iter().map(|id| id.as_u64() as u32).collect::<Vec<_>>();
        let tx = scope.begin().unwrap();
        for id in [sure, unsure] {
            bitmaps::insert(&tx.rows, tx.scope.unwrap(), Field::Task("c"), id.as_u64()).unwrap();
        }
        tx.commit().unwrap();
        let problems = database.verify(&mut |_| {}).unwrap().problems;
        assert!(problems.len() == 1 && problems[0].what.contains("has 1 too many"), "{problems:?}");
        database.reindex().unwrap();
        assert!(database.verify(&mut |_| {}).unwrap().is_sound());
        assert_eq!(of("c").into_iter().collect::<Vec<_>>(), ids(&[unsure]), "who knows which task the other was of");
        assert_eq!(of("b").into_iter().collect::<Vec<_>>(), ids(&[unsure]));
    }
}
