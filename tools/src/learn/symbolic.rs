//! The ceiling: a "model" that follows the teacher's rules exactly, spoken with in the same words.
//!
//! It reads what was said, finds what is asked at its end, and answers as the language model was trained to; among tools
//! that are all alike it chooses by the seed.

use crate::tool_choice::{Choice, Item, Knowledge, Word, contrast, lessons, looks_like_success, text, verdict, words};
use crate::world::Rng;
use lagdb::agent::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply};
use lagdb::format::{ElementType, KvLog, KvRead};
use lagdb::{Error, Result};

/// Who it is.
const IDENTITY: &str = "the teacher's rules";

/// A model without weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Symbolic;

#[derive(Default)]
struct Spoken {
    said: Vec<Word>,
}

impl LanguageModel for Symbolic {
    fn identity(&self) -> String {
        IDENTITY.to_owned()
    }

    fn open(&self, _: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        Ok(Box::new(Spoken::default()))
    }
}

impl Conversation for Spoken {
    fn attach(&mut self, _: &dyn KvRead) -> Result<LogUse> {
        Err(no_kv_logs())
    }

    fn say(&mut self, said: &str) -> Result<()> {
        let words = words(said).ok_or_else(|| Error::invalid("said", format!("{said:?} is not of this world")))?;
        self.said.extend(words);
        Ok(())
    }

    fn say_tokens(&mut self, _: &[u32]) -> Result<()> {
        Err(no_kv_logs())
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        let (reply, probability) = self.answer(&mut Rng::new(decoding.seed))?;
        self.said.extend(&reply);
        let text = text(&reply);
        on_text(&text);
        let first_log_prob = decoding.score.then_some(probability.ln());
        Ok(Reply { text, n_tokens: reply.len(), first_log_prob, ..Reply::default() })
    }

    fn capture(&mut self, _: usize, _: ElementType) -> Result<KvLog> {
        Err(no_kv_logs())
    }
}

impl Spoken {
    /// What is said next, and how sure its first word is.
    fn answer(&self, rng: &mut Rng) -> Result<(Vec<Word>, f64)> {
        let begin = self.said.iter().rposition(|word| *word == Word::TASK);
        let act = self.said.iter().rposition(|word| *word == Word::ACT);
        let (Some(begin), Some(act), Some(last)) = (begin, act, self.said.last()) else {
            return Err(Error::invalid("said", "no task is named"));
        };
        let site = self.said[begin + 1];
        let lived = &self.said[act + 1..];
        match *last {
            Word::JUDGE => {
                let (success, weight) = looks_like_success(&steps(lived));
                Ok((vec![verdict(success)], if success { 0.5 + 0.5 * weight } else { 1.0 }))
            }
            Word::WRITE => {
                let items = match self.said[self.said.len() - 2] {
                    label @ (Word::SUCCESS | Word::FAILURE) => lessons(site, &steps(lived), label == Word::SUCCESS),
                    _ => {
                        let mut attempts = lived.split(|word| *word == Word::AGAIN).map(steps);
                        contrast(site, &attempts.next().unwrap_or_default(), &attempts.collect::<Vec<_>>())
                    }
                };
                Ok((items.into_iter().flat_map(Item::words).chain([Word::END]).collect(), 1.0))
            }
            subgoal => {
                let mut known = Knowledge::default();
                let items = self.said[..begin].get(1..).unwrap_or_default().chunks(4).filter_map(Item::parse);
                let about = items.filter(|item| (item.site, item.subgoal) == (site, subgoal));
                about.for_each(|item| known.note(item.tool, item.works));
                steps(lived).into_iter().filter(|step| step.subgoal == subgoal).for_each(|step| known.see(step));
                let allowed: Vec<usize> = known.allowed().numbers().collect();
                let tool = Word::tool(rng.pick(&allowed)).unwrap_or(Word::PAD);
                Ok((vec![tool], 1.0 / allowed.len() as f64))
            }
        }
    }
}

/// The steps that are whole: site, subgoal, tool, page.
fn steps(lived: &[Word]) -> Vec<Choice> {
    let lived: Vec<Word> = lived.iter().copied().filter(|word| *word != Word::AGAIN).collect();
    let step = |words: &[Word]| match *words {
        [site, subgoal, tool, page] if site.is_site() => Some(Choice { subgoal, tool, page }),
        _ => None,
    };
    lived.chunks_exact(4).map_while(step).collect()
}

fn no_kv_logs() -> Error {
    Error::KvLogsUnsupported { model: IDENTITY.to_owned() }
}
