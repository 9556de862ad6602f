//! The cloud's end over TCP: takes sockets in, and does their TLS handshakes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::failure::Side;
use crate::tcp::{Socket, TcpLink};
use crate::transport::TransportOptions;

/// After a failed accept (no file descriptor is left, say) it rests for so long.
const REST: Duration = Duration::from_millis(100);

/// Where edges come in over TCP.
pub(crate) struct TcpDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    options: TransportOptions,
}

/// A socket whose handshake is still to be done.
pub(crate) struct Arrival {
    pub(crate) address: SocketAddr,
    stream: TcpStream,
    acceptor: TlsAcceptor,
    options: TransportOptions,
}

impl TcpDoor {
    /// Binds; call it inside a tokio runtime.
    pub(crate) fn open(
        address: SocketAddr,
        config: ServerConfig,
        options: TransportOptions,
    ) -> io::Result<TcpDoor> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(TcpDoor {
            listener: TcpListener::from_std(listener)?,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            options,
        })
    }

    /// Where it is.
    #[cfg(test)]
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next to come in; never where there is no door.
    pub(crate) async fn accept(door: Option<&TcpDoor>) -> Arrival {
        let Some(door) = door else {
            return std::future::pending().await;
        };
        loop {
            match door.listener.accept().await {
                Ok((stream, address)) => {
                    return Arrival {
                        address,
                        stream,
                        acceptor: door.acceptor.clone(),
                        options: door.options,
                    };
                }
                Err(error) => {
                    tracing::warn!("a TCP connection could not be taken in: {error}");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

impl Arrival {
    /// Does the handshake.
    pub(crate) async fn handshake(self) -> io::Result<TcpLink> {
        let socket = Socket::new(self.stream, &self.options, None)?;
        let stream = self.acceptor.accept(socket).await?;
        Ok(TcpLink::start(
            stream.into(),
            self.address,
            Side::Cloud,
            self.options,
        ))
    }
}
