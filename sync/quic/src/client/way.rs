//! One attempt to reach one address by one transport.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::Error;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connecting, ConnectionError, Endpoint};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::race::Failure;
use crate::certificate::SERVER_NAME;
use crate::crossed::Crossed;
use crate::failure::{self, Side};
use crate::link::Link;
use crate::tcp::{Socket, TcpLink};
use crate::transport::TransportOptions;

/// Said where one attempt took too long.
pub(crate) const NO_ANSWER: &str = "the cloud does not answer";

/// Everything that one attempt needs.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) config: Arc<ClientConfig>,
    pub(super) options: TransportOptions,
    pub(super) within: Duration,
    /// What is charged for it.
    pub(super) crossed: Arc<Crossed>,
}

impl Way {
    /// Sends the first packet.
    pub(super) fn begin(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
    ) -> Result<Connecting, Failure> {
        let crypto = QuicClientConfig::try_from(self.config.clone()).map_err(|error| {
            Failure::Broken(Error::internal(format!("TLS cannot be set up: {error}")))
        })?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.options.build().map_err(Failure::Broken)?);
        endpoint
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| Failure::Broken(failure::to_start(&error)))
    }

    /// A connection over QUIC, once it was answered.
    pub(super) async fn quic(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
    ) -> Result<Link, Failure> {
        let connecting = self.begin(endpoint, address)?;
        match tokio::time::timeout(self.within, connecting).await {
            Ok(Ok(connection)) => Ok(Link::Quic(connection)),
            Err(_) | Ok(Err(ConnectionError::TimedOut)) => {
                Err(Failure::Unanswered(Error::overloaded(NO_ANSWER)))
            }
            Ok(Err(error)) if failure::is_busy(&error) => {
                Err(Failure::Busy(Error::overloaded(failure::at_edge(&error))))
            }
            Ok(Err(error)) => Err(Failure::Refused(Error::denied(failure::at_edge(&error)))),
        }
    }

    /// One over TCP, once TLS is there.
    pub(super) async fn tcp(&self, address: SocketAddr) -> Result<Link, Failure> {
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| {
            Failure::Broken(Error::internal(format!(
                "the cloud's name in its certificate: {error}"
            )))
        })?;
        let connecting = async {
            let attempt = self.crossed.tcp_attempt(address);
            let stream = TcpStream::connect(address).await;
            drop(attempt);
            let charged = Some((self.crossed.clone(), address));
            let socket = Socket::new(stream?, &self.options, charged)?;
            TlsConnector::from(self.config.clone())
                .connect(name, socket)
                .await
        };
        let stream = tokio::time::timeout(self.within, connecting)
            .await
            .map_err(|_| Failure::Unanswered(Error::overloaded(NO_ANSWER)))?
            .map_err(|error| Failure::Broken(Error::denied(failure::of_tls(Side::Edge, &error))))?;
        let link = TcpLink::start(stream.into(), address, Side::Edge, self.options);
        Ok(Link::Tcp(link))
    }
}
