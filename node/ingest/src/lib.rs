//! From bytes on a wire or in a file to [`activestore_types::NamedBatch`]es: InfluxDB line
//! protocol, Prometheus remote write, JSON and NDJSON, CSV, Arrow IPC streams, and MQTT (a listener inside the node and a
//! client of an existing broker). This crate never writes a row: it hands batches to its caller or,
//! for MQTT, to a [`RowSink`], and it knows neither the catalog nor the store.
//!
//! A broken line is reported with its number and the reason and never gives half a row; whether
//! one broken line refuses the whole body is the caller's choice.
//!
//! ```
//! use activestore_ingest::line_protocol::{self, LineProtocolOptions};
//!
//! let options = LineProtocolOptions::new("plant", 1_700_000_000_000_000_000);
//! let parsed = line_protocol::parse(b"pump,device=p1 temp=21.5,on=true 1700000000000000000\n", &options);
//! let batches = parsed.strict().unwrap();
//! assert_eq!(batches[0].table.to_string(), "plant.pump");
//! assert_eq!(batches[0].rows, 1);
//! ```

pub mod csv;
pub mod definition;
pub mod json;
pub mod line_protocol;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod mqtt_config;
pub mod parsed;
pub mod precision;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub mod sink;
pub mod timestamp;

mod builder;
mod column_builder;
mod decimal;
mod line_buffer;
mod room;
mod value;

pub use csv::{CsvOptions, CsvReader};
pub use json::{JsonOptions, JsonReader, JsonShape};
pub use line_protocol::{LineProtocolOptions, LineProtocolReader};
pub use parsed::{Chunk, Parsed, RejectedLine};
pub use precision::Precision;
#[cfg(feature = "prometheus")]
pub use prometheus::{RemoteWrite, RemoteWriteOptions};
pub use sink::{Anyone, RowSink, Visitor};
