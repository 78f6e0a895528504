//! What a program does with a database, step by step, chosen by dice; and what should come of it.

use super::dice::Dice;
use super::world::{Learned, Lived, World};
use crate::kit::{self, kv_log, model};
use lagdb::maintenance::restore_on;
use lagdb::medium::MemoryMedium;
use lagdb::{
    Database, DiskBudget, Embedding, Error, Id, Judgment, Outcome, Polarity, Result, Strategy, Trajectory, Transaction,
    Upkeep,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Names of scopes.
const SCOPES: [&str; 3] = ["a", "b", "tenant/c"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A transaction that is committed.
    Commit(&'static str, Vec<Change>),
    /// A transaction that is dropped.
    Drop(&'static str, Vec<Change>),
    Compact,
    /// A round of the upkeep: what is dead is given back, and so many segments of like size become one.
    Upkeep(u8),
    /// All KV logs go, as if there were no room for any.
    Evict,
    /// A trajectory goes for good, with what was learned from it.
    Purge(&'static str, u8),
    /// Backed up, and restored elsewhere.
    Backup,
    /// So many transactions at once, each in a scope of its own; the number makes them like no other.
    Writers(u8, u64),
    /// A snapshot is taken and kept, in place of the one that was kept.
    Pin(&'static str),
    Unpin,
    Search(&'static str, u8),
    Verify,
    /// Closed and opened.
    Reopen,
}

/// `which` chooses among the records that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The number makes it one of its kind.
    Put(u64),
    Judge {
        which: u8,
        outcome: u8,
    },
    Embed {
        which: u8,
        direction: u8,
    },
    PutKvLog {
        which: u8,
        by: u8,
        n_tokens: u8,
        seed: u8,
    },
    Delete(u8),
    PutStrategy {
        number: u64,
        evidence: u8,
    },
    DeleteStrategy(u8),
}

impl Step {
    /// The next step; `number` is like no other.
    pub(crate) fn roll(dice: &mut Dice, number: u64) -> Self {
        let scope = SCOPES[dice.below(3) as usize];
        let changes = |dice: &mut Dice| (0..1 + dice.below(5)).map(|i| Change::roll(dice, number * 8 + i)).collect();
        match dice.below(27) {
            20 | 21 => Self::Purge(scope, dice.below(256) as u8),
            22 => Self::Backup,
            23..26 => Self::Upkeep(2 + dice.below(3) as u8),
            26 => Self::Evict,
            0..12 => Self::Commit(scope, changes(dice)),
            12 => Self::Drop(scope, changes(dice)),
            13 | 14 => Self::Compact,
            15 => Self::Pin(scope),
            16 => Self::Unpin,
            17 => Self::Search(scope, dice.below(4) as u8),
            18 if dice.once_in(3) => Self::Verify,
            _ => Self::Reopen,
        }
    }
}

impl Change {
    pub(crate) fn roll(dice: &mut Dice, number: u64) -> Self {
        let which = dice.below(256) as u8;
        match dice.below(16) {
            0..5 => Self::Put(number),
            5 | 6 => Self::Judge { which, outcome: dice.below(4) as u8 },
            7 | 8 => Self::Embed { which, direction: dice.below(64) as u8 },
            9..12 => {
                let (by, n_tokens, seed) = (1 + dice.below(2) as u8, dice.below(9) as u8, dice.below(200) as u8);
                Self::PutKvLog { which, by, n_tokens, seed }
            }
            12 | 13 => Self::Delete(which),
            14 => Self::PutStrategy { number, evidence: which },
            _ => Self::DeleteStrategy(which),
        }
    }

    /// Does it in the transaction and in the world.
    pub(crate) fn apply(&self, tx: &mut Transaction, scope: &str, world: &mut World) -> Result<()> {
        let contents = world.scope(scope);
        match *self {
            Self::Put(number) => {
                let record = kit::trajectory(&format!("task {number}"));
                let id = tx.put(&record)?;
                let lived = Lived { record, judgments: vec![], embedding: None, kv_logs: BTreeMap::new() };
                assert!(contents.trajectories.insert(id, lived).is_none(), "a number was given out twice");
            }
            Self::Judge { which, outcome } => {
                let Some((id, lived)) = chosen(&mut contents.trajectories, which) else { return Ok(()) };
                let judgment = Judgment::new(Outcome::from_code(outcome).unwrap_or_default(), "simulator");
                tx.judge(id, &judgment)?;
                lived.judgments.push(judgment);
            }
            Self::Embed { which, direction } => {
                let Some((id, lived)) = chosen(&mut contents.trajectories, which) else { return Ok(()) };
                if lived.embedding.is_none() {
                    let embedding = embedding(direction);
                    tx.embed(id, &embedding)?;
                    lived.embedding = Some(embedding);
                }
            }
            Self::PutKvLog { which, by, n_tokens, seed } => {
                let Some((id, lived)) = chosen(&mut contents.trajectories, which) else { return Ok(()) };
                let log = kv_log(&model(by), u32::from(n_tokens), u32::from(seed));
                tx.put_kv_log(id, &log)?;
                lived.kv_logs.insert(by, Arc::new(log));
            }
            Self::Delete(which) => {
                let Some((id, _)) = chosen(&mut contents.trajectories, which) else { return Ok(()) };
                assert!(tx.delete(id)?, "it was there");
                contents.trajectories.remove(&id);
            }
            Self::PutStrategy { number, evidence } => {
                let Some((from, _)) = chosen(&mut contents.trajectories, evidence) else { return Ok(()) };
                let record = kit::strategy(&format!("lesson {number}"), from, Polarity::Support);
                let id: Id<Strategy> = tx.put(&record)?;
                let embedding = embedding(evidence);
                tx.embed(id, &embedding)?;
                contents.strategies.insert(id, Learned { record, embedding: Some(embedding) });
            }
            Self::DeleteStrategy(which) => {
                let Some((id, _)) = chosen(&mut contents.strategies, which) else { return Ok(()) };
                assert!(tx.delete(id)?, "it was there");
                contents.strategies.remove(&id);
            }
        }
        Ok(())
    }
}

/// Purges in the database and in the world; the commit, or nothing where there is nothing to purge.
pub(crate) fn purge(
    database: &Database,
    scope: &str,
    which: u8,
    before: &World,
    maybe: &mut Option<World>,
) -> Result<Option<(u64, World)>> {
    let mut after = before.clone();
    let contents = after.scope(scope);
    let Some((id, _)) = chosen(&mut contents.trajectories, which) else { return Ok(None) };
    contents.trajectories.remove(&id);
    // Each has one piece of evidence.
    contents.strategies.retain(|_, learned| learned.record.provenance.evidence.iter().all(|of| of.trajectory != id));
    let after = after.tidied();
    *maybe = Some(after.clone());
    let receipt = database.scope(scope)?.purge(id)?;
    *maybe = None;
    Ok(Some((receipt.commit.as_u64(), after)))
}

/// Has the upkeep look once.
pub(crate) fn keep_up(database: &Database, merge: u8) -> Result<()> {
    let upkeep = Upkeep {
        every: Duration::from_secs(3600),
        dead_share: 0.0,
        dead_bytes: 1,
        merge: usize::from(merge),
        bytes_per_second: u64::MAX,
        ..Upkeep::default()
    };
    let report = database.keep_up(upkeep)?.look_now()?;
    report.failure.map_or(Ok(()), |cause| Err(Error::Poisoned { cause }))
}

/// Evicts all KV logs in the database and in the world; the commit, or nothing where there is none.
pub(crate) fn evict(database: &Database, before: &World, maybe: &mut Option<World>) -> Result<Option<(u64, World)>> {
    let mut after = before.clone();
    let all = after.scopes.values_mut().flat_map(|contents| contents.trajectories.values_mut());
    all.for_each(|lived| lived.kv_logs.clear());
    *maybe = Some(after.clone());
    let evicted = database.evict(DiskBudget { bytes: Some(0), ..DiskBudget::default() })?;
    *maybe = None;
    Ok(evicted.commit.map(|commit| (commit.as_u64(), after)))
}

/// What one of several writers wrote: where, and whether it was told that it is durable.
pub(crate) struct Written {
    pub(crate) scope: String,
    pub(crate) id: Id<Trajectory>,
    pub(crate) lived: Lived,
    pub(crate) is_acknowledged: bool,
}

impl Written {
    pub(crate) fn add_to(&self, world: &mut World) {
        world.scope(&self.scope).trajectories.insert(self.id, self.lived.clone());
    }

    /// One transaction: a trajectory, its judgment and, from every other writer, its KV log.
    fn write(database: &Database, writer: u8, number: u64) -> Result<Self> {
        let scope = format!("writer {writer}");
        let record = kit::trajectory(&format!("task {number} of writer {writer}"));
        let mut lived = Lived { record, judgments: vec![kit::success()], embedding: None, kv_logs: BTreeMap::new() };
        let mut tx = database.scope(&scope)?.begin()?;
        let id = tx.put(&lived.record)?;
        tx.judge(id, &kit::success())?;
        if writer.is_multiple_of(2) {
            let log = kv_log(&model(1), u32::from(writer), number as u32 % 1000);
            tx.put_kv_log(id, &log)?;
            lived.kv_logs.insert(1, Arc::new(log));
        }
        let is_acknowledged = tx.commit().is_ok();
        Ok(Self { scope, id, lived, is_acknowledged })
    }
}

/// What `n` writers wrote at once, as far as they came to a commit.
pub(crate) fn write_at_once(database: &Database, n: u8, number: u64) -> Vec<Written> {
    std::thread::scope(|threads| {
        let writer = |writer| threads.spawn(move || Written::write(database, writer, number));
        let writers: Vec<_> = (0..n).map(writer).collect();
        writers.into_iter().filter_map(|writer| writer.join().unwrap().ok()).collect()
    })
}

/// Backs up and restores; what the restored database holds.
pub(crate) fn backed_up(database: &Database) -> Result<World> {
    let (backup, restored) = (MemoryMedium::new(), MemoryMedium::new());
    database.backup_on(&backup, &mut |_| {})?;
    restore_on(&backup, &restored, &mut |_| {})?;
    World::read(&Database::options().open_on(Arc::new(restored))?)
}

fn chosen<R, T>(among: &mut BTreeMap<Id<R>, T>, which: u8) -> Option<(Id<R>, &mut T)> {
    let n = among.len().max(1);
    among.iter_mut().nth(usize::from(which) % n).map(|(id, one)| (*id, one))
}

pub(crate) fn embedding(direction: u8) -> Embedding {
    let angle = f32::from(direction) / 10.0;
    Embedding::new(&kit::space("simulator", 4), vec![angle.cos(), angle.sin(), 0.5, 0.1]).unwrap()
}

/// The changes in a transaction that was begun; what the scope would hold after it.
pub(crate) fn change(tx: &mut Transaction, scope: &str, changes: &[Change], before: &World) -> Result<World> {
    let mut after = before.clone();
    changes.iter().try_for_each(|change| change.apply(tx, scope, &mut after))?;
    Ok(after.tidied())
}

/// Whether a search finds what the world says.
pub(crate) fn search(database: &Database, scope: &str, outcome: u8, world: &World) -> Result<[Vec<u64>; 2]> {
    let snapshot = database.scope(scope)?.snapshot()?;
    let none = super::world::Contents::default();
    let outcome = Outcome::from_code(outcome).unwrap_or_default();
    world.scopes.get(scope).unwrap_or(&none).search(&snapshot, &embedding(outcome as u8), outcome)
}
