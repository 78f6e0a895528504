//! The store on a disk that loses power: operations until the cut, and what it leaves.

use super::store::{kv_log, model};
use lagdb::format::KvRead;
use lagdb::medium::{Damage, FailingMedium, Fault};
use lagdb::{Database, Id, Snapshot, Trajectory};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trajectories with the seeds of their KV logs.
type Lived = BTreeMap<Id<Trajectory>, Option<u8>>;

/// Four bytes say when the power goes and what is left, the rest is operations, two bytes each, at most 32 of them: what
/// was acknowledged is there afterwards, and of what was not, all or nothing.
pub fn store_power_cuts(data: &[u8]) {
    let Some(([at, kind, seed, more], ops)) = data.split_first_chunk::<4>() else { return };
    let disk = FailingMedium::new();
    disk.fail_at(u64::from(*at) * (1 + u64::from(more % 8)), Fault::PowerCut);
    let mut acknowledged = Lived::new();
    let unacknowledged = live(&disk, ops.as_chunks::<2>().0, &mut acknowledged).err();
    let seed = u64::from(*seed);
    let damage = match kind % 6 {
        0 => Damage::LoseAll,
        1 => Damage::KeepAll,
        2 => Damage::Prefix(seed),
        3 => Damage::Heads,
        4 => Damage::OneLost(seed),
        _ => Damage::Scattered(seed),
    };
    let left = Arc::new(disk.rebooted(damage));
    let database = Database::options().open_on(left).expect("what is left opens");
    let found = read(&database.scope("fuzz").expect("a name").snapshot().expect("a snapshot"));
    assert!(found == acknowledged || Some(found) == unacknowledged, "lost, or in part");
    let report = database.verify(&mut |_| {}).expect("a report");
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
}

/// Does the operations up to the cut. The error is what would be there had the last one happened.
fn live(disk: &FailingMedium, ops: &[[u8; 2]], acknowledged: &mut Lived) -> Result<(), Lived> {
    let Ok(mut database) = Database::options().open_on(Arc::new(disk.clone())) else { return Ok(()) };
    for [kind, which] in ops.iter().take(32) {
        match kind % 8 {
            6 => drop(database.compact(&mut |_| {})),
            7 => {
                drop(database);
                let Ok(opened) = Database::options().open_on(Arc::new(disk.clone())) else { return Ok(()) };
                database = opened;
            }
            kind => {
                let mut after = acknowledged.clone();
                if commit(&database, kind, *which, &mut after).is_err() {
                    assert!(disk.is_dead(), "it fails only when the power goes");
                    return Err(after);
                }
                *acknowledged = after;
            }
        }
    }
    Ok(())
}

fn commit(database: &Database, kind: u8, which: u8, lived: &mut Lived) -> lagdb::Result<()> {
    let chosen = lived.keys().nth(usize::from(which) % lived.len().max(1)).copied();
    let mut tx = database.scope("fuzz")?.begin()?;
    match (kind, chosen) {
        (3 | 4, Some(id)) => {
            // Logs without tokens are all the same.
            let seed = if kv_log(which).token_ids().is_empty() { 0 } else { which };
            tx.put_kv_log(id, &kv_log(seed))?;
            lived.insert(id, Some(seed));
        }
        (5, Some(id)) => {
            tx.delete(id)?;
            lived.remove(&id);
        }
        _ => {
            let number = tx.commit_id().as_u64();
            let id = tx.put(&Trajectory::new(format!("task {which} after commit {number}")))?;
            lived.insert(id, None);
        }
    }
    tx.commit().map(drop)
}

fn read(snapshot: &Snapshot) -> Lived {
    let one = |id| {
        let log = snapshot.kv_log(id, &model()).expect("a KV log").map(|view| view.to_log().expect("sound pages"));
        let seed = log.map(|log| (0..=u8::MAX).find(|seed| kv_log(*seed) == log).expect("one that was put"));
        (id, seed)
    };
    snapshot.ids::<Trajectory>().expect("ids").into_iter().map(one).collect()
}
