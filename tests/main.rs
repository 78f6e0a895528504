//! What a user was promised, one file per promise.

mod kit;

mod round_trip;
