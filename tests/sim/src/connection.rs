//! One connection: the machines of both ends and their alarm.

use std::time::Duration;

use activestore_sync_proto::{Downlink, DownlinkOptions, Limits, Uplink, UplinkOptions};
use activestore_types::NodeId;

pub const WINDOW: Limits = Limits {
    window_segments: 8,
    window_bytes: 64 << 10,
};

/// See the module's text.
pub struct Connection {
    pub edge: usize,
    pub uplink: Option<Uplink>,
    pub downlink: Option<Downlink>,
    /// The cloud's process that it led to has ended.
    pub orphaned: bool,
    /// When the machines are to be woken; older alarms ring unheard.
    pub alarm: Option<Duration>,
}

impl Connection {
    pub fn new(edge: usize, node: NodeId, uplink: Uplink) -> Self {
        let options = DownlinkOptions {
            limits: WINDOW,
            offer_again: Duration::from_secs(2),
            retry_after: Duration::from_millis(200),
            wanted_again: Duration::from_millis(400),
            resend_after: Duration::from_millis(1500),
            ..DownlinkOptions::default()
        };
        Connection {
            edge,
            uplink: Some(uplink),
            downlink: Some(Downlink::new(options, node)),
            orphaned: false,
            alarm: None,
        }
    }

    pub fn next_timeout(&self) -> Option<Duration> {
        let up = self.uplink.as_ref().and_then(Uplink::next_timeout);
        let down = self.downlink.as_ref().and_then(Downlink::next_timeout);
        up.into_iter().chain(down).min()
    }

    /// Whether the edge's handshake is done.
    pub fn is_live(&self) -> bool {
        !self.orphaned && self.uplink.as_ref().is_some_and(Uplink::is_live)
    }
}

pub fn uplink_options(ping_every: Duration) -> UplinkOptions {
    UplinkOptions {
        limits: WINDOW,
        ask_again: Duration::from_millis(900),
        resend_after: Duration::from_millis(1500),
        retry_after: Duration::from_millis(300),
        ping_every: Some(ping_every),
        silent_after: ping_every * 7 / 2,
        ..UplinkOptions::default()
    }
}
