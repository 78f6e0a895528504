//! How commands have their generator serve conversations: the flags that say so.

use lagdb::agent::Serving;
use lagdb::format::Encoding;
use lagdb::generate::{Generator, KvNumbers, PagePolicy};
use lagdb::{Database, KvStorage, Options};

/// As what keys and values are held, and how recalled KV logs are attended to.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Flags {
    /// As what the keys and values of a conversation are held [default: f16 for quantized weights, else f32].
    ///
    /// f16 is half of f32, int8 about a quarter; logits change by thousandths and by hundredths. Without the flag quantized weights
    /// have f16 only where the processor widens it fast.
    #[arg(long, value_enum, value_name = "NUMBERS")]
    kv: Option<Kv>,
    /// Attend to recalled KV logs as rows of the KV cache, or as they are stored, in pages of int8.
    ///
    /// Pages cost less to attach; with many prompt tokens after them they cost more to read. With them new logs are stored as int8; a
    /// log that is stored otherwise becomes rows, and it is said why.
    #[arg(long, value_enum, default_value_t, value_name = "AS")]
    attach: Attach,
}

/// What recalled logs become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Attach {
    #[default]
    Rows,
    Pages,
}

/// Numbers of keys and values.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kv {
    F32,
    F16,
    Int8,
}

impl Flags {
    /// What a conversation is served with.
    pub fn serving(self) -> Serving {
        let pages = self.by_pages().then(PagePolicy::default);
        Serving { kv_numbers: self.kv.map(KvNumbers::from), pages, ..Serving::default() }
    }

    /// How a database is opened whose logs are attended to like this.
    pub fn database(self) -> Options {
        match self.attach {
            Attach::Rows => Database::options(),
            Attach::Pages => Database::options().kv_storage(KvStorage::Encoding(Encoding::Int8)),
        }
    }

    /// Whether recalled logs are attended to in their pages.
    pub fn by_pages(self) -> bool {
        self.attach == Attach::Pages
    }

    /// The word for what `generator` holds keys and values as.
    pub fn kv_name(self, generator: &Generator) -> &'static str {
        self.kv.map_or_else(|| generator.default_kv_numbers(), KvNumbers::from).name()
    }
}

impl From<Kv> for KvNumbers {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::F32 => Self::F32,
            Kv::F16 => Self::F16,
            Kv::Int8 => Self::Int8,
        }
    }
}
