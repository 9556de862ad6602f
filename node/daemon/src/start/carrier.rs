//! Reaches the receivers of sinks: web hooks over HTTP, brokers over MQTT.

mod mqtt;
mod packet;
mod stream;
mod web;

use std::sync::OnceLock;

use activestore_db::{Carrier, SinkAddress, SinkLine, SinkOptions};
use activestore_types::Result;
use ureq::Agent;

use crate::outside;

/// The node's way to receivers outside; what it shares among sinks is made for the first of them.
pub struct SinkCarrier {
    /// Names this node to brokers.
    node: String,
    agent: OnceLock<Agent>,
}

impl SinkCarrier {
    /// For the node with this identity.
    pub fn new(node: impl Into<String>) -> Self {
        SinkCarrier {
            node: node.into(),
            agent: OnceLock::new(),
        }
    }
}

impl Carrier for SinkCarrier {
    fn line(
        &self,
        sink: &str,
        address: &SinkAddress,
        options: &SinkOptions,
    ) -> Result<Box<dyn SinkLine>> {
        Ok(match address {
            SinkAddress::Web { url, .. } => {
                let agent = self.agent.get_or_init(outside::agent).clone();
                Box::new(web::WebHook::new(sink, url, agent, options)?)
            }
            SinkAddress::Mqtt { .. } => {
                let client = format!("{}-{sink}", self.node);
                Box::new(mqtt::Broker::new(sink, client, address, options))
            }
        })
    }
}

#[cfg(test)]
mod tests;
