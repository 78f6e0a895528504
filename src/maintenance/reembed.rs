//! Changing the embedding model: every record gets an embedding in another space, and then that space is the main one.
//!
//! Before the cut-over everybody searches the old space and nobody the new one; after it, the other way round. The cut-over
//! is one commit, made when no record of that very commit lacks an embedding. What was embedded stays when the work
//! stops, by an error or a crash: to call again is to go on. No transaction is open while the model computes.
//!
//! The old embeddings go after the cut-over, some at a time; a crash in between leaves them, unseen, to the next call.

use super::{OnProgress, Progress};
use crate::catalog::row::{ScopeRow, State};
use crate::catalog::spaces::{KnownSpace, Role, Spaces};
use crate::catalog::{Key, Rows, ScopeId, Table, row};
use crate::index::bitmaps::{self, Field};
use crate::record::{Embedding, EmbeddingSpace, Record, RecordKind, Strategy, Trajectory};
use crate::store::Store;
use crate::{CommitId, Database, Error, Id, Result, Snapshot, txn};
use roaring::RoaringBitmap;

/// So many records are embedded from one snapshot, and their embeddings committed together.
const BATCH: usize = 64;
/// So many old embeddings are removed in one commit.
const REMOVED_AT_ONCE: usize = 1024;

/// A record that needs an embedding in another space.
#[derive(Clone, Copy, Debug)]
pub struct ToEmbed<'a> {
    /// The scope that it is in.
    pub scope: &'a str,
    /// What it says.
    pub content: Content<'a>,
    /// Its embedding in the main space.
    pub present: &'a Embedding,
}

/// What a record says.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Content<'a> {
    /// A trajectory.
    Trajectory(&'a Trajectory),
    /// A strategy.
    Strategy(&'a Strategy),
}

/// Gives a record its embedding in the new space.
pub type Embed<'a> = dyn FnMut(ToEmbed<'_>) -> Result<Embedding> + 'a;

/// What became of the embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reembedding {
    /// Records that got an embedding in this call.
    pub embedded: u64,
    /// Embeddings of former spaces that were removed.
    pub removed: u64,
}

impl Database {
    /// Gives every record that has an embedding one in the space `to`, by `embed`, and makes `to` the main space; embeddings
    /// in the space before are removed. Reading and writing go on meanwhile, in the space before.
    ///
    /// Call it again after an error or a crash: it goes on with what is still to be embedded. `to` may be a space that
    /// [is there already](crate::Transaction::add_space).
    ///
    /// # Errors
    /// What `embed` says; [`Error::SpaceMismatch`] when it gives an embedding of another space; [`Error::Invalid`] when the
    /// database has no embeddings, or this thread has a transaction open; [`Error::Corrupt`] and [`Error::Io`] as their
    /// names say.
    pub fn reembed(
        &self,
        to: &EmbeddingSpace,
        embed: &mut Embed<'_>,
        progress: &mut OnProgress<'_>,
    ) -> Result<Reembedding> {
        let store = self.store();
        store.check_running()?;
        let mut done = Reembedding::default();
        if begin(store, to)? {
            while !cut_over(store, to)? {
                done.embedded += self.embed_some(to, embed)?;
                progress(Progress { stage: "embeddings", done: done.embedded, total: 0 });
            }
        }
        done.removed = remove_dropped(store, &mut |removed| {
            progress(Progress { stage: "former embeddings", done: removed, total: 0 });
        })?;
        Ok(done)
    }

    /// Removes a space that is not the main one, with all embeddings in it; also one of which
    /// [`reembed`](Self::reembed) made a part. How many embeddings were removed.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the main space, or when this thread has a transaction open;
    /// [`Error::SpaceMismatch`] when there is no such space.
    pub fn remove_space(&self, space: &EmbeddingSpace) -> Result<u64> {
        let store = self.store();
        change(store, |spaces| match spaces.find(space).map(|known| (known.number, known.role)) {
            Some((_, Role::Main)) => Err(Error::invalid("embedding space", format!("{space} is the main one"))),
            Some((number, _)) => {
                spaces.give_up(number);
                Ok(())
            }
            None => spaces.require(space).map(drop),
        })?;
        remove_dropped(store, &mut |_| {})
    }

    /// Embeds a batch of what lacks an embedding in `to`, in each scope.
    fn embed_some(&self, to: &EmbeddingSpace, embed: &mut Embed<'_>) -> Result<u64> {
        let mut n = 0;
        for (name, snapshot) in self.admin().snapshots()? {
            let spaces = Spaces::read(&snapshot.rows)?;
            let (Some(scope), Some(main), Some(target)) = (snapshot.scope, spaces.main(), spaces.find(to)) else {
                continue;
            };
            let mut made = Vec::new();
            let mut embed_all = || {
                for kind in [RecordKind::Trajectory, RecordKind::Strategy] {
                    for id in missing(&snapshot.rows, scope, kind, main, target)?.into_iter().take(BATCH) {
                        let embedding = embed_one(&snapshot, &name, kind, u64::from(id), main, embed)?;
                        embedding.space().require(to)?;
                        made.push((kind, u64::from(id), embedding));
                    }
                }
                Ok(())
            };
            let outcome: Result<()> = embed_all();
            // Also when one could not be made: those before it need not be made again.
            keep(self.store(), scope, to, &made)?;
            outcome?;
            n += made.len() as u64;
        }
        Ok(n)
    }
}

/// Makes room for `to`, and says whether there is something to embed in it: not when it is the main space already.
fn begin(store: &Store, to: &EmbeddingSpace) -> Result<bool> {
    let mut is_wanted = true;
    change(store, |spaces| {
        let Some(main) = spaces.main() else {
            return Err(Error::invalid("embedding space", "the database has no embeddings"));
        };
        is_wanted = main.space != *to;
        match spaces.find(to).map(|known| known.role) {
            None => spaces.add(to, Role::Making).map(drop),
            Some(Role::Dropped) => {
                Err(Error::invalid("embedding space", format!("embeddings in {to} are being removed")))
            }
            Some(_) => Ok(()),
        }
    })?;
    Ok(is_wanted)
}

/// Makes `to` the main space, if no record lacks an embedding in it; whether it is.
fn cut_over(store: &Store, to: &EmbeddingSpace) -> Result<bool> {
    let mut is_whole = true;
    write(store, |rows| {
        let mut spaces = Spaces::read(rows)?;
        let (Some(main), Some(target)) = (spaces.main().cloned(), spaces.find(to).cloned()) else {
            return Err(Error::invalid("embedding space", format!("{to} was removed meanwhile")));
        };
        for scope in scopes(rows)? {
            for kind in [RecordKind::Trajectory, RecordKind::Strategy] {
                is_whole &= missing(rows, scope, kind, &main, &target)?.is_empty();
            }
        }
        if is_whole {
            spaces.cut_over(target.number);
            spaces.write(rows)?;
        }
        Ok(is_whole)
    })?;
    Ok(is_whole)
}

/// Records with an embedding in `main` and none in `target`.
fn missing(
    rows: &Rows,
    scope: ScopeId,
    kind: RecordKind,
    main: &KnownSpace,
    target: &KnownSpace,
) -> Result<RoaringBitmap> {
    let live = bitmaps::load(rows, scope, Field::Live(kind))?;
    let embedded = |known: &KnownSpace| bitmaps::load(rows, scope, Field::Embedded(known.number));
    Ok((live & embedded(main)?) - embedded(target)?)
}

fn embed_one(
    snapshot: &Snapshot,
    scope: &str,
    kind: RecordKind,
    id: u64,
    main: &KnownSpace,
    embed: &mut Embed<'_>,
) -> Result<Embedding> {
    match kind {
        RecordKind::Trajectory => {
            let (record, present) = stored::<Trajectory>(snapshot, id, main)?;
            embed(ToEmbed { scope, content: Content::Trajectory(&record), present: &present })
        }
        RecordKind::Strategy => {
            let (record, present) = stored::<Strategy>(snapshot, id, main)?;
            embed(ToEmbed { scope, content: Content::Strategy(&record), present: &present })
        }
    }
}

fn stored<R: Record>(snapshot: &Snapshot, id: u64, main: &KnownSpace) -> Result<(R, Embedding)> {
    let lost = || {
        let what = format!("{} {id} has bits in bitmaps and no rows", R::KIND.as_str());
        crate::catalog::value::corrupt(Table::Bitmaps, &[], what)
    };
    let id = Id::<R>::from_u64(id);
    let (record, present) = (snapshot.get(id)?, snapshot.embedding_of(id, main)?);
    record.zip(present).ok_or_else(lost)
}

/// Commits embeddings of those that are still there.
fn keep(store: &Store, scope: ScopeId, to: &EmbeddingSpace, made: &[(RecordKind, u64, Embedding)]) -> Result<()> {
    write(store, |rows| {
        let spaces = Spaces::read(rows)?;
        let Some(target) = spaces.find(to).filter(|known| known.role != Role::Dropped) else { return Ok(false) };
        for (kind, id, embedding) in made {
            let is_live = bitmaps::contains(rows, scope, Field::Live(*kind), *id)?;
            if is_live && !bitmaps::contains(rows, scope, Field::Embedded(target.number), *id)? {
                txn::put_embedding(rows, scope, *id, target.number, embedding)?;
            }
        }
        Ok(!made.is_empty())
    })
    .map(drop)
}

/// Removes what is left of spaces that nobody searches any more.
pub(super) fn remove_dropped(store: &Store, progress: &mut dyn FnMut(u64)) -> Result<u64> {
    let mut removed = 0;
    while let Some(number) = dropped(store)? {
        let mut n = 0;
        let commit = write(store, |rows| {
            let mut keys = Vec::new();
            'scopes: for scope in scopes(rows)? {
                for id in bitmaps::load(rows, scope, Field::Embedded(number))? {
                    keys.push((scope, u64::from(id)));
                    if keys.len() == REMOVED_AT_ONCE {
                        break 'scopes;
                    }
                }
            }
            n = keys.len() as u64;
            keys.iter().try_for_each(|(scope, id)| txn::remove_embedding(rows, *scope, *id, number))?;
            if keys.is_empty() {
                let mut spaces = Spaces::read(rows)?;
                spaces.forget(number);
                spaces.write(rows)?;
            }
            Ok(true)
        })?;
        if n == 0 {
            // Graphs are kept under the number of the space, and one.
            store.vectors.forget_space(number + 1, commit)?;
        }
        removed += n;
        progress(removed);
    }
    Ok(removed)
}

fn dropped(store: &Store) -> Result<Option<u32>> {
    let (rows, _, mut pin) = store.read()?;
    let spaces = Spaces::read(&rows);
    drop(rows);
    store.unpin(&mut pin);
    Ok(spaces?.all().iter().find(|known| known.role == Role::Dropped).map(|known| known.number))
}

fn scopes(rows: &Rows) -> Result<Vec<ScopeId>> {
    let mut scopes = Vec::new();
    rows.scan(Table::Scopes, &Key::all(), &mut |key, opened| {
        scopes.push(ScopeId(row::decode::<ScopeRow>(Table::Scopes, key, opened)?.id));
        Ok(())
    })?;
    Ok(scopes)
}

/// Changes the spaces in one commit, if they change.
fn change(store: &Store, change: impl FnOnce(&mut Spaces) -> Result<()>) -> Result<()> {
    write(store, |rows| {
        let before = Spaces::read(rows)?;
        let mut spaces = before.clone();
        change(&mut spaces)?;
        if spaces != before {
            spaces.write(rows)?;
        }
        Ok(spaces != before)
    })
    .map(drop)
}

/// Writes rows in a commit of their own, durable when it returns; nothing when there is nothing to commit. The commit.
fn write(store: &Store, work: impl FnOnce(&Rows) -> Result<bool>) -> Result<CommitId> {
    let turn = store.writer_turn()?;
    store.check_running()?;
    let rows = store.begin_staging()?;
    let numbers: State = store.next_numbers(&rows)?;
    if !work(&rows)? {
        return Ok(CommitId::from_u64(numbers.commit - 1));
    }
    rows.put_row(Table::Meta, &Key::state(), &numbers)?;
    let ticket = store.stage(rows, false);
    drop(turn);
    store.make_durable(&ticket, &[])?;
    Ok(CommitId::from_u64(numbers.commit))
}
