//! A disk that fails without losing power: every single read, write, sync, rename and listing fails, once or from then
//! on, half done or not at all, or for want of space. The error is typed, what was acknowledged stays, and once the disk
//! is well the database goes on.

use super::life::{Simulation, made};
use super::step::Step;
use lagdb::medium::{FailingMedium, Fault};
use lagdb::{Error, ErrorKind};

/// A short life with everything in it.
fn steps() -> Vec<Step> {
    let mut simulation = Simulation::new(11);
    let mut steps: Vec<_> = (0..8).map(|_| simulation.roll()).filter(|step| *step != Step::Reopen).collect();
    steps.extend([Step::Compact, Step::Reopen, Step::Verify]);
    steps.extend((0..3).map(|_| simulation.roll()));
    steps
}

/// Lets `fault` strike at every operation in turn, at those that change something or those that look.
fn at_every_operation(fault: Fault, arm: fn(&FailingMedium, u64, Fault), count: fn(&FailingMedium) -> u64) {
    let steps = steps();
    let mut n_errors = 0;
    for at in 0.. {
        let disk = FailingMedium::holding(made());
        arm(&disk, at, fault);
        let mut simulation = Simulation::new(at);
        simulation.is_bad_disk = true;
        let done = simulation.do_all(&disk, &steps);
        let n_done = count(&disk);
        if let Err(error) = &done {
            n_errors += 1;
            assert_eq!(error.kind(), ErrorKind::Environment, "{fault:?} at {at}: {error}");
            assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{fault:?} at {at}: {error}");
        }
        disk.heal();
        assert!(simulation.examine(disk.dump()).is_ok(), "{fault:?} at {at}");
        if n_done <= at {
            assert!(done.is_ok(), "nothing failed");
            break;
        }
    }
    assert!(n_errors > 50, "{fault:?}: {n_errors} errors");
}

fn at_every_change(fault: Fault) {
    at_every_operation(fault, FailingMedium::fail_at, FailingMedium::n_ops);
}

fn at_every_look(fault: Fault) {
    at_every_operation(fault, FailingMedium::fail_look_at, FailingMedium::n_looks);
}

#[test]
fn one_change_fails() {
    at_every_change(Fault::IoError);
}

#[test]
fn every_change_fails_from_then_on() {
    at_every_change(Fault::Broken);
}

#[test]
fn one_change_is_half_done() {
    at_every_change(Fault::Short);
}

#[test]
fn there_is_no_space_from_then_on() {
    at_every_change(Fault::NoSpace);
}

#[test]
fn one_look_fails() {
    at_every_look(Fault::IoError);
}

#[test]
fn every_look_fails_from_then_on() {
    at_every_look(Fault::Broken);
}

#[test]
fn one_read_ends_half_way() {
    at_every_look(Fault::Short);
}
