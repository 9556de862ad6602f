//! The HTTP side of a node, its PostgreSQL wire and its Arrow Flight SQL wire: SQL, line protocol and bulk rows in, rows, metrics and status
//! out, and the console page. It translates between the wire and `activestore-db` and decides nothing:
//! it stores no row, holds no connection to a peer, and knows no configuration file.
//!
//! Everything a client can make it hold is bounded: connections, requests at once, bytes of bodies.
//!
//! ```no_run
//! # async fn example(db: activestore_db::Db) -> activestore_types::Result<()> {
//! use std::sync::Arc;
//! use activestore_gateway::{Gateway, GatewayOptions, NoPeers};
//!
//! let options = GatewayOptions::listening_on("127.0.0.1:7480".parse().expect("an address"));
//! let gateway = Gateway::start(options, db, Arc::new(NoPeers)).await?;
//! println!("listening http={}", gateway.local_addr());
//! gateway.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod encode;

mod answer;
mod api;
mod caller;
#[cfg(any(feature = "flight", feature = "pgwire"))]
mod certificate;
mod first_bytes;
#[cfg(feature = "flight")]
mod flight;
mod histogram;
mod hooks;
mod listener;
mod metrics;
mod options;
#[cfg(feature = "pgwire")]
mod pg;
mod query_threads;
#[cfg(feature = "prometheus")]
mod remote_writes;
mod request;
mod room;
mod rows_room;
mod server;
mod unread;

pub use encode::{Encoder, Format};
#[cfg(feature = "flight")]
pub use flight::{FlightOptions, FlightTls};
pub use hooks::{Hooks, NoPeers, TokenRequest};
pub use options::GatewayOptions;
#[cfg(feature = "pgwire")]
pub use pg::{PgOptions, PgTls};
pub use server::Gateway;
