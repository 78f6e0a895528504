//! A strategy item of this world: four words, `Delta search api works`, and what people read instead.

use super::Word;

/// What was learned of one tool for one subgoal at one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Item {
    /// Where.
    pub site: Word,
    /// What for.
    pub subgoal: Word,
    /// With what.
    pub tool: Word,
    /// Whether it works; otherwise it fails.
    pub works: bool,
}

impl Item {
    /// `Delta search api works`: the shape of a step with its page, so that one way of reading serves both.
    pub fn words(self) -> [Word; 4] {
        [self.site, self.subgoal, self.tool, if self.works { Word::WORKS } else { Word::FAILS }]
    }

    /// The item that four words say.
    pub fn parse(words: &[Word]) -> Option<Item> {
        let &[site, subgoal, tool, verdict] = words else { return None };
        let known = site.is_site() && subgoal.is_subgoal() && tool.tool_number().is_some();
        let works = match verdict {
            Word::WORKS => true,
            Word::FAILS => false,
            _ => return None,
        };
        known.then_some(Item { site, subgoal, tool, works })
    }

    /// `Use api for search at Delta`.
    pub fn english(self) -> String {
        let Item { site, subgoal, tool, works } = self;
        format!("{} {tool} for {subgoal} at {site}", if works { "Use" } else { "Avoid" })
    }
}
