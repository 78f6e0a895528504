//! How a generator serves conversations: as what it holds keys and values, and what it does with a KV log.

use super::generator::Spoken;
use super::{Conversation, ConversationOptions, LanguageModel};
use crate::Result;
use crate::generate::{Admission, Generator, KvNumbers, PagePolicy};
use lagdb_format::ModelFingerprint;

/// How conversations are served. The default is a generator's own: a log that cannot be attached is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Serving {
    /// As what keys and values are held; `None` is [what fits the weights](Generator::default_kv_numbers).
    pub kv_numbers: Option<KvNumbers>,
    /// What attaching and computing cost here, or [`Admission::ATTACH`]: a log is attached where that is faster and possible, its
    /// tokens are computed where it is not, and it is refused where neither can be. It costs no reply, and is said
    /// ([`LogUse`](super::LogUse)).
    pub admission: Option<Admission>,
    /// Attend to recalled logs of int8 [as they are stored](crate::generate::Session::attach_pages), and how; what that costs and
    /// saves stands [there](crate::generate::pages). A log that is stored otherwise is an error, or where there is an
    /// [`admission`](Self::admission) becomes rows like any other, which is said. What an admission has measured is the cost of
    /// rows: logs that pages can be made of are not asked about.
    pub pages: Option<PagePolicy>,
}

/// A generator that serves conversations in a way of the caller's.
#[derive(Clone, Debug)]
pub struct ServedGenerator {
    generator: Generator,
    serving: Serving,
}

impl ServedGenerator {
    /// `generator`, served like this.
    pub fn new(generator: Generator, serving: Serving) -> Self {
        Self { generator, serving }
    }
}

impl LanguageModel for ServedGenerator {
    fn identity(&self) -> String {
        self.generator.identity()
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        Some(Generator::fingerprint(&self.generator))
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        Ok(Box::new(Spoken::new(&self.generator, options, self.serving)?))
    }
}
