//! Runs plugins: WebAssembly components that see whole typed columns and nothing else.
//!
//! A plugin is one of four kinds: scalar functions, aggregates, a stream processor, or a model. The host
//! checks what a component asks for before it runs a line of it, compiles it once, gives every call
//! a deadline and a memory limit, drops an instance that trapped, switches a plugin off that keeps
//! trapping, and validates whatever comes back as if it came from the network. It gives a plugin no
//! clock, no randomness, no files and no sockets, and it stores nothing: a processor's rows and
//! state are handed to the caller, who makes both durable together.
//!
//! ```
//! use activestore_plugin_host::{HostOptions, PluginHost};
//!
//! let host = PluginHost::new(HostOptions::default())?;
//! let error = host.load("broken", b"not wasm").unwrap_err();
//! assert_eq!(error.message(), "plugin 'broken' is not WebAssembly");
//! # Ok::<(), activestore_types::Error>(())
//! ```

mod abi;
mod aggregate;
mod breaker;
mod cache;
mod callable;
mod column;
mod componentize;
mod contract;
mod engine;
mod host;
mod instance;
mod log;
mod memory;
mod model;
mod plugin;
mod pool;
mod processor;
mod scalar;
mod sdk;
mod signature;
mod state;

pub use aggregate::{AggregateFunction, Aggregation};
#[cfg(feature = "componentize")]
pub use componentize::componentize;
pub use componentize::{WasmForm, wasm_form};
pub use host::{HostOptions, HostStats, PluginHost};
pub use log::{LogLevel, LogLine};
pub use model::Model;
pub use plugin::{FunctionSignature, Plugin, PluginKind, PluginStats, Volatility};
pub use processor::{Processed, Processor};
pub use scalar::ScalarFunction;
pub use sdk::SDK_FILES;
pub use signature::{SignerKey, SigningKey, Trust};
pub use state::StateReader;
