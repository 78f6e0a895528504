//! Lessons for a task: near to it, trusted as far as they have earned, and now and then one that nobody knows yet.
//!
//! A lesson is ranked by `similarity * (1 - w + w * bound)`, where the bound is the rate of success that it has at least with
//! a probability of 95 %, and `w` says how much that counts. A lesson that is new has a low bound and would never get
//! another, so some slots are kept for the most similar of those that are little known (optimism in the face of
//! uncertainty; Auer et al., 2002, <https://doi.org/10.1023/A:1013689704352>).
//!
//! With a small probability a lesson that would be given is withheld: the tasks that went without it are what the others are
//! compared with ([`StrategyStats::uplift`](crate::StrategyStats)). The dice are thrown by seed, task, lesson and how often the
//! task was lived before, so a run that is repeated withholds the same, and a task that comes again is drawn anew.

use super::super::dice::Dice;
use super::super::{Agent, Environment, Task};
use crate::{
    Delivery, DeliveryPoint, Exposure, Filter, Hit, Id, Offered, Query, Result, Snapshot, Strategy, StrategyKind,
    Trajectory,
};

/// Candidates per slot.
const POOL_PER_SLOT: usize = 3;
/// Lessons that were given in fewer tasks than this are little known.
const WELL_KNOWN: u64 = 3;
/// The bound of a lesson that was never given: the 5 % quantile of the uniform distribution.
const BOUND_OF_NOTHING: f64 = 0.05;

/// Which lessons a task gets.
#[derive(Clone, Debug)]
pub struct LessonRecall {
    /// The most lessons; 0 recalls none.
    pub limit: usize,
    /// The least similarity to the task, -1 to 1: below it, rather nothing is said.
    pub floor: f32,
    /// About how many tokens the lessons may take together.
    pub token_budget: usize,
    /// How much a lesson's success counts beside its similarity, 0 to 1.
    pub weight: f32,
    /// Slots kept for lessons that are little known.
    pub explore: usize,
    /// How likely a lesson that would be given is withheld, 0 to below 1.
    pub withhold: f64,
    /// Seed of the withholding.
    pub seed: u64,
    /// Only lessons that it lets through.
    pub filter: Option<Filter>,
}

impl Default for LessonRecall {
    fn default() -> Self {
        Self {
            limit: 16,
            floor: 0.1,
            token_budget: 1_024,
            weight: 0.5,
            explore: 1,
            withhold: 0.05,
            seed: 0,
            filter: None,
        }
    }
}

/// A lesson that was offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its id.
    pub id: Id<Strategy>,
    /// The lesson.
    pub lesson: Strategy,
    /// How it was offered.
    pub exposure: Exposure,
}

/// A lesson that might be given.
struct Candidate {
    hit: Hit<Strategy>,
    score: f32,
    n_given: u64,
}

impl Agent {
    /// The lessons for the task of `environment`: those to be given and those withheld, in the order of their rank.
    ///
    /// Lessons with evidence from a trajectory of this very task are left out. Where the policy has a
    /// [guard](super::super::Guarding) and the environment has [signatures](Environment::has_signatures), guardrails that name
    /// an action wait for it.
    ///
    /// # Errors
    /// When the database cannot be read, or holds embeddings of another space.
    pub fn recall_lessons(&self, environment: &dyn Environment, how: &LessonRecall) -> Result<Vec<Offer>> {
        if how.limit == 0 {
            return Ok(Vec::new());
        }
        let task = environment.task();
        let snapshot = self.scope.snapshot()?;
        let mut query = Query::near(self.embedder.embed(&task.query)?).floor(how.floor).exclude_task(&task.name);
        query = how.filter.iter().cloned().fold(query, Query::filter);
        let guards = self.policy.guard.is_some() && environment.has_signatures();
        let hits = nearest(&snapshot, &query, how.limit.saturating_mul(POOL_PER_SLOT), |lesson| {
            !(guards && lesson.kind == StrategyKind::Guardrail && !lesson.action_signatures.is_empty())
        })?;
        let candidates = hits.into_iter().map(|hit| candidate(&snapshot, hit, how)).collect::<Result<Vec<_>>>()?;
        let occasion = occasion(&snapshot, how.seed, task)?;
        Ok(self.offers(chosen(candidates, how), &occasion, how, snapshot.now_ms()))
    }

    /// Gives what has room, and withholds some of it.
    fn offers(&self, chosen: Vec<Candidate>, occasion: &Dice, how: &LessonRecall, now_ms: u64) -> Vec<Offer> {
        let mut left = how.token_budget;
        let offer = |(rank, candidate): (usize, Candidate)| {
            let Candidate { hit, score, .. } = candidate;
            let n_tokens = self.dialect.n_tokens(&hit.record);
            let mut exposure = Exposure { rank: rank as u32, score, exposed_at_ms: now_ms, ..offered(hit.id) };
            if n_tokens > left {
                exposure.delivery = Delivery::Unused;
            } else {
                left -= n_tokens;
                withhold(&mut exposure, how.withhold, occasion);
            }
            Offer { id: hit.id, lesson: hit.record, exposure }
        };
        chosen.into_iter().enumerate().map(offer).collect()
    }

    /// The lessons of failures that speak about an action that is about to be taken in step `step`, by its signatures: those
    /// to be given and those withheld, the latest first; never those that were `given` before.
    pub(in crate::agent) fn warnings(
        &self,
        task: &Task,
        signatures: &[String],
        step: u32,
        given: &[Id<Strategy>],
    ) -> Result<Vec<Offer>> {
        let Some(guard) = self.policy.guard.as_ref().filter(|_| !signatures.is_empty()) else { return Ok(Vec::new()) };
        let snapshot = self.scope.snapshot()?;
        let is_new = !(Filter::task(&task.name) | Filter::any_of(given.iter().map(|id| Filter::id(*id))));
        let mut offers: Vec<Offer> = Vec::new();
        for signature in signatures {
            for lesson in snapshot.guard_among(signature, &is_new, guard.limit)? {
                if offers.len() == guard.limit || offers.iter().any(|offer| offer.id == lesson.id) {
                    continue;
                }
                let exposed_at_ms = snapshot.now_ms();
                let mut exposure = Exposure { exposed_at_ms, step, rank: offers.len() as u32, ..offered(lesson.id) };
                exposure.point = DeliveryPoint::BeforeAction;
                withhold(&mut exposure, guard.withhold, &occasion(&snapshot, guard.seed, task)?);
                offers.push(Offer { id: lesson.id, lesson: lesson.strategy, exposure });
            }
        }
        Ok(offers)
    }
}

fn offered(id: Id<Strategy>) -> Exposure {
    Exposure::injected(Offered::Strategy(id))
}

/// The nearest lessons that are `wanted`, `n` at most: those that are not must not take their places.
fn nearest(
    snapshot: &Snapshot,
    query: &Query,
    n: usize,
    wanted: impl Fn(&Strategy) -> bool,
) -> Result<Vec<Hit<Strategy>>> {
    let mut n_asked = n;
    loop {
        let mut hits = snapshot.search::<Strategy>(&query.clone().limit(n_asked))?;
        let is_all = hits.len() < n_asked;
        hits.retain(|hit| wanted(&hit.record));
        if is_all || hits.len() >= n {
            hits.truncate(n);
            return Ok(hits);
        }
        n_asked = n_asked.saturating_mul(2);
    }
}

/// The dice of a task that is lived once more.
fn occasion(snapshot: &Snapshot, seed: u64, task: &Task) -> Result<Dice> {
    let n_before = snapshot.count::<Trajectory>(&Query::newest().filter(Filter::task(&task.name)))?;
    let name = if n_before == 0 { task.name.clone() } else { format!("{}\n{n_before} before", task.name) };
    Ok(Dice::new(seed, &name))
}

/// Throws the dice of this occasion for this lesson.
fn withhold(exposure: &mut Exposure, probability: f64, occasion: &Dice) {
    exposure.propensity = (1.0 - probability) as f32;
    if occasion.of(exposure.offered.number()).happens(probability) {
        exposure.delivery = Delivery::Withheld;
    }
}

fn candidate(snapshot: &Snapshot, hit: Hit<Strategy>, how: &LessonRecall) -> Result<Candidate> {
    let counters = snapshot.counters(hit.id.as_u64())?;
    let n_given = counters.injected.n();
    let is_unknown = how.weight == 0.0 || n_given == counters.injected.unknown;
    let bound = if is_unknown { BOUND_OF_NOTHING } else { counters.success_lower() };
    let similarity = hit.signals.similarity.unwrap_or(0.0).max(0.0);
    Ok(Candidate { score: similarity * (1.0 - how.weight + how.weight * bound as f32), n_given, hit })
}

/// The best by score, and of the others the most similar that are little known; best score first.
fn chosen(mut candidates: Vec<Candidate>, how: &LessonRecall) -> Vec<Candidate> {
    let by_score = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then(b.hit.id.cmp(&a.hit.id));
    candidates.sort_by(by_score);
    let n_best = how.limit - how.explore.min(how.limit);
    let mut others = candidates.split_off(n_best.min(candidates.len()));
    for _ in n_best..how.limit {
        let little_known = others.iter().enumerate().filter(|(_, other)| other.n_given < WELL_KNOWN);
        let similar = |other: &Candidate| other.hit.signals.similarity.unwrap_or(0.0);
        let most_similar = little_known.max_by(|(_, a), (_, b)| similar(a).total_cmp(&similar(b))).map(|(at, _)| at);
        if others.is_empty() {
            break;
        }
        candidates.push(others.remove(most_similar.unwrap_or(0)));
    }
    candidates.sort_by(by_score);
    candidates
}
