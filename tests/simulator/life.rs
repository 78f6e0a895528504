//! Lives of one database: each begins with an open and ends with a power cut, and the next begins with what is left.

use super::dice::Dice;
use super::step::{self, Step, Written};
use super::world::{Contents, World};
use crate::kit;
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{Database, Scope, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// What was acknowledged is not there any more.
    Lost,
    /// What is there never was, or not all of it.
    Partial,
    /// It does not open, or cannot be read or written.
    Unopenable,
    /// It answers rightly, and its verification finds something wrong.
    Unsound,
}

/// What a simulation went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// States that a power cut left and that were opened, read to the last bit and verified.
    pub(crate) cuts: u64,
    /// Of these, by a cut while the database was opened or closed.
    pub(crate) cuts_in_recovery: u64,
    /// Of these, with a commit that was begun and not acknowledged, and is there.
    pub(crate) unacknowledged_kept: u64,
    pub(crate) commits: u64,
    pub(crate) compactions: u64,
    pub(crate) upkeeps: u64,
    pub(crate) purges: u64,
    pub(crate) backups: u64,
    pub(crate) kv_logs_read: u64,
}

/// What was done, printed when the simulation panics.
pub(crate) struct Log {
    pub(crate) seed: u64,
    pub(crate) lines: Vec<String>,
}

impl Log {
    pub(crate) fn add(&mut self, line: impl std::fmt::Debug) {
        self.lines.push(format!("{line:?}"));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, what was done:\n  {}", self.seed, self.lines.join("\n  "));
        }
    }
}

/// One seed's simulation.
pub(crate) struct Simulation {
    dice: Dice,
    files: Files,
    /// Every state that was acknowledged, the latest last.
    history: Vec<World>,
    /// Commit of the latest.
    commit: u64,
    /// A commit that was begun and not acknowledged.
    maybe: Option<World>,
    /// What several writers wrote at once without being told that it is durable: each is there whole or not at all.
    unsure: Vec<Written>,
    /// Whether several write at once; then a seed is not always the same life.
    has_writers: bool,
    n_steps: u64,
    /// When a segment is full.
    segment_bytes: u64,
    /// Every so many syncs one lies; 0 when none does.
    lies_every: u64,
    /// Whether the disk fails: then a verification may not see all, and what should be unlinked may be left.
    pub(crate) is_bad_disk: bool,
    pub(crate) report: Report,
    pub(crate) log: Log,
}

/// What is open.
struct Open {
    database: Database,
    pinned: Option<(Snapshot, Contents)>,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let log = Log { seed, lines: Vec::new() };
        let report = Report::default();
        let history = vec![World::default()];
        Self {
            dice: Dice::new(seed),
            files: made(),
            history,
            commit: 0,
            maybe: None,
            unsure: Vec::new(),
            has_writers: false,
            n_steps: 0,
            // Every other seed has transactions of several segments.
            segment_bytes: if seed.is_multiple_of(2) { 256 << 20 } else { 2_000 },
            lies_every: 0,
            is_bad_disk: false,
            report,
            log,
        }
    }

    pub(crate) fn with_lies(mut self, every: u64) -> Self {
        self.lies_every = every;
        self
    }

    pub(crate) fn with_writers(mut self) -> Self {
        self.has_writers = true;
        self
    }

    /// Two to four lives.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        for _ in 0..2 + self.dice.below(3) {
            let disk = FailingMedium::holding(std::mem::take(&mut self.files));
            disk.lie_about_syncs(self.lies_every);
            // A commit is some 40 operations; a cut is as likely in the third one as in the thirtieth.
            let up_to = 40 << self.dice.below(6);
            let at = self.dice.below(up_to);
            self.log.add(format_args!("life, power cut at operation {at}"));
            disk.fail_at(at, Fault::PowerCut);
            self.live(&disk)?;
            self.files = self.look_at_what_is_left(&disk)?;
            self.recover()?;
        }
        Ok(())
    }

    fn live(&mut self, disk: &FailingMedium) -> Result<(), Broken> {
        let steps: Vec<_> = (0..4 + self.dice.below(24)).map(|_| self.roll()).collect();
        match self.do_all(disk, &steps) {
            Err(error) if !disk.is_dead() => {
                self.log.add(format_args!("failed although the power was there: {error}"));
                Err(Broken::Unopenable)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn roll(&mut self) -> Step {
        self.n_steps += 1;
        match self.has_writers && self.dice.once_in(3) {
            true => Step::Writers(2 + self.dice.below(5) as u8, self.n_steps),
            false => Step::roll(&mut self.dice, self.n_steps),
        }
    }

    /// Opens the database and does one step after the other, up to the first that fails.
    pub(crate) fn do_all(&mut self, disk: &FailingMedium, steps: &[Step]) -> lagdb::Result<()> {
        let options = Database::options().segment_bytes(self.segment_bytes);
        let open = || -> lagdb::Result<Open> {
            Ok(Open { database: options.clone().open_on(Arc::new(disk.clone()))?, pinned: None })
        };
        let mut opened = open()?;
        for step in steps {
            if disk.is_dead() {
                // It went while the commit that is durable was noted, which nobody is told.
                break;
            }
            self.log.add(step);
            match step {
                Step::Reopen => {
                    drop(opened);
                    opened = open()?;
                }
                step => self.step(&mut opened, step)?,
            }
        }
        Ok(())
    }

    pub(crate) fn latest(&self) -> &World {
        self.history.last().expect("there is a first one")
    }

    fn step(&mut self, open: &mut Open, step: &Step) -> lagdb::Result<()> {
        let database = &open.database;
        match step {
            Step::Commit(scope, changes) => {
                let mut tx = database.scope(scope)?.begin()?;
                let after = step::change(&mut tx, scope, changes, self.latest())?;
                self.maybe = Some(after.clone());
                self.commit = tx.commit()?.as_u64();
                self.maybe = None;
                self.history.push(after);
                self.report.commits += 1;
            }
            Step::Drop(scope, changes) => {
                let mut tx = database.scope(scope)?.begin()?;
                step::change(&mut tx, scope, changes, self.latest())?;
            }
            Step::Compact => {
                database.compact(&mut |_| {})?;
                self.report.compactions += 1;
            }
            Step::Upkeep(merge) => {
                step::keep_up(database, *merge)?;
                self.report.upkeeps += 1;
            }
            Step::Evict => {
                let before = self.latest().clone();
                if let Some((commit, after)) = step::evict(database, &before, &mut self.maybe)? {
                    self.commit = commit;
                    self.history.push(after);
                }
            }
            Step::Purge(scope, which) => {
                let before = self.latest().clone();
                if let Some((commit, after)) = step::purge(database, scope, *which, &before, &mut self.maybe)? {
                    self.commit = commit;
                    self.history.push(after);
                    self.report.purges += 1;
                }
            }
            Step::Backup => {
                assert_eq!(step::backed_up(database)?, *self.latest(), "what was backed up and restored");
                self.report.backups += 1;
            }
            Step::Writers(n, number) => self.write_at_once(database, *n, *number)?,
            Step::Pin(scope) => {
                let snapshot = database.scope(scope)?.snapshot()?;
                let contents = self.latest().scopes.get(*scope).cloned().unwrap_or_default();
                open.pinned = Some((snapshot, contents));
            }
            Step::Unpin => open.pinned = None,
            Step::Search(scope, outcome) => {
                let [expected, found] = step::search(database, scope, *outcome, self.latest())?;
                assert_eq!(found, expected, "a search");
            }
            Step::Verify => {
                let report = database.verify(&mut |_| {})?;
                let is_excused = |problem: &lagdb::Problem| self.is_bad_disk && problem.what.contains("os error");
                assert!(report.problems.iter().all(is_excused), "{report:?}");
                assert!(self.is_bad_disk || open.pinned.is_some() || report.orphans.is_empty(), "{report:?}");
                assert_eq!(World::read(database)?, *self.latest(), "what is read");
            }
            Step::Reopen => {}
        }
        if let Some((snapshot, contents)) = &open.pinned {
            assert_eq!(Contents::read(snapshot)?, *contents, "what a kept snapshot sees");
        }
        Ok(())
    }

    fn write_at_once(&mut self, database: &Database, n: u8, number: u64) -> lagdb::Result<()> {
        let (sure, unsure): (Vec<_>, Vec<_>) =
            step::write_at_once(database, n, number).into_iter().partition(|written| written.is_acknowledged);
        let mut after = self.latest().clone();
        sure.iter().for_each(|written| written.add_to(&mut after));
        self.report.commits += sure.len() as u64;
        self.history.push(after);
        self.unsure = unsure;
        // If one of them was not told, neither will the next one be.
        database.scope("a")?.begin().map(drop)
    }

    /// Whether the world is one that the database may be in, for all that was acknowledged and begun.
    fn may_be(&self, world: &World) -> bool {
        let mut latest = self.latest().clone();
        let is_there = |written: &&Written| {
            world.scopes.get(&written.scope).is_some_and(|contents| contents.trajectories.contains_key(&written.id))
        };
        self.unsure.iter().filter(is_there).for_each(|written| written.add_to(&mut latest));
        latest == *world || self.maybe.as_ref() == Some(world)
    }

    /// Looks at what several kinds of damage leave, and returns one of them to live on.
    fn look_at_what_is_left(&mut self, disk: &FailingMedium) -> Result<Files, Broken> {
        let seed = self.dice.roll();
        let all = [
            Damage::LoseAll,
            Damage::KeepAll,
            Damage::Prefix(seed),
            Damage::Scattered(seed),
            Damage::Scattered(seed + 1),
            Damage::Heads,
            Damage::OneLost(seed),
        ];
        let chosen = self.dice.below(all.len() as u64) as usize;
        let also = self.dice.below(all.len() as u64) as usize;
        if also != chosen {
            self.log.add(format_args!("left by {:?}", all[also]));
            self.examine(disk.after_power_cut(all[also]))?;
        }
        self.log.add(format_args!("left by {:?}, lived on", all[chosen]));
        let files = disk.after_power_cut(all[chosen]);
        let (world, commit) = self.examine(files.clone())?;
        self.commit = commit;
        self.maybe = None;
        self.unsure.clear();
        if world != *self.latest() {
            self.history.push(world);
        }
        Ok(files)
    }

    /// Opens what is left, and cuts the power while it is opened or closed, up to three times.
    fn recover(&mut self) -> Result<(), Broken> {
        for _ in 0..3 {
            if self.dice.once_in(3) {
                continue;
            }
            let disk = FailingMedium::holding(std::mem::take(&mut self.files));
            disk.lie_about_syncs(self.lies_every);
            let at = self.dice.below(24);
            disk.fail_at(at, Fault::PowerCut);
            self.log.add(format_args!("recovery, power cut at operation {at}"));
            let opened = Database::options().open_on(Arc::new(disk.clone()));
            drop(opened);
            self.files = self.look_at_what_is_left(&disk)?;
            self.report.cuts_in_recovery += 1;
        }
        Ok(())
    }

    /// Opens what is left, reads it to the last bit, verifies it and writes to it.
    pub(crate) fn examine(&mut self, files: Files) -> Result<(World, u64), Broken> {
        self.report.cuts += 1;
        let medium = MemoryMedium::from_dump(files);
        let database = Database::options().open_on(Arc::new(medium.clone()));
        let (database, world, commit) = match database.and_then(read) {
            Ok(read) => read,
            Err(error) => {
                self.log.add(format_args!("{error}"));
                return Err(Broken::Unopenable);
            }
        };
        let is_latest = world == *self.latest();
        if !self.may_be(&world) {
            let line = format!("there is {world:?} where there was {:?}", self.latest());
            self.log.lines.push(line);
            return Err(if self.history.contains(&world) { Broken::Lost } else { Broken::Partial });
        }
        if commit < self.commit {
            self.log.add(format_args!("commit {commit} after {}", self.commit));
            return Err(Broken::Lost);
        }
        self.report.unacknowledged_kept += u64::from(!is_latest);
        self.report.kv_logs_read += world.n_kv_logs() as u64;
        let report = database.verify(&mut |_| {});
        if !report.as_ref().is_ok_and(|report| report.is_sound() && report.orphans.is_empty()) {
            self.log.add(format_args!("{report:?}"));
            return Err(Broken::Unsound);
        }
        if self.dice.once_in(4) {
            let written = database.scope("a").and_then(|scope| write(&scope));
            if let Err(error) = written {
                self.log.add(format_args!("{error}"));
                return Err(Broken::Unopenable);
            }
        }
        Ok((world, commit))
    }
}

/// A database without records, closed.
pub(crate) fn made() -> Files {
    let medium = MemoryMedium::new();
    drop(Database::options().open_on(Arc::new(medium.clone())).unwrap());
    medium.dump()
}

fn read(database: Database) -> lagdb::Result<(Database, World, u64)> {
    let commit = database.scope("a")?.snapshot()?.commit_id().as_u64();
    let world = World::read(&database)?;
    Ok((database, world, commit))
}

fn write(scope: &Scope) -> lagdb::Result<()> {
    let mut tx = scope.begin()?;
    let id = tx.put(&kit::trajectory("after the cut"))?;
    tx.put_kv_log(id, &kit::kv_log(&kit::model(1), 3, 3))?;
    tx.commit().map(drop)
}
