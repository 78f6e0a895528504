//! What a user was promised, one file per promise.

mod kit;

mod a_backup_is_restored_exactly;
mod a_crash_leaves_before_or_after;
mod a_disk_budget_is_kept;
mod a_full_disk_harms_nothing;
mod a_killed_process_loses_nothing;
mod a_lost_or_foreign_file_is_named;
mod a_purge_is_finished_whatever_happens;
mod a_rolled_back_catalog_is_noticed;
mod a_snapshot_never_changes;
mod a_transaction_happens_or_not;
mod agent_consolidates;
mod agent_distills;
mod agent_judges;
mod agent_learns;
mod agent_lives_in_a_world;
mod agent_scales;
mod agent_streams_survive_a_kill;
mod agent_warns;
mod an_older_catalog_opens;
mod calls_that_do_not_fit_are_refused;
mod compaction_keeps_what_lives;
mod damage_is_noticed;
mod disk_use_stays_in_bounds;
mod earlier_commits_stay_readable;
mod filters_agree_with_the_records;
mod guard_knows_before_the_action;
mod many_writers_share_a_sync;
mod one_opener_at_a_time;
mod open_files_stay_few;
mod orphans_are_unlinked;
mod purge_leaves_nothing;
mod purges_get_on_with_others;
mod reading_beside_a_writer;
mod reembedding_cuts_over_at_once;
mod round_trip;
mod scopes_see_nothing_of_each_other;
mod search_says_why;
mod simulator;
mod spaces_are_not_confused;
mod store_ops;
mod strategies_earn_what_they_did;
mod the_index_may_be_destroyed;
mod the_kept_corpus_is_replayed;
mod the_same_content_is_one_record;
mod tidy;
mod what_is_over_is_not_found;

#[cfg(feature = "openai")]
mod agent_speaks_with_a_server;
#[cfg(feature = "generate")]
mod embed_bert;
#[cfg(feature = "generate")]
mod embed_hidden;
#[cfg(feature = "generate")]
mod generate_admits;
#[cfg(feature = "generate")]
mod generate_attach;
#[cfg(feature = "generate")]
mod generate_byte_cache;
#[cfg(feature = "generate")]
mod generate_chat;
#[cfg(feature = "generate")]
mod generate_chat_bounds;
#[cfg(feature = "generate")]
mod generate_chat_macros;
#[cfg(feature = "generate")]
mod generate_config;
#[cfg(feature = "generate")]
mod generate_context_limit;
#[cfg(feature = "generate")]
mod generate_damaged_files;
#[cfg(feature = "generate")]
mod generate_gguf;
#[cfg(feature = "generate")]
mod generate_gguf_tokenizer;
#[cfg(feature = "generate")]
mod generate_half_cache;
#[cfg(feature = "generate")]
mod generate_learns;
#[cfg(feature = "generate")]
mod generate_matches_transformers;
#[cfg(feature = "generate")]
mod generate_model_mismatch;
#[cfg(feature = "generate")]
mod generate_pages;
#[cfg(feature = "generate")]
mod generate_policies;
#[cfg(feature = "generate")]
mod generate_precision;
#[cfg(feature = "generate")]
mod generate_recall;
#[cfg(feature = "generate")]
mod generate_sampling;
#[cfg(feature = "generate")]
mod generate_sessions;
#[cfg(feature = "generate")]
mod generate_sliding_window;
#[cfg(feature = "generate")]
mod generate_speaks;
#[cfg(feature = "generate")]
mod generate_stops;
#[cfg(feature = "generate")]
mod generate_streams;
#[cfg(feature = "generate")]
mod generate_support;
