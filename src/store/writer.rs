//! One writer at a time: a turn that is waited for and given back when it is dropped, on whatever thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Where writers wait.
#[derive(Debug, Default)]
pub(super) struct WriterGate {
    is_taken: Mutex<bool>,
    given_back: Condvar,
}

/// The right to write.
#[derive(Debug)]
pub(crate) struct WriterTurn(Arc<WriterGate>);

impl WriterGate {
    pub(super) fn wait(self: &Arc<Self>) -> WriterTurn {
        let taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.given_back.wait_while(taken, |taken| *taken).unwrap_or_else(PoisonError::into_inner);
        *taken = true;
        drop(taken);
        WriterTurn(self.clone())
    }
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.given_back.notify_one();
    }
}
