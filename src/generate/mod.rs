//! The generator: one decoder described by data, whose layers attend to stored KV logs.
//!
//! ```no_run
//! use lagdb::format::ElementType;
//! use lagdb::generate::{Generator, Sampling, Selection, SessionOptions};
//! use std::ops::ControlFlow;
//!
//! let generator = Generator::load("models/SmolLM2-135M-Instruct")?;
//! let mut session = generator.session(SessionOptions::default())?;
//! session.generate("Which city is Nova in?", &Sampling::greedy(64), |_| ControlFlow::Continue(()))?;
//! let log = session.capture(Selection::LastResponse, ElementType::F16)?;
//!
//! let mut later = generator.session(SessionOptions::default())?;
//! later.attach(&log)?; // positions 0.., without computing one token
//! let response = later.generate("And who works there?", &Sampling::greedy(64), |_| ControlFlow::Continue(()))?;
//! println!("{} ({} tokens attached)", response.text, response.attached_tokens);
//! # Ok::<(), lagdb::Error>(())
//! ```
//!
//! | question | file |
//! |---|---|
//! | what can the model be? | [`config`], `config/json.rs` and `config/gguf.rs` for the spellings |
//! | where do its weights come from? | `model_files`, `weights`, `gguf`, `decoder/load.rs` |
//! | as what are they held? | [`precision`], `matrix`, `blocks` (once, where kernels want them packed), `table` |
//! | which KV logs fit it? | `fingerprint` |
//! | how does it want to be spoken to? | [`chat_template`], `tokenizer` |
//! | what does it compute? | `decoder`, `attention`, `mlp`, `rms_norm`, `linear`, `matrix`, `product`, `vector`, [`rope`], `visibility` (the mask), [`sources`] (what is attached, and how loud) |
//! | where do keys and values lie? | [`kv_cache`], `byte_rows`, `heads`, `room` |
//! | what is attached without becoming rows? | [`pages`] |
//! | what decides how fast? | `half_attention`, `byte_attention`, `simd`, `parallel` |
//! | what does a user hold? | [`generator`], [`session`] with attach (first, or while it computes), capture, generation, recall and admission, [`sampling`] |
//!
//! Nothing here knows of the store: both sides speak [`KvLog`](lagdb_format::KvLog),
//! [`KvRead`](lagdb_format::KvRead) and [`ModelFingerprint`](lagdb_format::ModelFingerprint).
//!
//! Large products, and attention over many rows, run on candle's thread pool. Set `RAYON_NUM_THREADS` before the program
//! starts: 1 keeps both on the calling thread, which is fastest for small models and for many sessions at once; unset, candle
//! counts the processors anew for every product. Large logs that are read while a prompt is computed are read by a thread of
//! their own in any case, where there is a second processor.

mod attention;
mod blocks;
mod byte_attention;
mod byte_rows;
pub mod chat_template;
pub mod config;
mod decoder;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
pub mod generator;
mod gguf;
mod half_attention;
mod heads;
pub mod kv_cache;
mod linear;
mod matrix;
mod mlp;
pub mod model_files;
pub mod pages;
mod parallel;
pub mod precision;
mod product;
mod random;
mod rms_norm;
mod room;
pub mod rope;
pub mod sampling;
pub mod session;
mod simd;
pub mod sources;
mod table;
mod tensor;
mod tokenizer;
mod vector;
mod visibility;
mod weights;

pub use chat_template::{Chat, Date, Message};
pub use config::ModelConfig;
pub use generator::Generator;
pub use kv_cache::KvNumbers;
pub use model_files::ModelFiles;
pub use pages::{PagePolicy, PagesRead};
pub use precision::{LoadOptions, WeightPrecision, WeightsInfo};
pub use sampling::Sampling;
pub use session::{
    Admission, Admitted, AttachPolicy, Attachment, Cancellation, CaptureBudget, CapturePolicy, Choice, FinishReason,
    Importance, Layout, LogOrder, LogPositions, Moment, NewToken, PagedLogs, Prompt, RecallPolicy, Recalled, Recompute,
    Response, Selection, Session, SessionOptions,
};
pub use sources::Emphasis;
