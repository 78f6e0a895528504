//! Attaching while the prompt is computed: a layer of the logs is read, verified, decoded and turned while the layer before it
//! computes.
//!
//! A second thread owns the layers of the KV cache, writes the logs' rows to one after the other and hands each over; the decoder
//! waits for a layer where it first writes to it. Every number is that of attaching first and computing then. Logs that are soon
//! attached, and those of which tokens are computed again, are attached first; so are all on a machine with one processor.

use super::super::{NewToken, Prompt, Response, Session};
use super::{AttachPolicy, Attachment, Placed, Recompute, fill};
use crate::error::{Error, Result};
use crate::generate::config::ModelConfig;
use crate::generate::kv_cache::LayerCache;
use crate::generate::sampling::Sampling;
use lagdb_format::KvRead;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Numbers of keys and values up to which no thread is worth starting: about a millisecond of attaching.
const FEW: usize = 1 << 20;

impl Session {
    /// As [`attach_all`](Self::attach_all) and then [`generate`](Self::generate), which begins while layers of the logs are still
    /// read. The response's times are those from this call on.
    ///
    /// Two threads work until the logs are attached, so this is faster where a second processor is free: not where the products
    /// of the model already keep all of them busy.
    ///
    /// # Errors
    /// As both of them; [`Error::ContextLimit`] before anything is read when logs, prompt and one new token do not fit. The
    /// session stays as it was.
    pub fn generate_attaching<'p>(
        &mut self,
        logs: &[&dyn KvRead],
        policy: &AttachPolicy,
        prompt: impl Into<Prompt<'p>>,
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<Attachment>, Response)> {
        let start = Instant::now();
        if logs.is_empty() {
            policy.check()?;
            return Ok((Vec::new(), self.generate(prompt, sampling, on_token)?));
        }
        sampling.check()?;
        let prompt = self.prompt_ids(prompt.into())?;
        self.check_logs(logs, policy, prompt.len() + 1)?;
        let streams = policy.recompute == Recompute::Nothing && n_numbers(logs) > FEW && has_second_processor();
        self.or_as_it_was(|session| {
            let mut before = Duration::ZERO;
            let respond = |session: &mut Self| {
                before = start.elapsed();
                session.respond(Prompt::Tokens(&prompt), sampling, on_token)
            };
            let placed = session.place(logs, policy)?;
            let (attached, response) = if streams {
                let attached = session.commit(&placed, policy)?;
                (attached, session.while_filling(&placed, respond)?)
            } else {
                session.fill_all(&placed)?;
                (session.commit(&placed, policy)?, respond(session)?)
            };
            Ok((attached, response.since(before)))
        })
    }

    /// What `then` returns, while another thread writes the rows of the logs.
    fn while_filling<T>(&mut self, placed: &[Placed<'_>], then: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let generator = self.generator.clone();
        let (send, arriving) = channel();
        let layers = self.cache.lend(arriving)?;
        let is_over = AtomicBool::new(false);
        let (done, filled) = thread::scope(|scope| {
            let filling = scope.spawn(|| fill_each(layers, placed, generator.config(), send, &is_over));
            let done = then(self);
            is_over.store(done.is_err(), Ordering::Relaxed);
            (done, filling.join())
        });
        let (unsent, error) = filled.unwrap_or_else(|panic| resume_unwind(panic));
        self.cache.take_back(unsent);
        // Without its rows the decoder said only that they did not come.
        error.map_or(done, Err)
    }
}

/// Writes the logs' rows to one layer after the other and sends it, until one cannot be written or all `is_over`; the layers that
/// were not sent, and why.
fn fill_each(
    layers: Vec<LayerCache>,
    placed: &[Placed<'_>],
    config: &ModelConfig,
    send: Sender<LayerCache>,
    is_over: &AtomicBool,
) -> (Vec<LayerCache>, Option<Error>) {
    let mut layers = layers.into_iter().enumerate();
    while !is_over.load(Ordering::Relaxed)
        && let Some((layer, mut rows)) = layers.next()
    {
        let unsent = match fill(placed, config, layer, &mut rows) {
            Ok(()) => send.send(rows).map_err(|unsent| (unsent.0, None)),
            Err(error) => Err((rows, Some(error))),
        };
        if let Err((rows, error)) = unsent {
            let rest = layers.map(|(_, rows)| rows);
            return (std::iter::once(rows).chain(rest).collect(), error);
        }
    }
    (layers.map(|(_, rows)| rows).collect(), None)
}

/// Numbers in the keys and values of the logs, all layers together.
fn n_numbers(logs: &[&dyn KvRead]) -> usize {
    let of_log = |log: &&dyn KvRead| 2 * log.geometry().n_layers as usize * log.n_tokens() * log.geometry().row_width();
    logs.iter().map(of_log).sum()
}

fn has_second_processor() -> bool {
    thread::available_parallelism().is_ok_and(|n| n.get() > 1)
}
