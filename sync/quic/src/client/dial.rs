//! How the edge reaches the cloud: by QUIC first, over TCP where no UDP gets through, and by QUIC again when it
//! does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::certificate::SERVER_NAME;
use crate::failure::{self, CLOSE, Side};
use crate::link::{Link, Transport};
use crate::tcp::{Socket, TcpLink};
use crate::transport::TransportOptions;

/// UDP is taken to be blocked after so many handshakes that nobody answered.
const QUIC_TRIES: u32 = 2;
/// Said where one attempt took too long.
const NO_ANSWER: &str = "the cloud does not answer";

/// What carries the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// QUIC, and TCP where no UDP gets through.
    #[default]
    Auto,
    /// This one alone.
    Only(Transport),
}

/// Opens connections, and remembers what got through.
pub(crate) struct Dialer {
    reach: Reach,
    options: TransportOptions,
    connect_timeout: Duration,
    quic_again: Duration,
    endpoint: Option<(bool, Endpoint)>,
    /// Handshakes over UDP in a row that nobody answered.
    unanswered: u32,
    /// When TCP got through where UDP did not.
    tcp_since: Option<Instant>,
}

/// Why QUIC did not connect.
enum Failure {
    /// Nobody answered: UDP may be blocked.
    Unanswered(Error),
    Other(Error),
}

impl Dialer {
    pub(crate) fn new(
        reach: Reach,
        options: TransportOptions,
        connect_timeout: Duration,
        quic_again: Duration,
    ) -> Dialer {
        Dialer {
            reach,
            options,
            connect_timeout,
            quic_again,
            endpoint: None,
            unanswered: 0,
            tcp_since: None,
        }
    }

    /// A fresh socket next time: the interface may have gone.
    pub(crate) fn forget_socket(&mut self) {
        self.endpoint = None;
    }

    /// Closes the socket, once what was said over it has gone.
    pub(crate) async fn shutdown(&mut self, within: Duration) {
        if let Some((_, endpoint)) = self.endpoint.take() {
            endpoint.close(CLOSE, b"the edge shuts down");
            // The cloud finds out by itself where it is not told.
            let _ = tokio::time::timeout(within, endpoint.wait_idle()).await;
        }
    }

    /// Connects by whatever gets through.
    ///
    /// # Errors
    /// Why nothing does, as a sentence.
    pub(crate) async fn connect(
        &mut self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> Result<Link> {
        match self.reach {
            Reach::Only(Transport::Tcp) => return self.tcp(address, config).await,
            Reach::Only(Transport::Quic) => {
                return match self.quic(address, config).await {
                    Ok(link) => Ok(link),
                    Err(Failure::Unanswered(error) | Failure::Other(error)) => Err(error),
                };
            }
            Reach::Auto => {}
        }
        if self
            .tcp_since
            .is_some_and(|since| since.elapsed() < self.quic_again)
        {
            match self.tcp(address, config).await {
                Ok(link) => return Ok(link),
                // Another network, perhaps.
                Err(_) => self.tcp_since = None,
            }
        }
        match self.quic(address, config).await {
            Ok(link) => {
                self.unanswered = 0;
                self.tcp_since = None;
                Ok(link)
            }
            Err(Failure::Other(error)) => {
                self.unanswered = 0;
                Err(error)
            }
            Err(Failure::Unanswered(error)) => {
                self.unanswered = self.unanswered.saturating_add(1);
                if self.unanswered < QUIC_TRIES {
                    return Err(error);
                }
                let link = self
                    .tcp(address, config)
                    .await
                    .map_err(|tcp| error.context(format!("neither by UDP nor over TCP ({tcp})")))?;
                tracing::info!(%address, "no UDP gets through to the cloud: connected over TCP");
                self.tcp_since = Some(Instant::now());
                Ok(link)
            }
        }
    }

    /// Returns once QUIC gets through again; it is tried seldom, since each try costs bytes. Never returns where
    /// it was not left because of that.
    pub(crate) async fn quic_gets_through(
        &mut self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) {
        if self.tcp_since.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.quic_again).await;
            self.forget_socket();
            if let Ok(link) = self.quic(address, config).await {
                link.close(b"only to see whether UDP gets through");
                self.unanswered = 0;
                self.tcp_since = None;
                return;
            }
        }
    }

    async fn quic(
        &mut self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> std::result::Result<Link, Failure> {
        let endpoint = self.endpoint_for(address).map_err(Failure::Other)?;
        let crypto = QuicClientConfig::try_from(config.clone()).map_err(|error| {
            Failure::Other(Error::internal(format!("TLS cannot be set up: {error}")))
        })?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.options.build().map_err(Failure::Other)?);
        let connecting = endpoint
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| Failure::Other(failure::to_start(&error)))?;
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(Link::Quic(connection)),
            Err(_) | Ok(Err(ConnectionError::TimedOut)) => {
                Err(Failure::Unanswered(Error::overloaded(NO_ANSWER)))
            }
            Ok(Err(error)) => Err(Failure::Other(Error::denied(failure::at_edge(&error)))),
        }
    }

    async fn tcp(&self, address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Link> {
        let failed = |error: std::io::Error| Error::denied(failure::of_tls(Side::Edge, &error));
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| {
            Error::internal(format!("the cloud's name in its certificate: {error}"))
        })?;
        let connecting = async {
            let socket = Socket::new(TcpStream::connect(address).await?, &self.options)?;
            TlsConnector::from(config.clone())
                .connect(name, socket)
                .await
        };
        let stream = tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| Error::overloaded(NO_ANSWER))?
            .map_err(failed)?;
        let link = TcpLink::start(stream.into(), address, Side::Edge, self.options);
        Ok(Link::Tcp(link))
    }

    fn endpoint_for(&mut self, address: SocketAddr) -> Result<Endpoint> {
        let v6 = address.is_ipv6();
        if let Some((known, endpoint)) = &self.endpoint
            && *known == v6
        {
            return Ok(endpoint.clone());
        }
        let any: SocketAddr = if v6 {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
        };
        let endpoint = Endpoint::client(any)
            .map_err(|error| Error::from(error).context("a UDP socket cannot be opened"))?;
        self.endpoint = Some((v6, endpoint.clone()));
        Ok(endpoint)
    }
}
