//! The ways of finding that are compared: each is an embedding space of its own in the same database, filled from what was
//! stored and asked by the same `search`.
//!
//! `plain n-grams` is the control: counts of the 3- to 5-grams of characters, their cosine, and nothing else. What the
//! fitted ones know of words (how many conversations of the tuned half have them: Spärck Jones, 1972,
//! <https://doi.org/10.1108/eb026526>) they know from texts without outcomes.

use super::{Half, Trial};
use crate::failure::Failure;
use lagdb::{Embedding, EmbeddingSpace, LexicalEmbedder};
use std::collections::BTreeMap;

/// Numbers of the spaces made here; so many that features seldom meet.
const DIM: usize = 1 << 14;

/// One way to embed what is stored, and what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Numbers that mean nothing.
    Random,
    /// The first message, by its 3- to 5-grams of characters.
    PlainGrams,
    /// The first message, by the embedder that lagdb brings.
    Lexical,
    /// The first message, by words, pairs and n-grams weighted by how rare they are.
    Fitted,
    /// The same, of what is stored also all that the user said later.
    FittedPassages,
    /// The first two messages on both sides, without those weights: what one more message would be worth.
    TwoMessages,
}

impl Signal {
    /// All, simplest first.
    pub(super) const ALL: [Self; 6] =
        [Self::Random, Self::PlainGrams, Self::Lexical, Self::Fitted, Self::FittedPassages, Self::TwoMessages];

    /// In a few words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::PlainGrams => "plain n-grams",
            Self::Lexical => "lexical (default)",
            Self::Fitted => "fitted words",
            Self::FittedPassages => "fitted, all passages",
            Self::TwoMessages => "with second message",
        }
    }
}

/// All signals, ready to embed.
pub(super) struct Embedders {
    lexical: LexicalEmbedder,
    spaces: BTreeMap<&'static str, EmbeddingSpace>,
    rarity: Rarity,
}

impl Embedders {
    /// Knows the words of the tuned half.
    ///
    /// # Errors
    /// When lagdb refuses a space.
    pub(super) fn new(trials: &[Trial]) -> Result<Self, Failure> {
        let tuned = trials.iter().filter(|trial| trial.half == Half::Tuned);
        let rarity = Rarity::of(tuned.map(|trial| trial.said.join("\n")));
        let space =
            |signal: Signal| Ok((signal.name(), EmbeddingSpace::new(format!("replay {}", signal.name()), DIM)?));
        let spaces = Signal::ALL.into_iter().map(space).collect::<Result<_, Failure>>()?;
        Ok(Self { lexical: LexicalEmbedder::default(), spaces, rarity })
    }

    /// The space of a signal. That of the default embedder is the one that the trials were stored with.
    pub(super) fn space(&self, signal: Signal) -> EmbeddingSpace {
        match signal {
            Signal::Lexical => self.lexical.space().clone(),
            _ => self.spaces.get(signal.name()).unwrap_or(self.lexical.space()).clone(),
        }
    }

    /// A trial as it is stored.
    ///
    /// # Errors
    /// When a text has nothing to embed.
    pub(super) fn stored(&self, signal: Signal, trial: &Trial) -> Result<Embedding, Failure> {
        match signal {
            Signal::FittedPassages => {
                let whole = self.unit(&self.rarity.weigh(words_pairs_grams(&trial.said.join("\n"))));
                let first = self.unit(&self.rarity.weigh(words_pairs_grams(&trial.trajectory.task)));
                let sum = first.iter().zip(&whole).map(|(a, b)| a + b).collect();
                Ok(Embedding::new(&self.space(signal), sum)?)
            }
            _ => self.asked(signal, trial),
        }
    }

    /// A trial as it is asked for.
    ///
    /// # Errors
    /// When a text has nothing to embed.
    pub(super) fn asked(&self, signal: Signal, trial: &Trial) -> Result<Embedding, Failure> {
        let first = &trial.trajectory.task;
        let numbers = match signal {
            Signal::Lexical => return Ok(self.lexical.embed(first)),
            Signal::TwoMessages => {
                let two: Vec<&str> = trial.said.iter().take(2).map(String::as_str).collect();
                self.unit(&words_pairs_grams(&two.join("\n")))
            }
            Signal::Random => noise(&format!("{} {}", trial.task, trial.attempt)),
            Signal::PlainGrams => self.unit(&plain_grams(first)),
            Signal::Fitted | Signal::FittedPassages => self.unit(&self.rarity.weigh(words_pairs_grams(first))),
        };
        Ok(Embedding::new(&self.space(signal), numbers)?)
    }

    /// The features as a unit vector.
    fn unit(&self, features: &Features) -> Vec<f32> {
        let mut sum = vec![0.0f32; DIM];
        for (feature, value) in features {
            let hash = hash(feature);
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(number) = sum.get_mut(hash as usize % DIM) {
                *number += sign * value;
            }
        }
        let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        match norm > 0.0 {
            true => sum.iter_mut().for_each(|x| *x /= norm),
            // A text without words is like others without words.
            false => sum.iter_mut().take(1).for_each(|x| *x = 1.0),
        }
        sum
    }
}

/// What is counted in a text.
type Features = BTreeMap<String, f32>;

/// How many texts have a feature.
struct Rarity {
    n_texts: f32,
    n_having: BTreeMap<String, f32>,
}

impl Rarity {
    fn of(texts: impl Iterator<Item = String>) -> Self {
        let (mut n_texts, mut n_having) = (0.0, BTreeMap::new());
        for text in texts {
            n_texts += 1.0;
            for feature in words_pairs_grams(&text).into_keys() {
                *n_having.entry(feature).or_insert(0.0) += 1.0;
            }
        }
        Self { n_texts, n_having }
    }

    fn weigh(&self, mut features: Features) -> Features {
        for (feature, value) in &mut features {
            let n = self.n_having.get(feature).copied().unwrap_or(0.0);
            *value *= ((self.n_texts + 1.0) / (n + 0.5)).ln().max(0.0);
        }
        features
    }
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn plain_grams(text: &str) -> Features {
    let letters: Vec<char> = words(text).join(" ").chars().collect();
    let mut features = Features::new();
    for gram in (3..=5).flat_map(|n| letters.windows(n)) {
        *features.entry(gram.iter().collect()).or_insert(0.0) += 1.0;
    }
    features
}

/// Words, pairs of neighbours and 4- to 6-grams inside words; longer words count more, repeated ones less than twice.
fn words_pairs_grams(text: &str) -> Features {
    let words = words(text);
    let weight = |word: &str| (word.chars().count() as f32).powf(0.8);
    let mut counts: BTreeMap<String, (f32, f32)> = BTreeMap::new();
    let mut add = |feature: String, weight: f32| counts.entry(feature).or_insert((0.0, weight)).0 += 1.0;
    for word in &words {
        add(format!("w {word}"), weight(word));
        let padded: Vec<char> = format!(" {word} ").chars().collect();
        for gram in (4..=6).flat_map(|n| padded.windows(n)) {
            add(format!("g {}", gram.iter().collect::<String>()), 0.3 * weight(word));
        }
    }
    for pair in words.windows(2) {
        let heavier = pair.iter().map(|word| weight(word)).fold(0.0, f32::max);
        add(format!("p {}", pair.join(" ")), 0.5 * heavier);
    }
    counts.into_iter().map(|(feature, (n, weight))| (feature, weight * (1.0 + n.ln()))).collect()
}

fn noise(name: &str) -> Vec<f32> {
    (0..DIM).map(|i| if hash(&format!("{name} {i}")) & 1 == 0 { 1.0 } else { -1.0 }).collect()
}

/// FNV-1a, mixed so that all bits depend on all letters.
fn hash(text: &str) -> u64 {
    let fnv =
        text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
