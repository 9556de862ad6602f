//! A connection as sessions see it, whatever carries it: frames in and out, who is at the other end, and why
//! it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{Frame, OLDEST_PROTOCOL_VERSION};
use activestore_types::Result;
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bandwidth::Bucket;
use crate::early::Early;
use crate::failure::{self, CLOSE, Side};
use crate::lanes::{Lanes, Manner, READ_QUEUE_FRAMES, read_bulk, read_frames};
use crate::tcp::TcpLink;
use crate::tls;

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Quic,
    /// TCP with TLS, where no UDP gets through.
    Tcp,
}

impl Transport {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Quic => "quic",
            Transport::Tcp => "tcp",
        }
    }
}

/// A connection whose handshake is done; clones are the same one.
#[derive(Clone)]
pub(crate) enum Link {
    Quic(Connection),
    /// The edge's end of one that resumes a session and may not have been answered yet.
    Early(Connection, Arc<Early>),
    Tcp(TcpLink),
}

/// Where a session's frames go.
pub(crate) enum Outgoing {
    Quic(Lanes),
    Tcp(TcpLink),
}

impl Outgoing {
    /// Queues a frame.
    ///
    /// # Errors
    /// `Overloaded` when the peer has not read for so long that its queue is full.
    pub(crate) fn send(&self, frame: Frame) -> Result<()> {
        match self {
            Outgoing::Quic(lanes) => lanes.send(frame),
            Outgoing::Tcp(link) => link.send(&frame),
        }
    }
}

/// Frames wait in boxes, as those that go out do (see `lanes.rs`).
type Incoming = mpsc::Receiver<Result<Box<Frame>>>;

impl Link {
    /// Opens the ways that frames take, as the edge or as the cloud does; the tasks carry them, as fast as the
    /// bucket lets them.
    ///
    /// # Errors
    /// Why the connection ended before.
    pub(crate) async fn open(
        &self,
        side: Side,
        tasks: &mut JoinSet<()>,
        bucket: Option<&Arc<Bucket>>,
    ) -> std::result::Result<(Outgoing, Incoming), String> {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => {
                let opened = match side {
                    Side::Edge => connection.open_bi().await,
                    Side::Cloud => connection.accept_bi().await,
                };
                let (control, control_in) = opened.map_err(|error| of_quic(side, &error))?;
                let early = match self {
                    Link::Early(_, early) => Some(early),
                    _ => None,
                };
                let manner = Manner {
                    bucket,
                    early,
                    alarms_twice: side == Side::Edge,
                };
                let lanes = Lanes::start(tasks, connection, control, self.version(), manner);
                let (frames_in, frames) = mpsc::channel(READ_QUEUE_FRAMES);
                tasks.spawn(read_frames(control_in, frames_in.clone()));
                tasks.spawn(read_bulk(connection.clone(), frames_in));
                Ok((Outgoing::Quic(lanes), frames))
            }
            Link::Tcp(link) => {
                // A stream of QUIC is there for the cloud when its first frame comes, and so is this.
                if side == Side::Cloud {
                    link.heard().await?;
                }
                let frames = link.frames().ok_or("the connection is in use")?;
                if let Some(bucket) = bucket {
                    link.meter(bucket.clone());
                }
                Ok((Outgoing::Tcp(link.clone()), frames))
            }
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Link::Quic(_) | Link::Early(..) => Transport::Quic,
            Link::Tcp(_) => Transport::Tcp,
        }
    }

    /// A number that no other connection of this process has while this one lives.
    pub(crate) fn id(&self) -> usize {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => connection.stable_id(),
            Link::Tcp(link) => link.id(),
        }
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => connection.remote_address(),
            Link::Tcp(link) => link.remote_address(),
        }
    }

    /// The smoothed round trip.
    pub(crate) fn rtt(&self) -> Duration {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => connection.rtt(),
            Link::Tcp(link) => link.rtt(),
        }
    }

    /// Bytes sent and received: the payload of UDP or of TCP.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => {
                let stats = connection.stats();
                (stats.udp_tx.bytes, stats.udp_rx.bytes)
            }
            Link::Tcp(link) => link.traffic(),
        }
    }

    /// Says in the log what the connection has cost.
    pub(crate) fn tell(&self) {
        if let Link::Quic(connection) | Link::Early(connection, _) = self {
            let stats = connection.stats();
            tracing::debug!(
                up = ?stats.udp_tx,
                down = ?stats.udp_rx,
                frames_up = ?stats.frame_tx,
                frames_down = ?stats.frame_rx,
                path = ?stats.path,
                "a connection is over"
            );
        }
    }

    /// The name of the protocol that the handshake agreed on.
    pub(crate) fn protocol(&self) -> Option<Vec<u8>> {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => tls::agreed(connection),
            Link::Tcp(link) => link.protocol(),
        }
    }

    /// The version of the conversation that goes with it.
    pub(crate) fn version(&self) -> u16 {
        if let Link::Early(_, early) = self {
            return early.version();
        }
        let version = self.protocol().and_then(|name| tls::version(&name));
        version.unwrap_or(OLDEST_PROTOCOL_VERSION)
    }

    /// The certificate that the peer showed.
    pub(crate) fn member(&self) -> Option<CertificateDer<'static>> {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => {
                let shown = connection.peer_identity()?;
                let chain = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
                chain.first().cloned()
            }
            Link::Tcp(link) => link.member(),
        }
    }

    /// The same connection, once it was answered.
    pub(crate) fn answered(&self) -> Link {
        match self {
            Link::Early(connection, early) => {
                early.answered();
                Link::Quic(connection.clone())
            }
            other => other.clone(),
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => {
                connection.close_reason().is_some()
            }
            Link::Tcp(link) => link.has_ended(),
        }
    }

    /// Says goodbye and ends.
    pub(crate) fn close(&self, reason: &[u8]) {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => connection.close(CLOSE, reason),
            Link::Tcp(link) => link.close(reason),
        }
    }

    /// Returns when it has ended, and why.
    pub(crate) async fn closed(&self, side: Side) -> String {
        match self {
            Link::Quic(connection) | Link::Early(connection, _) => {
                of_quic(side, &connection.closed().await)
            }
            Link::Tcp(link) => link.closed().await,
        }
    }
}

fn of_quic(side: Side, error: &quinn::ConnectionError) -> String {
    match side {
        Side::Edge => failure::at_edge(error),
        Side::Cloud => failure::at_cloud(error),
    }
}
