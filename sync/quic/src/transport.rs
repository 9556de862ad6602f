//! Settings of the QUIC transport, with defaults for gateways on slow, metered links.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// One control stream is opened by the edge; a second is room for a later version.
const BIDIRECTIONAL_STREAMS: u32 = 2;
/// Each way one stream for each class of rows and one for blobs; one more is room for a later version.
const UNIDIRECTIONAL_STREAMS: u32 = 6;
/// Bytes that may be under way in one stream without being read. It is also what a stream can have in this
/// end's send buffer, since what the peer has no room for is not accepted.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same of a connection: what live rows and a backlog can fill, and room beside it, so that an alarm always
/// gets into the buffer, from where it is sent first.
const CONNECTION_WINDOW_BYTES: u32 = 3 << 20;

/// What the rate of sending follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// Losses: right on a wire, where what is lost met a full queue. At 5 % of loss and a round trip of
    /// 600 ms it uses a fifth of a link of 1 Mbit/s.
    Cubic,
    /// What arrives: losses by themselves slow nothing down. For radio.
    Bbr,
}

/// How a connection is kept and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// A packet is sent after this long of silence; every 20 s costs 0.5 MB a day. `None` for
    /// never. Set at the edge only.
    pub keep_alive: Option<Duration>,
    /// A connection without a sign of the peer for this long is gone. The lower of both ends
    /// counts.
    pub idle_timeout: Duration,
    /// Whether larger packets are tried; costs about 11 KB per connection.
    pub mtu_discovery: bool,
    /// The round trip assumed before one was measured: a lost first packet is repeated after
    /// three times this.
    pub initial_rtt: Duration,
    /// What the rate of sending follows.
    pub congestion: Congestion,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            keep_alive: Some(Duration::from_secs(20)),
            idle_timeout: Duration::from_secs(60),
            mtu_discovery: false,
            initial_rtt: Duration::from_millis(200),
            congestion: Congestion::Bbr,
        }
    }
}

impl TransportOptions {
    /// For links that should be seen to break and to come back within a second or two.
    pub fn quick() -> Self {
        TransportOptions {
            keep_alive: Some(Duration::from_millis(500)),
            idle_timeout: Duration::from_secs(2),
            mtu_discovery: true,
            initial_rtt: Duration::from_millis(100),
            congestion: Congestion::Cubic,
        }
    }

    pub(crate) fn build(self) -> Result<Arc<TransportConfig>> {
        let idle = IdleTimeout::try_from(self.idle_timeout)
            .map_err(|_| Error::invalid("the idle timeout is too long"))?;
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Bbr => Arc::new(BbrConfig::default()),
        };
        let mut config = TransportConfig::default();
        config
            .congestion_controller_factory(congestion)
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(self.keep_alive)
            .initial_rtt(self.initial_rtt)
            .mtu_discovery_config(self.mtu_discovery.then(MtuDiscoveryConfig::default))
            .max_concurrent_bidi_streams(VarInt::from_u32(BIDIRECTIONAL_STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(UNIDIRECTIONAL_STREAMS))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
            .send_window(u64::from(CONNECTION_WINDOW_BYTES))
            // Fair streams: the one with the highest priority is chosen for each packet. Otherwise quinn goes on
            // with the stream that it has begun until its buffer is empty, and an alarm waits for a backlog.
            .send_fairness(true)
            .datagram_receive_buffer_size(None);
        Ok(Arc::new(config))
    }
}
