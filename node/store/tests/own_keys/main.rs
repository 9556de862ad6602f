//! Partitions with data keys of their own: their rows lie under their keys and nowhere else, and once a
//! key is destroyed no copy of the directory that was ever made gives its rows back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod dividing;
mod erasing;
mod people;
mod power;
