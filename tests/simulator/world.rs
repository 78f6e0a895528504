//! The oracle: what a database should hold, as plain maps; and what it does hold, read through its public face.
//!
//! Two worlds are equal only if every record, judgment, embedding and every bit of every KV log is.

use crate::kit::model;
use lagdb::format::KvLog;
use lagdb::{Database, Embedding, Id, Judgment, Outcome, Query, Result, Snapshot, Strategy, Trajectory};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Models that make KV logs.
pub(crate) const MODELS: [u8; 2] = [1, 2];

/// Every scope that has anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) scopes: BTreeMap<String, Contents>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) trajectories: BTreeMap<Id<Trajectory>, Lived>,
    pub(crate) strategies: BTreeMap<Id<Strategy>, Learned>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lived {
    pub(crate) record: Trajectory,
    pub(crate) judgments: Vec<Judgment>,
    pub(crate) embedding: Option<Embedding>,
    /// By model.
    pub(crate) kv_logs: BTreeMap<u8, Arc<KvLog>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Learned {
    pub(crate) record: Strategy,
    pub(crate) embedding: Option<Embedding>,
}

impl World {
    pub(crate) fn scope(&mut self, name: &str) -> &mut Contents {
        self.scopes.entry(name.to_owned()).or_default()
    }

    /// Everything that can be read of the database at its latest commit.
    pub(crate) fn read(database: &Database) -> Result<Self> {
        let mut world = Self::default();
        for name in database.admin().scopes()? {
            let contents = Contents::read(&database.scope(&name)?.snapshot()?)?;
            if contents != Contents::default() {
                world.scopes.insert(name, contents);
            }
        }
        Ok(world)
    }

    /// Without the scopes in which nothing is left.
    pub(crate) fn tidied(mut self) -> Self {
        self.scopes.retain(|_, contents| *contents != Contents::default());
        self
    }

    /// How many KV logs there are.
    pub(crate) fn n_kv_logs(&self) -> usize {
        let lived = self.scopes.values().flat_map(|contents| contents.trajectories.values());
        lived.map(|lived| lived.kv_logs.len()).sum()
    }
}

impl Contents {
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        let mut contents = Self::default();
        for id in snapshot.ids::<Trajectory>()? {
            let Some(record) = snapshot.get(id)? else { continue };
            let mut kv_logs = BTreeMap::new();
            for by in MODELS {
                if let Some(view) = snapshot.kv_log(id, &model(by))? {
                    let log = view.to_log().map_err(|error| lagdb::Error::from_format(error, "a KV log"))?;
                    kv_logs.insert(by, Arc::new(log));
                }
            }
            let (judgments, embedding) = (snapshot.judgments(id)?, snapshot.embedding(id)?);
            contents.trajectories.insert(id, Lived { record, judgments, embedding, kv_logs });
        }
        for id in snapshot.ids::<Strategy>()? {
            let Some(record) = snapshot.get(id)? else { continue };
            contents.strategies.insert(id, Learned { record, embedding: snapshot.embedding(id)? });
        }
        Ok(contents)
    }

    /// The trajectories that a search with a filter must find, and those that it finds.
    pub(crate) fn search(&self, snapshot: &Snapshot, near: &Embedding, outcome: Outcome) -> Result<[Vec<u64>; 2]> {
        let has = |lived: &&Lived| lived.embedding.is_some() && lived.outcome() == outcome;
        let expected = self.trajectories.iter().filter(|(_, lived)| has(lived)).map(|(id, _)| id.as_u64()).collect();
        let query = Query::near(near.clone()).limit(10_000).outcome(outcome);
        let mut found: Vec<_> = snapshot.search::<Trajectory>(&query)?.iter().map(|hit| hit.id.as_u64()).collect();
        found.sort_unstable();
        Ok([expected, found])
    }
}

impl Lived {
    fn outcome(&self) -> Outcome {
        self.judgments.last().map(|judgment| judgment.outcome).unwrap_or_default()
    }
}
