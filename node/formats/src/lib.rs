//! Arrow as bytes: bodies and files of record batches. What comes in is looked at before a reader believes it, since what
//! a few bytes say of themselves may be more than there is memory. This crate knows no table.

pub mod arrow_ipc;

pub use arrow_ipc::{ArrowFile, ArrowReader};
