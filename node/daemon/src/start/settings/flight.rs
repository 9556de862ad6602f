//! The Arrow Flight SQL wire, as settings and flags have it.

use std::net::SocketAddr;

use activestore_gateway::GatewayOptions;
#[cfg(not(feature = "flight"))]
use activestore_types::Error;
use activestore_types::Result;

use crate::config::{Limits, Listen};

/// Adds it to what listens.
///
/// # Errors
/// `Invalid` where settings do not go together, or this build has no such wire.
#[cfg(feature = "flight")]
pub(super) fn wire(
    gateway: &mut GatewayOptions,
    flag: Option<SocketAddr>,
    listen: &Listen,
    limits: &Limits,
) -> Result<()> {
    use activestore_gateway::{FlightOptions, FlightTls};

    use crate::cli::DEFAULT_FLIGHT;

    if !listen.flight_on.unwrap_or(true) && flag.is_none() {
        return Ok(());
    }
    let address = match flag.or(listen.flight) {
        Some(address) => address,
        None => super::address(DEFAULT_FLIGHT)?,
    };
    let mut options = FlightOptions::listening_on(address);
    // A second node of this machine is not kept from starting by an address that nobody asked for.
    options.or_any_port = flag.or(listen.flight).is_none();
    if let Some(connections) = limits.flight_connections {
        options.connections_max = connections.max(1);
    }
    if let Some(timeout) = &limits.flight_statement_timeout {
        options.statement_timeout = (!timeout.0.is_zero()).then_some(timeout.0);
    }
    // A batch of rows is to a call what a body is to a request.
    options.message_bytes_max = gateway.body_bytes_max;
    if let Some(requests) = limits.requests {
        options.calls_max = requests.max(1);
    }
    let files = (&listen.flight_tls_cert, &listen.flight_tls_key);
    options.tls = super::certificate(
        files,
        ["flight_tls_cert", "flight_tls_key"],
        FlightTls::read,
    )?;
    gateway.flight = Some(options);
    Ok(())
}

/// Refuses what asks for it.
///
/// # Errors
/// `Invalid` where anything does.
#[cfg(not(feature = "flight"))]
pub(super) fn wire(
    _gateway: &mut GatewayOptions,
    flag: Option<SocketAddr>,
    listen: &Listen,
    _limits: &Limits,
) -> Result<()> {
    if flag.or(listen.flight).is_none() {
        return Ok(());
    }
    Err(Error::invalid("this build has no Arrow Flight SQL wire").with_hint(
        "leave out --flight and the key flight, and use HTTP with format=arrow: POST /v1/sql?format=arrow",
    ))
}
