//! Short ids of connections. One goes in every packet that an end gets, eight bytes unless told otherwise: on a metered
//! link that is a third of a percent. Four bytes tell all connections apart that one end can have, and random ones give
//! an outsider nothing to guess by; that a packet is genuine never rests on them.

use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::rand::{SecureRandom, SystemRandom};

const BYTES: usize = 4;

struct ShortIds {
    random: SystemRandom,
    /// Goes in where the system has no randomness: ids have to differ, and no more.
    count: u32,
}

impl ConnectionIdGenerator for ShortIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; BYTES];
        if self.random.fill(&mut bytes).is_err() {
            self.count = self.count.wrapping_add(1);
            bytes = self.count.to_be_bytes();
        }
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// What both ends open their sockets with.
pub(crate) fn endpoint() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.cid_generator(|| {
        Box::new(ShortIds {
            random: SystemRandom::new(),
            count: 0,
        })
    });
    config
}
