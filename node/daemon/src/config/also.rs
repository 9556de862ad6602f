//! `[[sync.also]]`: further clouds that get what goes up, each with a link of its own.

use serde::Deserialize;

use super::ByteSize;

/// One further cloud.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Also {
    /// What this node calls it; names its directory.
    pub name: String,
    /// Its QUIC address, `host:port`.
    pub peers: Vec<String>,
    /// The tables that it takes of those that travel up; all of them where it is left out.
    pub tables: Option<Vec<String>>,
    /// What may wait for it at most.
    pub outbox_bytes: Option<ByteSize>,
    /// What happens then.
    pub at_limit: Option<FullOutboxSetting>,
    /// What is sent to it in a second at most.
    pub bandwidth: Option<ByteSize>,
    /// What may cross the link to it in a month, both ways.
    pub monthly_bytes: Option<ByteSize>,
    /// When rows that are not urgent are sent to it; always where it is empty.
    pub schedule: Vec<String>,
}

/// `sync.also.at_limit`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FullOutboxSetting {
    /// What waits stays, and what comes is passed over.
    #[default]
    Hold,
    /// The oldest rows that wait go.
    DropOldest,
}

/// `sync.evict_after`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum EvictAfterSetting {
    /// The node's own cloud.
    #[default]
    Own,
    /// Every cloud that takes the table.
    All,
}
