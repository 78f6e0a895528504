//! The 254 words of the demo world, in the order of their token ids, and the tokenizer file that maps one to the other.
//!
//! Ids 0 to 13 are marks and relations; then come 48 words of each class. Words are split at white space, one token a
//! word, so a text of `n` words is always `n` tokens.

use crate::word_level;
use serde_json::Value;
use std::fmt;
use std::sync::LazyLock;

const SPECIAL: &str = "\
    <pad> <bos> . question of ? think answer <end> lookup employer city product boss \
";
const PERSONS: &str = "\
    Ada Bob Cora Dan Eva Finn Gia Hugo Ida Jack Kara Liam Mona Ned Olga Paul Quin Rosa Sam Tina Ugo Vera Will Xena \
    Yann Zoe Amir Bela Chen Dora Emil Faye Glen Hana Ivan Jade Kofi Lena Milo Nora Omar Pia Raj Sara Theo Uma Vito \
    Wren \
";
const ORGS: &str = "\
    Orbit Nimbus Vertex Quasar Zenith Aurora Helix Krypton Lumen Matrix Nova Onyx Prism Quartz Raven Sigma Titan \
    Umbra Vortex Wexler Xenon Yonder Zephyr Acme Boreal Cobalt Delta Ember Fable Garnet Harbor Indigo Jasper Kestrel \
    Lotus Mosaic Nectar Opal Pixel Quill Ripple Summit Thistle Unity Velvet Willow Yarrow Zircon \
";
const CITIES: &str = "\
    Lima Oslo Cairo Paris Rome Delhi Tokyo Quito Lagos Accra Sofia Minsk Riga Perth Busan Hanoi Dakar Tunis Milan \
    Turin Porto Leeds York Bonn Kyiv Baku Doha Dubai Macau Osaka Kyoto Nara Cusco Sucre Havana Boston Austin Denver \
    Dallas Miami Tampa Reno Tucson Salem Fargo Boise Provo Ogden \
";
const PRODUCTS: &str = "\
    tea chips boats bikes lamps shoes clocks drones glass paper steel soap toys pens wine bread cheese coffee silk \
    wool cars vans tires pumps valves ropes tents skis kites drums flutes harps books maps lenses robots motors fans \
    ovens irons bricks tiles doors locks seeds honey salt candles \
";
const BOSSES: &str = "\
    Abbott Baxter Cruz Dalton Ellis Foster Grant Hayes Irwin Jensen Keller Lowell Mercer Nolan Osborn Parker Quinn \
    Reyes Sutton Turner Upton Vargas Walsh Yates Zimmer Archer Barker Conway Drake Emery Fisher Gibbs Harper Ingram \
    Jarvis Kramer Lambert Marsh Norris Oakley Pratt Ramsey Sawyer Tucker Vance Wagner Wilder Yorke \
";

/// The number of words of each class.
const CLASS_LEN: usize = 48;
const N_SPECIAL: usize = 14;

/// The number of words, which is the vocabulary size of the demo model.
pub const VOCABULARY_LEN: usize = N_SPECIAL + 5 * CLASS_LEN;

static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let lists = [SPECIAL, PERSONS, ORGS, CITIES, PRODUCTS, BOSSES];
    let words: Vec<_> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
    assert_eq!(words.len(), VOCABULARY_LEN, "the word lists are of fixed length");
    words
});

/// One word of the demo world; its id is its token id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(u8);

impl Word {
    /// Fills up short rows of a batch; no task contains it.
    pub const PAD: Word = Word(0);
    /// The first word of every prompt.
    pub const BOS: Word = Word(1);
    /// Opens a question.
    pub const QUESTION: Word = Word(3);
    /// The last word of a prompt and the first of a log.
    pub const THINK: Word = Word(6);
    /// The last word of every response.
    pub const END: Word = Word(8);
    /// Asks the environment for the facts of the entity just named.
    pub const LOOKUP: Word = Word(9);
    /// The relation between a person and an organisation.
    pub const EMPLOYER: Word = Word(10);
    /// The relation between an organisation and a city.
    pub const CITY: Word = Word(11);
    /// The relation between an organisation and a product.
    pub const PRODUCT: Word = Word(12);
    /// The relation between an organisation and a boss.
    pub const BOSS: Word = Word(13);

    /// The token id of this word, in `0..VOCABULARY_LEN`.
    pub fn id(self) -> u32 {
        u32::from(self.0)
    }

    /// The word of a token id, or `None` where the vocabulary has none.
    pub fn from_id(id: u32) -> Option<Word> {
        u8::try_from(id).ok().filter(|&id| usize::from(id) < VOCABULARY_LEN).map(Word)
    }

    /// The word spelled `text`, or `None` if the vocabulary lacks it.
    pub fn parse(text: &str) -> Option<Word> {
        let id = WORDS.iter().position(|word| *word == text)?;
        Word::from_id(id as u32)
    }

    /// The spelling.
    pub fn text(self) -> &'static str {
        WORDS[usize::from(self.0)]
    }

    /// The class this word belongs to, or `None` for marks and relations.
    pub fn class(self) -> Option<WordClass> {
        let index = usize::from(self.0).checked_sub(N_SPECIAL)? / CLASS_LEN;
        WordClass::ALL.get(index).copied()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The five classes of names, 48 words each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordClass {
    /// First names; a person has an employer.
    Person,
    /// Organisations; each has a city, a product and a boss.
    Org,
    /// Cities.
    City,
    /// Products.
    Product,
    /// Last names of bosses.
    Boss,
}

impl WordClass {
    const ALL: [WordClass; 5] = [Self::Person, Self::Org, Self::City, Self::Product, Self::Boss];

    /// The token ids of this class.
    pub fn ids(self) -> std::ops::Range<u32> {
        let first = (N_SPECIAL + self as usize * CLASS_LEN) as u32;
        first..first + CLASS_LEN as u32
    }

    /// The words of this class.
    pub fn words(self) -> impl Iterator<Item = Word> {
        self.ids().map(|id| Word(id as u8))
    }
}

/// Words as a text that the tokenizer maps back to the same words.
pub fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text()).collect::<Vec<_>>().join(" ")
}

/// The content of `tokenizer.json`, in the format of Hugging Face tokenizers: word level, split at white space.
pub fn tokenizer_json() -> Value {
    let special = [Word::PAD, Word::BOS, Word::END].map(|word| (word.id(), word.text()));
    word_level::tokenizer_json(&WORDS, &special)
}
