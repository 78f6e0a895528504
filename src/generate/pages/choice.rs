//! Which pages each KV head reads for each token, as key summaries tell.
//!
//! Of a page of `n` keys a summary says for a query that stands where the keys stand that no score is above `u`, and the mean of
//! the scores not below `l`. So in the softmax over all, whose sum is `Z`, the page weighs at most `n exp(u) / Z`; and by Jensen's
//! inequality every page adds at least `n exp(l)` to `Z`, to which the rows of the cache add what they are known to. Pages are
//! left out, the lightest first, while these shares together are not above what is negligible: without having read any page,
//! so that a token reads the same pages however many tokens are computed with it.
//!
//! The bound `u` is proved, and loose: it adds up the largest product of every channel, and no key is largest in all of them.
//! Where the channels of a head of 128 do not depend on each other and scores are spread by 3, `ln n + u` is 36 above
//! `ln Σ exp(s_i)` for pages of 8 tokens, 67 for pages of 128. What else a summary says does not make up for that: the mean
//! (a convex function is below its chord from the least to the largest score) takes 0.7 off, 1.2 where the chord is drawn for each
//! channel; the norms of RoPE pairs (no key is in the corners of a pair's square) 1 to 5. It takes how channels go together, which
//! are `head_dim²` numbers a page. So this leaves out pages whose keys are elsewhere as a whole; to save time, there is
//! [`PagePolicy::max_pages`].
//!
//! If `m` is the true share of what is left out, every other weight grows by `1 / (1 - m)`, that is by no more than `m`.

use super::PagePolicy;
use super::attend::Asking;
use super::source::PageSource;
use crate::generate::heads::HeadShape;
use std::ops::Range;

/// Queries of a KV head that read together with those of the next head.
const FEW: usize = 8;
/// Queries that read together at most: their scores with a page stay in the processor's cache.
const MANY: usize = 96;

/// Who reads what.
pub(super) enum Readers {
    /// These every page.
    Everyone(Vec<Party>),
    /// Those of each page.
    Chosen(Vec<Vec<Party>>),
}

/// Queries that read a page together.
#[derive(Debug)]
pub(super) struct Party {
    /// KV heads.
    pub(super) heads: Range<u32>,
    /// Numbers among the queries of the heads that are asked for, as many for each KV head, head after head.
    pub(super) queries: Vec<usize>,
}

impl Readers {
    /// What `tokens` read by some KV heads with the queries `[n_heads, n_new, head_dim]`, turned by their distance, of which `sums`
    /// have the `ln Σ exp` of all that they attend to besides. Scores are multiplied with `scale`.
    pub(super) fn new(
        source: &PageSource,
        asking: Asking<'_>,
        tokens: &[usize],
        kv_heads: Range<usize>,
        query: &[f32],
        sums: &[f32],
        scale: f32,
    ) -> Self {
        let first = kv_heads.start;
        if !source.policy.chooses() {
            let mut parties = Vec::new();
            kv_heads.for_each(|kv_head| Party::add(&mut parties, asking, first, kv_head, tokens));
            return Self::Everyone(parties);
        }
        let HeadShape { n_tokens: n_new, head_dim, .. } = asking.shape;
        let n_pages = source.pages.len();
        let mut chosen: Vec<Vec<Party>> = (0..n_pages).map(|_| Vec::new()).collect();
        let mut shares = Shares::default();
        for kv_head in kv_heads {
            let mut readers = vec![Vec::new(); n_pages];
            for &token in tokens {
                shares.clear();
                for head in kv_head * asking.group()..(kv_head + 1) * asking.group() {
                    let i = head * n_new + token;
                    let query = &query[i * head_dim..(i + 1) * head_dim];
                    let pages = source.summaries(asking.layer, kv_head).zip(&source.pages);
                    let weights = pages.map(|(keys, page)| {
                        let (scores, n) = (keys.scores_in_place(query), (page.n_tokens as f64).ln());
                        let of = |score: f32| n + f64::from(score * scale);
                        (of(scores.bound), of(scores.mean))
                    });
                    shares.add(weights, f64::from(sums[i]));
                }
                shares.read_by(source.policy).into_iter().for_each(|page| readers[page].push(token));
            }
            chosen
                .iter_mut()
                .zip(&readers)
                .for_each(|(parties, tokens)| Party::add(parties, asking, first, kv_head, tokens));
        }
        Self::Chosen(chosen)
    }

    /// Those of a page.
    pub(super) fn of(&self, page: usize) -> &[Party] {
        match self {
            Self::Everyone(parties) => parties,
            Self::Chosen(parties) => parties.get(page).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

impl Party {
    /// Adds what `tokens` ask a KV head, where queries are counted from those of the `first`: to the last party where that is of its neighbour and as large, and few ask.
    fn add(parties: &mut Vec<Self>, asking: Asking<'_>, first: usize, kv_head: usize, tokens: &[usize]) {
        let (n, head) = (asking.group() * tokens.len(), kv_head as u32);
        let of_group = (kv_head - first) * asking.group()..(kv_head - first + 1) * asking.group();
        let queries = of_group.flat_map(|head| tokens.iter().map(move |token| head * asking.shape.n_tokens + token));
        match parties.last_mut() {
            _ if n == 0 => {}
            Some(last) if n <= FEW && last.heads.end == head && last.queries.len() == n * last.heads.len() => {
                last.queries.extend(queries);
                last.heads.end += 1;
            }
            _ => {
                let queries: Vec<usize> = queries.collect();
                let party = |queries: &[usize]| Self { heads: head..head + 1, queries: queries.to_vec() };
                parties.extend(queries.chunks(MANY).map(party));
            }
        }
    }

    /// Its queries, where none is left out between the first and the last.
    pub(super) fn run(&self) -> Option<Range<usize>> {
        let (first, last) = (*self.queries.first()?, *self.queries.last()?);
        (last - first + 1 == self.queries.len()).then_some(first..last + 1)
    }
}

/// `ln(exp(a) + exp(b))`, of which at most one is minus infinity.
fn add_logarithms(a: f64, b: f64) -> f64 {
    a.max(b) + (a.min(b) - a.max(b)).exp().ln_1p()
}

/// How much of the attention of some query heads, which read together, each page can get at most.
#[derive(Default)]
struct Shares {
    /// Logarithms, page after page of the first head, then of the next; above 0 where a bound is no help.
    most: Vec<f64>,
    n_pages: usize,
}

impl Shares {
    fn clear(&mut self) {
        self.most.clear();
    }

    /// Adds a head, for which the logarithm of what each page weighs is between the two of `pages`, highest first, and that of
    /// all else is `sum`.
    fn add(&mut self, pages: impl Iterator<Item = (f64, f64)>, sum: f64) {
        let first = self.most.len();
        let mut least = sum;
        for (most, at_least) in pages {
            self.most.push(most);
            least = add_logarithms(least, at_least);
        }
        self.n_pages = self.most.len() - first;
        self.most[first..].iter_mut().for_each(|most| *most -= least);
    }

    /// The pages that are read, going up.
    fn read_by(&self, policy: PagePolicy) -> Vec<usize> {
        let of_page = |page: usize| self.most.iter().skip(page).step_by(self.n_pages.max(1));
        let most: Vec<f64> =
            (0..self.n_pages).map(|page| of_page(page).copied().fold(f64::NEG_INFINITY, f64::max)).collect();
        let mut pages: Vec<usize> = (0..self.n_pages).collect();
        pages.sort_by(|&a, &b| most[a].total_cmp(&most[b]).then(b.cmp(&a)));
        let mut left_out = vec![0.0; self.most.len() / self.n_pages.max(1)];
        let is_negligible = |page: &&usize| {
            left_out.iter_mut().zip(of_page(**page)).for_each(|(sum, most)| *sum += most.exp());
            policy.negligible > 0.0 && left_out.iter().all(|sum| *sum <= f64::from(policy.negligible))
        };
        let n_negligible = pages.iter().take_while(is_negligible).count();
        let n_beyond = policy.max_pages.map_or(0, |most| pages.len().saturating_sub(most));
        let mut read = pages.split_off(n_negligible.max(n_beyond));
        read.sort_unstable();
        read
    }
}

#[cfg(test)]
mod tests {
    use super::{PagePolicy, Shares};
    use lagdb_format::KeySummary;
    use proptest::prelude::*;

    const D: usize = 8;
    const PAGE: usize = 6;

    /// Keys of pages, `[n_pages, PAGE, D]`, each page around a mean of its own.
    fn keys(seed: u64, n_pages: usize, spread: f32) -> Vec<f32> {
        let mut state = seed;
        let mut unit = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n_pages)
            .flat_map(|_| {
                let mean: Vec<f32> = (0..D).map(|_| unit() * spread).collect();
                (0..PAGE * D).map(|i| mean[i % D] + unit() * 0.3).collect::<Vec<_>>()
            })
            .collect()
    }

    fn summary(page: &[f32]) -> KeySummary {
        let of = |channel: usize| page.iter().skip(channel).step_by(D).copied();
        KeySummary {
            mean: (0..D).map(|channel| of(channel).sum::<f32>() / PAGE as f32).collect(),
            min: (0..D).map(|channel| of(channel).fold(f32::INFINITY, f32::min)).collect(),
            max: (0..D).map(|channel| of(channel).fold(f32::NEG_INFINITY, f32::max)).collect(),
            pair_norm: vec![f32::INFINITY; D / 2],
        }
    }

    /// Scores of every key, and which pages are read for these queries, beside rows that weigh `exp(rows)`.
    fn read(keys: &[f32], queries: &[Vec<f32>], rows: f64, policy: PagePolicy) -> (Vec<Vec<f64>>, Vec<usize>) {
        let mut shares = Shares::default();
        let score = |query: &[f32], key: &[f32]| -> f64 { key.iter().zip(query).map(|(k, q)| f64::from(k * q)).sum() };
        let scores = queries.iter().map(|query| keys.chunks(D).map(|key| score(query, key)).collect()).collect();
        for query in queries {
            let pages = keys.chunks(PAGE * D).map(|page| {
                let found = summary(page).scores_in_place(query);
                let n = (PAGE as f64).ln();
                (n + f64::from(found.bound), n + f64::from(found.mean))
            });
            shares.add(pages, rows);
        }
        (scores, shares.read_by(policy))
    }

    proptest! {
        /// Against the softmax over everything: no weight, read or not, is further off than is negligible, for any query.
        #[test]
        fn no_weight_changes_by_more_than_is_negligible(
            seed in any::<u64>(),
            n_pages in 1..12_usize,
            spread in 0.0..4.0_f32,
            negligible in prop::sample::select(vec![1e-6_f32, 1e-3, 0.05, 0.4]),
            queries in prop::collection::vec(prop::collection::vec(-2.0..2.0_f32, D), 1..3),
            rows in -5.0..5.0_f64,
        ) {
            let keys = keys(seed, n_pages, spread);
            let policy = PagePolicy { negligible, ..PagePolicy::default() };
            let (scores, read) = read(&keys, &queries, rows, policy);
            for scores in scores {
                let all = rows.exp() + scores.iter().map(|score| score.exp()).sum::<f64>();
                let is_read = |key: usize| read.contains(&(key / PAGE));
                let some = rows.exp() + (0..scores.len()).filter(|key| is_read(*key)).map(|key| scores[key].exp()).sum::<f64>();
                let most = f64::from(negligible) + 1e-9;
                prop_assert!((rows.exp() / some - rows.exp() / all).abs() <= most);
                for (key, score) in scores.iter().enumerate() {
                    let found = if is_read(key) { score.exp() / some } else { 0.0 };
                    prop_assert!((found - score.exp() / all).abs() <= most, "{found} is {}", score.exp() / all);
                }
            }
        }
    }

    #[test]
    fn what_weighs_most_is_read_and_what_weighs_nothing_is_not() {
        let keys = keys(7, 10, 4.0);
        let queries = [keys[3 * PAGE * D..][..D].to_vec()];
        let read = |negligible, max_pages| {
            read(&keys, &queries, 0.0, PagePolicy { negligible, max_pages, ..PagePolicy::default() }).1
        };
        assert_eq!(read(0.0, None), (0..10).collect::<Vec<_>>());
        assert_eq!(read(0.0, Some(1)), [3]);
        assert_eq!(read(0.0, Some(12)).len(), 10);
        let most = read(1e-3, None);
        assert!(most.contains(&3) && most.len() < 10, "{most:?}");
        assert_eq!(read(1e-3, Some(1)), [3]);
    }
}
