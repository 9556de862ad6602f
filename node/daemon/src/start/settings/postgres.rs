//! The PostgreSQL wire, as settings and flags have it.

use std::net::SocketAddr;

use activestore_gateway::GatewayOptions;
#[cfg(not(feature = "pgwire"))]
use activestore_types::Error;
use activestore_types::Result;

use crate::config::{Limits, Listen};

/// Adds it to what listens.
///
/// # Errors
/// `Invalid` where settings do not go together, or this build has no such wire.
#[cfg(feature = "pgwire")]
pub(super) fn wire(
    gateway: &mut GatewayOptions,
    flag: Option<SocketAddr>,
    listen: &Listen,
    limits: &Limits,
) -> Result<()> {
    use activestore_gateway::{PgOptions, PgTls};

    use crate::cli::DEFAULT_PG;

    if !listen.pg_on.unwrap_or(true) && flag.is_none() {
        return Ok(());
    }
    let address = match flag.or(listen.pg) {
        Some(address) => address,
        None => super::address(DEFAULT_PG)?,
    };
    let mut options = PgOptions::listening_on(address);
    // A second node of this machine is not kept from starting by an address that nobody asked for.
    options.or_any_port = flag.or(listen.pg).is_none();
    if let Some(connections) = limits.pg_connections {
        options.connections_max = connections.max(1);
    }
    if let Some(timeout) = &limits.pg_statement_timeout {
        options.statement_timeout = (!timeout.0.is_zero()).then_some(timeout.0);
    }
    let files = (&listen.pg_tls_cert, &listen.pg_tls_key);
    options.tls = super::certificate(files, ["pg_tls_cert", "pg_tls_key"], PgTls::read)?;
    gateway.pg = Some(options);
    Ok(())
}

/// Refuses what asks for it.
///
/// # Errors
/// `Invalid` where anything does.
#[cfg(not(feature = "pgwire"))]
pub(super) fn wire(
    _gateway: &mut GatewayOptions,
    flag: Option<SocketAddr>,
    listen: &Listen,
    _limits: &Limits,
) -> Result<()> {
    if flag.or(listen.pg).is_none() {
        return Ok(());
    }
    Err(Error::invalid("this build has no PostgreSQL wire")
        .with_hint("leave out --pg and the key pg, and use HTTP: activestore sql, or POST /v1/sql"))
}
