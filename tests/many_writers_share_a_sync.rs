//! Many writers share the cost of a sync, and each still has what one alone has: a commit that returned is durable, a
//! crash leaves each transaction whole or absent and none without those before it, and nobody sees what is not durable.

use crate::kit::{self, kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, Lock, LockError, Medium, MediumFile, MemoryMedium};
use lagdb::{Database, Error, Scope, Trajectory};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// A disk in memory whose syncs can be held up, and are counted.
#[derive(Clone, Debug, Default)]
struct SlowDisk {
    below: MemoryMedium,
    valve: Arc<Valve>,
}

#[derive(Debug, Default)]
struct Valve {
    /// Whether syncs wait; how many there were.
    state: Mutex<(bool, usize)>,
    turned: Condvar,
}

impl Valve {
    fn close(&self, is_closed: bool) {
        self.state.lock().unwrap().0 = is_closed;
        self.turned.notify_all();
    }

    fn pass(&self) {
        let mut state = self.turned.wait_while(self.state.lock().unwrap(), |state| state.0).unwrap();
        state.1 += 1;
    }

    fn n_syncs(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

#[derive(Debug)]
struct SlowFile(Arc<dyn MediumFile>, Arc<Valve>);

impl MediumFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

impl SlowDisk {
    fn slow(&self, file: Arc<dyn MediumFile>) -> Arc<dyn MediumFile> {
        Arc::new(SlowFile(file, self.valve.clone()))
    }
}

impl Medium for SlowDisk {
    fn root(&self) -> PathBuf {
        self.below.root()
    }
    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()> {
        self.below.create_dirs(dirs)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.below.open(name).map(|file| self.slow(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.below.create(name).map(|file| self.slow(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.below.rename(from, to)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.below.unlink(name)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.below.sync_dir(dir)
    }
    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        self.below.lock(owner)
    }
}

fn commit(scope: &Scope, task: &str) -> lagdb::Result<()> {
    let mut tx = scope.begin()?;
    tx.put(&kit::trajectory(task))?;
    tx.commit().map(drop)
}

/// Waits until a new transaction sees `n` trajectories: those before it that have ended.
fn wait_for(scope: &Scope, n: u64) {
    while scope.begin().unwrap().len::<Trajectory>().unwrap() < n {
        thread::yield_now();
    }
}

#[test]
fn writers_that_end_during_a_sync_share_the_next() {
    let disk = SlowDisk::default();
    let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    commit(&scope, "alone").unwrap();
    let alone = disk.valve.n_syncs();
    commit(&scope, "alone again").unwrap();
    let per_commit = disk.valve.n_syncs() - alone;

    disk.valve.close(true);
    thread::scope(|threads| {
        for i in 0..9 {
            let scope = &scope;
            threads.spawn(move || commit(scope, &format!("task {i}")).unwrap());
        }
        wait_for(&scope, 11);
        assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 2, "nobody sees what is not durable");
        disk.valve.close(false);
    });
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 11);
    let together = disk.valve.n_syncs() - alone - per_commit;
    assert!(together <= 4 * per_commit, "{together} syncs of 9 commits; one alone takes {per_commit}");
}

/// A transaction that is open must not hold up those that end: they may be what it waits for.
#[test]
fn a_commit_does_not_wait_for_a_transaction_that_is_open() {
    let (_database, scope) = kit::in_memory();
    let (committed, wait) = std::sync::mpsc::channel();
    let first = scope.begin().unwrap();
    let others = scope.clone();
    let waiting = thread::spawn(move || {
        let mut tx = others.begin().unwrap();
        wait.recv().unwrap();
        tx.put(&kit::trajectory("second")).unwrap();
        tx.commit().unwrap();
    });
    let mut tx = first;
    tx.put(&kit::trajectory("first")).unwrap();
    tx.commit().unwrap();
    committed.send(()).unwrap();
    waiting.join().unwrap();
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 2);
}

#[test]
fn all_that_shared_a_failed_sync_are_told() {
    let disk = FailingMedium::new();
    let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    commit(&scope, "first").unwrap();
    disk.fail_at(0, Fault::PowerCut);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let error = commit(&scope, "later").unwrap_err();
                assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{error}");
            });
        }
    });
}

/// Four writers of ten commits each, some with a KV log, until the power is cut: how many each was told are durable.
fn write_until_cut(disk: &FailingMedium) -> Vec<usize> {
    let Ok(database) = Database::options().open_on(Arc::new(disk.clone())) else { return vec![0; 4] };
    let write = |writer: usize| {
        let Ok(scope) = database.scope(&format!("writer {writer}")) else { return 0 };
        let commit = |i: usize| {
            let mut tx = scope.begin()?;
            let id = tx.put(&kit::trajectory(&format!("task {i}")))?;
            if i.is_multiple_of(3) {
                tx.put_kv_log(id, &kv_log(&model(1), 4, i as u32))?;
            }
            tx.commit()
        };
        (0..10).take_while(|i| commit(*i).is_ok()).count()
    };
    let write = &write;
    thread::scope(|threads| {
        let writers: Vec<_> = (0..4).map(|writer| threads.spawn(move || write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// A sync of the directory failed; before the store stopped, another writer tried again, was told that all is well, since
/// such an error is told once, and acknowledged: a power cut could take the names of its segments.
#[test]
fn a_sync_that_failed_is_not_tried_again_by_another() {
    for at in 0..60 {
        let disk = FailingMedium::new();
        disk.fail_at(40 + at, Fault::IoError);
        let acknowledged = write_until_cut(&disk);
        disk.heal();
        for damage in [Damage::LoseAll, Damage::Scattered(at)] {
            let database = Database::options().open_on(Arc::new(disk.rebooted(damage))).unwrap();
            for (writer, told) in acknowledged.iter().enumerate() {
                check_durable(&database, writer, *told, &format!("operation {at}, {damage:?}"));
            }
        }
    }
}

/// What writer number `writer` was told is durable is there, in its order and whole.
fn check_durable(database: &Database, writer: usize, told: usize, why: &str) {
    let snapshot = database.scope(&format!("writer {writer}")).unwrap().snapshot().unwrap();
    let ids = snapshot.ids::<Trajectory>().unwrap();
    assert!(ids.len() >= told, "{why}: {told} were durable, {} are there", ids.len());
    for (i, id) in ids.into_iter().enumerate() {
        assert_eq!(snapshot.get(id).unwrap().unwrap().task, format!("task {i}"));
        let log = snapshot.kv_log(id, &model(1)).unwrap().map(|view| view.to_log().unwrap());
        assert_eq!(log, i.is_multiple_of(3).then(|| kv_log(&model(1), 4, i as u32)), "{why}");
    }
}

#[test]
fn a_power_cut_takes_none_that_returned_and_none_out_of_order() {
    for at in (0..400).step_by(7) {
        let disk = FailingMedium::new();
        disk.fail_at(at, Fault::PowerCut);
        let acknowledged = write_until_cut(&disk);
        for damage in [Damage::LoseAll, Damage::KeepAll, Damage::Prefix(at), Damage::Scattered(at)] {
            let database = Database::options().open_on(Arc::new(disk.rebooted(damage))).unwrap();
            for (writer, told) in acknowledged.iter().enumerate() {
                check_durable(&database, writer, *told, &format!("operation {at}, {damage:?}"));
            }
            assert!(database.verify(&mut |_| {}).unwrap().is_sound());
        }
    }
}
