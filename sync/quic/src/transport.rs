//! Settings of the QUIC transport, with defaults for gateways on slow, metered links.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use quinn::congestion::{ControllerFactory, CubicConfig};
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::ByArrivals;

/// One control stream is opened by the edge; a second is room for a later version.
const BIDIRECTIONAL_STREAMS: u32 = 2;
/// Each way one stream for each class of rows, one for alarms once more and one for blobs.
const UNIDIRECTIONAL_STREAMS: u32 = 6;
/// Bytes that may be under way in one stream without being read. It is also what a stream can have in this
/// end's send buffer, since what the peer has no room for is not accepted.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same of a connection: what live rows and a backlog can fill, and room beside it, so that an alarm always
/// gets into the buffer, from where it is sent first.
const CONNECTION_WINDOW_BYTES: u32 = 3 << 20;

/// The shortest silence that ends a connection.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// What every path of QUIC takes as the payload of UDP, in bytes.
pub const PACKET_MIN: u16 = 1200;
/// What a path over Ethernet takes, also with IPv6.
const PACKET_USUAL: u16 = 1452;
/// What paths over radio take as a rule: room is left for what operators and tunnels wrap around it.
const PACKET_RADIO: u16 = 1400;
/// A larger packet is not looked for where it would be larger by less: two probes find the usual size.
const PACKET_STEP: u16 = 100;
/// Over radio an acknowledgement goes back for so many packets that came, or after a moment: one of each other packet is
/// a twentieth of what a backlog takes.
const PACKETS_PER_ACK: u32 = 8;
/// What UDP carries.
pub const PACKET_MAX: u16 = 65_527;

/// What the rate of sending follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// Losses: right on a wire, where what is lost met a full queue. At 5 % of loss and a round trip of
    /// 600 ms it uses a fifth of a link of 1 Mbit/s.
    Cubic,
    /// What arrives, and how long it takes: losses by themselves slow nothing down, and a modem's queue stays short. For radio.
    Arrivals,
}

/// How a connection is kept and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// A packet is sent after this long of silence; every 25 s cost 0.48 MB a day with the headers of IP and UDP.
    /// What translates addresses forgets a silent one after 30 s at the soonest. `None` for never. Set at the edge only.
    pub keep_alive: Option<Duration>,
    /// A connection without a sign of the peer for this long is gone. The lower of both ends
    /// counts.
    pub idle_timeout: Duration,
    /// The largest packet that is tried, as the payload of UDP; [`PACKET_MIN`] for none larger than every path takes.
    /// Finding out costs about 3 KB per connection, and saves a hundredth of what a backlog takes.
    pub packet_max: u16,
    /// Whether a connection moves with its edge to another address, as a modem does that registers anew. Asked at the
    /// cloud only.
    pub migration: bool,
    /// Whether a resumed session begins with data in its first packet; either end may refuse it.
    pub early_data: bool,
    /// The round trip assumed before one was measured: a lost first packet is repeated after
    /// three times this.
    pub initial_rtt: Duration,
    /// What the rate of sending follows.
    pub congestion: Congestion,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            keep_alive: Some(Duration::from_secs(25)),
            idle_timeout: Duration::from_secs(60),
            packet_max: PACKET_RADIO,
            migration: true,
            early_data: true,
            initial_rtt: Duration::from_millis(200),
            congestion: Congestion::Arrivals,
        }
    }
}

impl TransportOptions {
    /// For links that should be seen to break and to come back within a second or two.
    pub fn quick() -> Self {
        TransportOptions {
            keep_alive: Some(Duration::from_millis(500)),
            idle_timeout: Duration::from_secs(2),
            packet_max: PACKET_USUAL,
            migration: true,
            early_data: true,
            initial_rtt: Duration::from_millis(100),
            congestion: Congestion::Cubic,
        }
    }

    /// The same, after a look whether the parts fit each other.
    ///
    /// # Errors
    /// `Invalid` for a packet that QUIC cannot have, for no time at all, and where a connection would be given up between
    /// two signs of life.
    pub fn checked(self) -> Result<TransportOptions> {
        if !(PACKET_MIN..=PACKET_MAX).contains(&self.packet_max) {
            return Err(Error::invalid(format!(
                "packets of {} bytes are not between {PACKET_MIN} and {PACKET_MAX}",
                self.packet_max
            )));
        }
        if self.idle_timeout < IDLE_MIN || self.keep_alive.is_some_and(|every| every.is_zero()) {
            return Err(Error::invalid(format!(
                "a connection cannot be given up after {:?} of silence",
                self.idle_timeout
            ))
            .with_hint("a second and more is possible"));
        }
        match self.keep_alive {
            Some(every) if every * 2 > self.idle_timeout => Err(Error::invalid(format!(
                "a sign of life every {every:?} is too seldom where {:?} of silence end a connection",
                self.idle_timeout
            ))
            .with_hint("let a connection live for at least two signs of life")),
            _ => Ok(self),
        }
    }

    /// How long a link may be dead at most before this end takes it to be: a last sign of life goes out, and is not
    /// answered. `None` where this end sends none.
    pub fn dead_link_found_within(self) -> Option<Duration> {
        Some(self.keep_alive? + self.idle_timeout)
    }

    pub(crate) fn build(self) -> Result<Arc<TransportConfig>> {
        let idle = IdleTimeout::try_from(self.idle_timeout)
            .map_err(|_| Error::invalid("the idle timeout is too long"))?;
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Arrivals => Arc::new(ByArrivals),
        };
        let discovery = (self.packet_max > PACKET_MIN).then(|| {
            let mut discovery = MtuDiscoveryConfig::default();
            discovery
                .upper_bound(self.packet_max)
                .minimum_change(PACKET_STEP);
            discovery
        });
        let mut config = TransportConfig::default();
        config
            .congestion_controller_factory(congestion)
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(self.keep_alive)
            .initial_rtt(self.initial_rtt)
            .mtu_discovery_config(discovery)
            .max_concurrent_bidi_streams(VarInt::from_u32(BIDIRECTIONAL_STREAMS))
            .max_concurrent_uni_streams(VarInt::from_u32(UNIDIRECTIONAL_STREAMS))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
            .send_window(u64::from(CONNECTION_WINDOW_BYTES))
            // Fair streams: the one with the highest priority is chosen for each packet. Otherwise quinn goes on
            // with the stream that it has begun until its buffer is empty, and an alarm waits for a backlog.
            .send_fairness(true)
            .datagram_receive_buffer_size(None);
        if self.congestion == Congestion::Arrivals {
            // What paces by arrivals needs no acknowledgement of every other packet.
            let mut often = AckFrequencyConfig::default();
            often.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK));
            config.ack_frequency_config(Some(often));
        }
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    //! Settings that do not fit each other are refused with what to do.
    use super::*;

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let usual = TransportOptions::default();
        for good in [usual, TransportOptions::quick()] {
            assert!(good.checked().is_ok());
            assert!(good.build().is_ok());
        }
        let seconds = Duration::from_secs;
        for bad in [
            TransportOptions {
                packet_max: 1199,
                ..usual
            },
            TransportOptions {
                packet_max: u16::MAX,
                ..usual
            },
            TransportOptions {
                idle_timeout: Duration::ZERO,
                ..usual
            },
            TransportOptions {
                keep_alive: Some(Duration::ZERO),
                ..usual
            },
            TransportOptions {
                keep_alive: Some(seconds(31)),
                ..usual
            },
        ] {
            assert!(bad.checked().is_err(), "{bad:?}");
        }
        let silent = TransportOptions {
            keep_alive: None,
            ..usual
        };
        assert!(silent.checked().is_ok());
        assert_eq!(silent.dead_link_found_within(), None);
        let lively = TransportOptions {
            keep_alive: Some(seconds(2)),
            idle_timeout: seconds(5),
            ..usual
        };
        assert_eq!(lively.dead_link_found_within(), Some(seconds(7)));
    }
}
