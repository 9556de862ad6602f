//! Runs plugins: WebAssembly components that see whole typed columns and nothing else.
//!
//! A plugin is one of seven kinds: scalar functions, aggregates, table functions, a stream processor,
//! a model, merge functions, or a sync filter. The host checks what a component asks for before it runs a line of it, compiles it once,
//! gives every call a deadline and a memory limit, drops an instance that trapped, switches a plugin off
//! that keeps trapping, and validates whatever comes back as if it came from the network. It gives a
//! plugin no files and no sockets, and a clock, random bytes and rows of tables only by grant. It stores
//! nothing: a processor's rows, state and timers are handed to the caller, who makes them durable together.
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
mod capability;
mod column;
mod compiler;
#[cfg(feature = "compiler")]
mod complexity;
mod componentize;
mod contract;
mod engine;
mod filter;
mod host;
mod http;
mod image;
mod instance;
mod kind;
mod log;
mod memory;
mod merge;
mod model;
#[cfg(feature = "native-models")]
mod native;
#[cfg(not(feature = "native-models"))]
#[path = "native/missing.rs"]
mod native;
mod plugin;
mod pool;
mod processor;
mod scalar;
mod sdk;
mod sections;
mod shape;
mod signature;
mod state;
mod table;
#[cfg(feature = "componentize")]
mod wit;
#[cfg(feature = "componentize")]
mod world;
#[cfg(not(feature = "componentize"))]
#[path = "world/missing.rs"]
mod world;

pub use aggregate::{AggregateFunction, Aggregation};
pub use capability::{Grants, Services, TableReader};
pub use compiler::precompile;
pub use componentize::{WasmForm, componentize, wasm_form};
pub use filter::{Filtered, SyncFilter};
pub use host::{HostOptions, HostStats, PluginHost};
pub use http::{HttpMethod, HttpRequest, HttpTarget};
pub use image::ImageTarget;
pub use kind::PluginKind;
pub use log::{LogLevel, LogLine, LogPage};
pub use merge::{MergeFunction, settled};
pub use model::Model;
pub use plugin::{Plugin, PluginStats};
pub use processor::{Output, Processed, Processor};
pub use scalar::ScalarFunction;
pub use sdk::SDK_FILES;
pub use shape::{FunctionSignature, ReturnedColumn, Returns, Volatility};
pub use signature::{SignerKey, SigningKey, Trust};
pub use state::StateReader;
pub use table::{TableFunction, TableRun};
pub use world::{PluginWorld, contract_exports_only};
