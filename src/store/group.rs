//! Group commit: transactions that end while another one is being synced become durable together, in their order.
//!
//! A transaction that ends leaves its rows here as a [`Layer`], *staged*: the next writer may begin at once and reads
//! through it. Whoever waits to become durable and finds no flush under way takes all that is ready, from the oldest on,
//! into **one** commit of redb. So a crash leaves each transaction whole or absent, and none without those before it;
//! snapshots begin from redb and never see what is not durable.
//!
//! Writers that were set free by one flush are likely to be back before long. A flush waits for them as long as they
//! keep arriving, so that eight writers share one sync instead of taking turns in two groups; one writer never waits.

use crate::Result;
use crate::catalog::Layer;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A flush is put off by this part of its duration for another writer to arrive, and by all of it at most.
const PATIENCE: u32 = 8;

/// Where transactions wait to become durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Not durable yet, oldest first.
    staged: VecDeque<Staged>,
    /// The number of the oldest of them; all before it are durable.
    first: u64,
    is_flushing: bool,
    /// How many were set free by the last flush, or waited when it ended.
    n_writers: usize,
    flush_took: Duration,
    last_arrival: Option<Instant>,
}

#[derive(Debug)]
struct Staged {
    layer: Arc<Layer>,
    /// Whether its rows name a new segment.
    has_segment: bool,
    /// Whether that segment is synced.
    is_ready: bool,
}

/// What one flush makes durable.
#[derive(Debug)]
pub(super) struct Flush {
    /// Oldest first.
    pub(super) layers: Vec<Arc<Layer>>,
    /// Whether their rows name new segments.
    pub(super) has_segments: bool,
}

/// A transaction's place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl Group {
    /// Adds a transaction. The caller holds the writer's turn, so that the order is that of the turns.
    pub(super) fn stage(&self, layer: Layer, has_segment: bool) -> Ticket {
        let mut queue = self.queue();
        queue.staged.push_back(Staged { layer: Arc::new(layer), has_segment, is_ready: false });
        Ticket(queue.first + queue.staged.len() as u64 - 1)
    }

    /// What `begin` makes of the staged layers, oldest first; none of them becomes durable meanwhile.
    pub(super) fn above<T>(&self, begin: impl FnOnce(Vec<Arc<Layer>>) -> T) -> T {
        let queue = self.queue();
        begin(queue.oldest(queue.staged.len()).layers)
    }

    /// Waits until a transaction whose segment is synced is durable, in a flush of this thread or of another.
    ///
    /// `check` says whether the store stopped; `flush` makes layers durable.
    pub(super) fn wait(
        &self,
        ticket: &Ticket,
        check: &dyn Fn() -> Result<()>,
        flush: &dyn Fn(&Flush) -> Result<()>,
    ) -> Result<()> {
        let mut queue = self.queue();
        queue.make_ready(ticket);
        self.changed.notify_all();
        let began = Instant::now();
        loop {
            if queue.first > ticket.0 {
                return Ok(());
            }
            check()?;
            let patience = queue.patience(began);
            queue = match patience {
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => self.flush(queue, flush)?,
                Some(rest) => self.changed.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Waits until nothing is staged. The caller holds the writer's turn, so that nothing is added.
    pub(super) fn settle(&self, check: &dyn Fn() -> Result<()>) -> Result<()> {
        let mut queue = self.queue();
        while !queue.staged.is_empty() {
            check()?;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Wakes all that wait, after the store stopped.
    pub(super) fn wake(&self) {
        drop(self.queue());
        self.changed.notify_all();
    }

    fn flush<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        flush: &dyn Fn(&Flush) -> Result<()>,
    ) -> Result<MutexGuard<'a, Queue>> {
        let ready = queue.oldest(queue.n_ready());
        queue.is_flushing = true;
        drop(queue);
        let began = Instant::now();
        let flushed = flush(&ready);
        let mut queue = self.queue();
        queue.is_flushing = false;
        if flushed.is_ok() {
            queue.end(ready.layers.len(), began.elapsed());
        }
        self.changed.notify_all();
        flushed.map(|()| queue)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn oldest(&self, n: usize) -> Flush {
        let layers = self.staged.iter().take(n).map(|staged| staged.layer.clone()).collect();
        Flush { layers, has_segments: self.staged.iter().take(n).any(|staged| staged.has_segment) }
    }

    /// How many can become durable now: none that is built on one that is not ready.
    fn n_ready(&self) -> usize {
        self.staged.iter().take_while(|staged| staged.is_ready).count()
    }

    fn make_ready(&mut self, ticket: &Ticket) {
        let at = ticket.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(staged) = at.and_then(|at| self.staged.get_mut(at)) {
            staged.is_ready = true;
            self.last_arrival = Some(Instant::now());
        }
    }

    /// How long to wait for others before a flush; `None` while there is nothing to flush.
    fn patience(&self, began: Instant) -> Option<Duration> {
        let n_ready = self.n_ready();
        if self.is_flushing || n_ready == 0 {
            return None;
        }
        let for_the_next = self.flush_took / PATIENCE;
        let quiet = self.last_arrival.map_or(for_the_next, |at| at.elapsed());
        let is_complete = n_ready >= self.n_writers || began.elapsed() >= self.flush_took;
        Some(if is_complete { Duration::ZERO } else { for_the_next.saturating_sub(quiet) })
    }

    fn end(&mut self, n_flushed: usize, took: Duration) {
        self.staged.drain(..n_flushed);
        self.first += n_flushed as u64;
        self.n_writers = n_flushed + self.staged.len();
        self.flush_took = took;
    }
}
