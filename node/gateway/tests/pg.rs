//! The PostgreSQL wire over a real port and a real database: psql where it is installed, and a client that speaks the
//! protocol's bytes itself, for what psql does not do.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg(feature = "pgwire")]

#[path = "pg/catalog.rs"]
mod catalog;
#[path = "pg/client.rs"]
mod client;
#[path = "pg/copying.rs"]
mod copying;
#[path = "pg/extended.rs"]
mod extended;
#[path = "pg/hostile.rs"]
mod hostile;
#[path = "pg/logins.rs"]
mod logins;
#[path = "wire/node.rs"]
mod node;
#[path = "pg/psql.rs"]
mod psql;
#[path = "pg/served.rs"]
mod served;
#[path = "pg/sessions.rs"]
mod sessions;
#[path = "pg/subscribe.rs"]
mod subscribe;
