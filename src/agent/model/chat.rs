//! A generator that is spoken to as its chat template says: what is said is the user's part, replies are the assistant's.
//!
//! A session keeps the rows of what was said and replied, so every turn writes only what is new. What that is the template
//! decides: the whole conversation is rendered with marks in the place of replies (and of tokens that have no text), and what
//! stands after the mark of the last reply is read. A template that writes earlier turns anew, as Qwen3's leaves out what was
//! thought, therefore keeps what the model really said in its sight.

use super::generator::Spoken;
use super::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, Serving};
use crate::generate::{Chat, Date, Generator, Message};
use crate::{Error, Result};
use lagdb_format::{ElementType, KvLog, KvLogView, KvRead, ModelFingerprint};
use std::path::PathBuf;

/// A generator and how it is spoken to.
#[derive(Clone, Debug)]
pub struct ChatModel {
    generator: Generator,
    system: Option<String>,
    flags: Vec<(String, bool)>,
    serving: Serving,
    date: Option<Date>,
}

impl ChatModel {
    /// `generator`, spoken to by its own chat template.
    ///
    /// # Errors
    /// [`Error::Model`] when it has none, a damaged one, or no tokenizer.
    pub fn new(generator: Generator) -> Result<Self> {
        generator.check_chat_template()?;
        if !generator.has_tokenizer() {
            let problem = "the model has no tokenizer".to_owned();
            return Err(Error::Model { path: PathBuf::from("chat template"), problem });
        }
        Ok(Self { generator, system: None, flags: Vec::new(), serving: Serving::default(), date: None })
    }

    /// Every conversation begins with this as the system's message.
    #[must_use]
    pub fn system(self, text: impl Into<String>) -> Self {
        Self { system: Some(text.into()), ..self }
    }

    /// What day it is, for templates that say so.
    #[must_use]
    pub fn date(self, date: Date) -> Self {
        Self { date: Some(date), ..self }
    }

    /// Conversations are served like this.
    #[must_use]
    pub fn serving(self, serving: Serving) -> Self {
        Self { serving, ..self }
    }

    /// Sets a variable of the template, such as `enable_thinking` of Qwen3.
    #[must_use]
    pub fn flag(mut self, name: impl Into<String>, flag: bool) -> Self {
        self.flags.push((name.into(), flag));
        self
    }
}

impl LanguageModel for ChatModel {
    fn identity(&self) -> String {
        format!("{} in chat", self.generator.identity())
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        Some(Generator::fingerprint(&self.generator))
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        let spoken = Spoken::new(&self.generator, options, self.serving)?;
        let mut turns = Vec::new();
        turns.extend(self.system.clone().map(|text| Turn { role: "system", parts: vec![Part::Text(text)] }));
        Ok(Box::new(ChatSpoken { model: self.clone(), spoken, turns, said: Vec::new() }))
    }
}

/// Who said what.
struct Turn {
    role: &'static str,
    parts: Vec<Part>,
}

/// What is said, or what stands in its place.
enum Part {
    Text(String),
    Tokens(Vec<u32>),
    /// What the model said; its rows are in the session.
    Reply,
}

struct ChatSpoken {
    model: ChatModel,
    spoken: Spoken,
    turns: Vec<Turn>,
    /// Since the last reply.
    said: Vec<Part>,
}

impl ChatSpoken {
    /// What is new to the session: the text of the template after the last reply, tokens in their places.
    fn written(&self) -> Result<Vec<u32>> {
        let parts = || self.turns.iter().flat_map(|turn| &turn.parts);
        let marks =
            Marks::unlike(parts().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None }));
        let mut n = 0;
        let mut content = |turn: &Turn| -> String {
            let spelled = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Tokens(_) | Part::Reply => {
                    n += 1;
                    marks.of(n - 1)
                }
            };
            turn.parts.iter().map(spelled).collect()
        };
        let contents: Vec<String> = self.turns.iter().map(&mut content).collect();
        let messages = self.turns.iter().zip(&contents).map(|(turn, content)| Message { role: turn.role, content });
        let messages: Vec<Message<'_>> = messages.collect();
        let flags: Vec<(&str, bool)> = self.model.flags.iter().map(|(name, flag)| (name.as_str(), *flag)).collect();
        let generator = self.model.generator.clone();
        let date = self.model.date;
        let text = generator.chat(&Chat { messages: &messages, add_generation_prompt: true, flags: &flags, date })?;
        let mut rest = text.as_str();
        let mut unread: Vec<(bool, Option<&[u32]>, &str)> = vec![(false, None, "")];
        for (i, part) in parts().filter(|part| !matches!(part, Part::Text(_))).enumerate() {
            let mark = marks.of(i);
            let Some((before, after)) = rest.split_once(&mark) else {
                return Err(Error::invalid(
                    "messages",
                    "the chat template leaves out what was said, or turns it round",
                ));
            };
            if let Some((.., text)) = unread.last_mut() {
                *text = before;
            }
            rest = after;
            match part {
                Part::Tokens(ids) => unread.push((false, Some(ids), "")),
                _ => unread = vec![(true, None, "")],
            }
        }
        if let Some((.., text)) = unread.last_mut() {
            *text = rest;
        }
        let mut ids = Vec::new();
        for (after_reply, tokens, text) in unread {
            ids.extend_from_slice(tokens.unwrap_or_default());
            // The token that ended the reply is there already.
            let text = if after_reply { self.spoken.without_end(text)? } else { text };
            ids.extend(generator.encode(text, false)?);
        }
        Ok(self.spoken.unbegun(&ids).to_vec())
    }
}

/// Words that no text holds, one for each thing that has none.
struct Marks(usize);

impl Marks {
    fn unlike<'a>(texts: impl Iterator<Item = &'a String>) -> Self {
        // Longer than every run of the sign.
        let run = |text: &String| text.split(|c| c != SIGN).map(|run| run.chars().count()).max().unwrap_or(0);
        Self(texts.map(run).max().unwrap_or(0) + 1)
    }

    fn of(&self, i: usize) -> String {
        let sign: String = std::iter::repeat_n(SIGN, self.0).collect();
        format!("{sign}{i}{sign}")
    }
}

/// A character that stands for nothing (of a private use area).
const SIGN: char = '\u{f4af5}';

impl Conversation for ChatSpoken {
    fn attach(&mut self, log: &dyn KvRead) -> Result<LogUse> {
        self.spoken.attach(log)
    }

    fn n_attached(&self) -> usize {
        self.spoken.n_attached()
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.said.push(Part::Text(text.to_owned()));
        Ok(())
    }

    fn say_tokens(&mut self, ids: &[u32]) -> Result<()> {
        self.said.push(Part::Tokens(ids.to_vec()));
        Ok(())
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        Ok(self.reply_attending(&[], decoding, on_text)?.1)
    }

    fn reply_attending(
        &mut self,
        logs: &[KvLogView<'static>],
        decoding: &Decoding,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(Vec<LogUse>, Reply)> {
        self.turns.push(Turn { role: "user", parts: std::mem::take(&mut self.said) });
        let replied = self.written().and_then(|said| self.spoken.reply_to(&said, logs, decoding, on_text));
        match &replied {
            Ok(_) => self.turns.push(Turn { role: "assistant", parts: vec![Part::Reply] }),
            // What was said is said with the next try.
            Err(_) => self.said = self.turns.pop().map(|turn| turn.parts).unwrap_or_default(),
        }
        replied
    }

    fn capture(&mut self, lead_in_tokens: usize, element: ElementType) -> Result<KvLog> {
        self.spoken.capture(lead_in_tokens, element)
    }
}

#[cfg(test)]
mod tests {
    use super::{Marks, SIGN};

    #[test]
    fn marks_are_in_no_text() {
        let text = format!("a{SIGN}{SIGN}0{SIGN}b");
        let marks = Marks::unlike([&text].into_iter());
        assert!((0..12).all(|i| !text.contains(&marks.of(i))));
        assert!(!marks.of(11).contains(&marks.of(1)), "the sign ends the number");
    }
}
