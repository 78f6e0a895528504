//! How commands have their generator serve conversations: the flags that say so.

use lagdb::agent::Serving;
use lagdb::generate::{Generator, KvNumbers};

/// How keys and values of a conversation are held.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// As what the keys and values of a conversation are held: int8 is a quarter of f32, and logits change by hundredths
    /// [default: f16 for quantized weights where the processor widens it fast, else f32].
    #[arg(long, value_enum, value_name = "NUMBERS")]
    kv: Option<Kv>,
}

/// Numbers of keys and values.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kv {
    F32,
    F16,
    Int8,
}

impl Options {
    /// What a conversation is served with.
    pub fn serving(self) -> Serving {
        Serving { kv_numbers: self.kv.map(KvNumbers::from), ..Serving::default() }
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
