//! One writer at a time: a turn that is waited for and given back when it is dropped, on whatever thread.
//!
//! A thread that has the turn and waits for it would wait for itself: it is refused.

use crate::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Where writers wait.
#[derive(Debug, Default)]
pub(super) struct WriterGate {
    /// The thread that took the turn.
    taken_by: Mutex<Option<ThreadId>>,
    given_back: Condvar,
}

/// The right to write.
#[derive(Debug)]
pub(crate) struct WriterTurn(Arc<WriterGate>);

impl WriterGate {
    pub(super) fn wait(self: &Arc<Self>) -> Result<WriterTurn> {
        let this = Some(thread::current().id());
        let taken = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == this {
            let detail = "this thread began one that is still open; commit or drop it first";
            return Err(Error::invalid("transaction", detail));
        }
        let mut taken = self.given_back.wait_while(taken, |by| by.is_some()).unwrap_or_else(PoisonError::into_inner);
        *taken = this;
        drop(taken);
        Ok(WriterTurn(self.clone()))
    }

    /// Whether it is this thread that has the turn.
    pub(super) fn is_taken_here(&self) -> bool {
        *self.taken_by.lock().unwrap_or_else(PoisonError::into_inner) == Some(thread::current().id())
    }
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        *self.0.taken_by.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.given_back.notify_one();
    }
}
