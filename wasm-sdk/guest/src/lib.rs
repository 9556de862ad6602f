//! Write activestore plugins in Rust. A plugin is a crate of type `cdylib` with one macro in it:
//!
//! - [`scalar!`]: functions that SQL can call, one Rust function each;
//! - [`aggregate!`]: functions over groups of rows, a state and a few methods each ([`Group`]);
//! - [`processor!`]: a type that sees each batch of rows as it is written ([`Processor`]);
//! - [`model!`]: a type that loads an artifact and scores columns ([`Model`]);
//! - [`merge!`]: functions that join two values of one cell, one Rust function each;
//! - [`filter!`]: a type that says what of a table's rows leaves the node ([`Filter`]).
//!
//! ```
//! activestore_plugin::scalar! {
//!     /// Degrees Fahrenheit to degrees Celsius.
//!     fn f_to_c(f: f64) -> f64 { (f - 32.0) / 1.8 }
//! }
//! # fn main() { assert_eq!(f_to_c(212.0), 100.0); }
//! ```
//!
//! Build it for `wasm32-unknown-unknown`; `activestore plugin build` does that and makes a component
//! of it. A plugin runs in a sandbox without clock, randomness, files or network: what it knows is
//! what it is given. A panic is logged with its place and ends the call; the row is not lost.

pub mod aggregate;
pub mod bindings;
pub mod bitmap;
pub mod block;
pub mod column;
pub mod filter;
pub mod fixture;
pub mod http;
pub mod log;
pub mod merge;
pub mod model;
pub mod nn;
pub mod processor;
pub mod reach;
pub mod scalar;
pub mod series;
pub mod state;
pub mod table;

pub use aggregate::Group;
pub use bindings::imports::activestore::plugin::types::{
    Batch, Column, Error, Field, Parameter, ScalarType, Values, VarBytes,
};
pub use filter::{Filter, FilterSpec, Filtered};
pub use model::{Model, Signature};
pub use processor::{Config, Output, Processed, Processor, Spec, Timer};
pub use reach::{clock, random, tables};
pub use state::{Found, MemoryState, State};

/// What the macros expand to; not to be used by hand.
#[doc(hidden)]
pub mod exports {
    pub use crate::bindings::aggregate_world::exports::activestore::plugin::aggregate;
    pub use crate::bindings::filter_world::exports::activestore::plugin::filter;
    pub use crate::bindings::merge_world::exports::activestore::plugin::merge;
    pub use crate::bindings::model_world::exports::activestore::plugin::model;
    pub use crate::bindings::processor_world::exports::activestore::plugin::processor;
    pub use crate::bindings::scalar_world::exports::activestore::plugin::scalar;
    pub use crate::bindings::table_world::exports::activestore::plugin::table_function;
}
