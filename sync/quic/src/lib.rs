//! The replication protocol over QUIC, and over TCP where no UDP gets through: [`SyncServer`] in the cloud, [`SyncClient`] at the edge,
//! mutual TLS between them, and the tokens by which an edge joins once.
//!
//! What is said over the connection is decided in `activestore-sync-proto`; this crate moves frames,
//! keeps time, runs the hosts' blocking calls off the asynchronous workers, and connects again. It
//! reads no row and decides nothing about one.
//!
//! ```no_run
//! use std::sync::Arc;
//! use activestore_sync_quic::{CloudIdentity, ServerOptions, SyncServer, TokenRequest, TokenStore};
//! # async fn example(inbox: Arc<dyn activestore_sync_proto::Inbox>) -> activestore_types::Result<()> {
//! let directory = std::path::Path::new("data/identity");
//! let identity = Arc::new(CloudIdentity::open_or_create(directory)?);
//! let tokens = Arc::new(TokenStore::open(directory)?);
//! let listen = "0.0.0.0:7490".parse().expect("an address");
//! let server = SyncServer::start(ServerOptions::new(listen, identity.clone(), inbox, tokens.clone()))?;
//! let token = tokens.create(&identity, TokenRequest::default())?;
//! println!("listening quic={}, join with {token}", server.local_addr());
//! # Ok(()) }
//! ```

mod admission;
mod allowance;
mod backoff;
mod bandwidth;
mod certificate;
mod client;
mod clock;
mod congestion;
mod crossed;
mod early;
mod edge_session;
mod enrol;
mod failure;
mod files;
mod identity;
mod ids;
mod lanes;
mod link;
mod member;
mod peer_session;
mod receipt;
mod server;
mod tcp;
mod tcp_listener;
mod tls;
mod token;
mod token_store;
mod transport;
mod udp;

pub use admission::AdmissionOptions;
pub use allowance::{AllowanceOptions, AtBudget, BudgetOptions, BudgetStatus, Schedule};
pub use backoff::BackoffOptions;
pub use client::{
    ClientOptions, ConnectionStatus, LinkNews, Reach, SyncClient, Told, VerifyReport,
};
pub use identity::{CloudIdentity, EdgeIdentity};
pub use link::Transport;
pub use receipt::verify_receipt;
pub use server::{PeerInfo, ServerOptions, ServerStats, SyncServer};
pub use token::JoinToken;
pub use token_store::{TokenInfo, TokenRequest, TokenStore};
pub use transport::{Congestion, PACKET_MAX, PACKET_MIN, TransportOptions};
