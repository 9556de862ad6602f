//! What an edge's end tells of its connection.

use std::sync::Arc;

use crate::link::Transport;

/// Is told how the connection is.
pub type Told = Arc<dyn Fn(LinkNews<'_>) + Send + Sync>;

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNews<'a> {
    /// It is there, past the handshake.
    Connected {
        /// The cloud's address.
        address: &'a str,
        /// What carries it.
        transport: Transport,
    },
    /// There is none, for a reason that is another one than before.
    Lost {
        /// The reason, in one sentence.
        reason: &'a str,
    },
}
