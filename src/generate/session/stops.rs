//! Stop strings: text that ends a response, found while it grows, wherever tokens begin and end.
//!
//! What could still become a stop is held back; so of a stop not a letter is ever said.

use crate::error::Result;
use crate::generate::generator::Generator;
use crate::generate::sampling::Sampling;
use crate::generate::tokenizer::TextStream;

/// What tokens say, up to a stop. It goes on where the store is asked in between.
pub(super) struct Speech<'a> {
    /// `None` for a model without a tokenizer: its tokens say nothing.
    stream: Option<TextStream<'a>>,
    stops: Stops<'a>,
    said: String,
}

impl<'a> Speech<'a> {
    /// Nothing yet.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when there are stops and no tokenizer.
    pub(super) fn new(generator: &'a Generator, sampling: &'a Sampling) -> Result<Self> {
        let needs_tokenizer = generator.has_tokenizer() || !sampling.stop.is_empty();
        let stream = needs_tokenizer.then(|| generator.tokenizer()).transpose()?.map(|tokenizer| tokenizer.stream());
        Ok(Self { stream, stops: Stops::new(&sampling.stop), said: String::new() })
    }

    /// What may be said once this token is chosen.
    pub(super) fn push(&mut self, id: u32) -> Result<Said> {
        let grown = self.stream.as_mut().map(|stream| stream.push(id)).transpose()?;
        let said = self.stops.push(&grown.unwrap_or_default());
        self.said.push_str(said.text());
        Ok(said)
    }

    /// What was held back of a text that ends without a stop.
    pub(super) fn rest(&mut self) -> String {
        let rest = self.stops.rest();
        self.said.push_str(&rest);
        rest
    }

    /// All that was said.
    pub(super) fn said(&self) -> &str {
        &self.said
    }
}

/// Watches a text for the first of its stops.
struct Stops<'a> {
    stops: &'a [String],
    /// The end of the text, which a stop begins with.
    held: String,
}

/// What may be said of a text that grew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// So much, and the text goes on.
    GoesOn(String),
    /// So much before this stop.
    Stopped(String, String),
}

impl Said {
    fn text(&self) -> &str {
        match self {
            Self::GoesOn(text) | Self::Stopped(text, _) => text,
        }
    }
}

impl<'a> Stops<'a> {
    fn new(stops: &'a [String]) -> Self {
        Self { stops, held: String::new() }
    }

    /// The text grew by `text`; of stops that end in it, the one that begins first counts, and of those the shortest.
    fn push(&mut self, text: &str) -> Said {
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop.len(), stop)));
        if let Some((at, _, stop)) = found.min() {
            self.held.truncate(at);
            return Said::Stopped(std::mem::take(&mut self.held), stop.clone());
        }
        let begins_stop = |rest: &str| self.stops.iter().any(|stop| stop.starts_with(rest));
        let held = self.held.char_indices().map(|(at, _)| at).find(|&at| begins_stop(&self.held[at..]));
        let rest = self.held.split_off(held.unwrap_or(self.held.len()));
        Said::GoesOn(std::mem::replace(&mut self.held, rest))
    }

    /// What was held back of a text that ends without a stop.
    fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::{Said, Stops};
    use proptest::prelude::*;

    #[test]
    fn a_stop_is_found_across_pieces_and_its_beginnings_are_held_back() {
        let stops = ["\nUser:".to_owned(), "END".to_owned()];
        let mut watch = Stops::new(&stops);
        assert_eq!(watch.push("Yes.\nU"), Said::GoesOn("Yes.".to_owned()));
        assert_eq!(watch.push("se"), Said::GoesOn(String::new()));
        assert_eq!(watch.push("ful. E"), Said::GoesOn("\nUseful. ".to_owned()));
        assert_eq!(watch.push("E"), Said::GoesOn("E".to_owned()));
        assert_eq!(watch.push("ND\nUser:"), Said::Stopped(String::new(), "END".to_owned()));
    }

    proptest! {
        /// In whatever pieces a text comes, what is said is the text before the first stop.
        #[test]
        fn pieces_do_not_matter(text in "[abé]{0,24}", stops in prop::collection::vec("[abé]{1,4}", 0..3), cuts in any::<u32>()) {
            let first = stops.iter().filter_map(|stop| text.find(stop.as_str())).min();
            let mut watch = Stops::new(&stops);
            let (mut said, mut stopped, mut piece) = (String::new(), false, String::new());
            for (i, c) in text.chars().enumerate() {
                piece.push(c);
                if cuts >> (i % 32) & 1 == 0 && i + 1 < text.chars().count() {
                    continue;
                }
                match watch.push(&std::mem::take(&mut piece)) {
                    Said::GoesOn(text) => said.push_str(&text),
                    Said::Stopped(text, stop) => {
                        said.push_str(&text);
                        prop_assert!(stops.contains(&stop));
                        stopped = true;
                        break;
                    }
                }
            }
            if !stopped {
                said.push_str(&watch.rest());
            }
            prop_assert_eq!(stopped, first.is_some());
            // A stop that ends earlier wins over one that begins earlier and ends later.
            match first {
                None => prop_assert_eq!(said, text),
                Some(at) => {
                    prop_assert!(text.starts_with(&said) && said.len() >= at);
                    prop_assert!(stops.iter().all(|stop| !said.contains(stop.as_str())), "{}", said);
                }
            }
        }
    }
}
