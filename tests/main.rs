//! What a user was promised, one file per promise.
