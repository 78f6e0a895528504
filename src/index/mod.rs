//! What finds records without reading them all: bitmaps and vectors.
//!
//! **The index may return too much, never too little; the snapshot decides what is visible.** Bitmaps are rows of the
//! catalog and so change with its commits. Vectors are looked for among candidates that the snapshot's bitmaps name.

pub(crate) mod bitmaps;
pub(crate) mod vector;
