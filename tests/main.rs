//! What a user was promised, one file per promise.

mod generate_attach;
mod generate_config;
mod generate_context_limit;
mod generate_damaged_files;
mod generate_matches_transformers;
mod generate_model_mismatch;
mod generate_sampling;
mod generate_sessions;
mod generate_sliding_window;
mod generate_support;
