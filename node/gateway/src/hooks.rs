//! What the gateway asks of the process around it: the parts of the HTTP interface that concern
//! other nodes. The daemon implements this over its sync client or server.

use std::time::Duration;

use activestore_db::Counter;
use activestore_types::{Error, Labels, NodeId, Result};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};

/// What `POST /v1/tokens` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// How long the token is valid.
    pub ttl: Duration,
    /// A label for people, shown in lists.
    pub label: String,
    /// The labels of the edge that joins with it.
    pub labels: Labels,
    /// Where the cloud can be reached, as `HOST:PORT`; empty for the address it listens on.
    pub addresses: Vec<String>,
}

/// The node's peers, as the HTTP interface sees them.
pub trait Hooks: Send + Sync + 'static {
    /// Compares with the peers what both hold, or with one further cloud, and mends what differs if `repair` says so: a JSON
    /// object for `POST /v1/sync/verify`.
    fn verify<'a>(&'a self, repair: bool, cloud: Option<&'a str>) -> BoxFuture<'a, Result<Value>>;

    /// Makes a token that lets one edge join: a JSON object with `token` for `POST /v1/tokens`.
    fn create_token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Value>>;

    /// Gives an edge that joined other labels, for `POST /v1/edges/{node}/labels`.
    fn label_edge(&self, node: NodeId, labels: Labels) -> BoxFuture<'_, Result<()>>;

    /// Begins a backup of this node to a place: JSON objects that say how far it is, the last of
    /// which is its outcome, for `POST /v1/backup`.
    ///
    /// # Errors
    /// `Invalid` for a place that is none; `Conflict` where the process has no backups.
    fn backup(&self, to: &str) -> Result<BoxStream<'static, Value>>;

    /// The connections' state: a JSON value that `GET /v1/sync` shows as `connections`.
    fn connections(&self) -> Value;

    /// How edges are let in, where this node does: a JSON value that `GET /v1/sync` shows as `admission`.
    fn admission(&self) -> Option<Value> {
        None
    }

    /// Figures beside the database's own, for `GET /metrics`.
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
}

/// A node without peers: it says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Hooks for NoPeers {
    fn verify<'a>(
        &'a self,
        _repair: bool,
        _cloud: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Value>> {
        let error = Error::conflict("this node has no peer to compare with")
            .with_hint("start it with --peer HOST:PORT");
        Box::pin(async { Err(error) })
    }

    fn create_token(&self, _request: TokenRequest) -> BoxFuture<'_, Result<Value>> {
        let error = Error::conflict("this node does not admit edges")
            .with_hint("ask the cloud node: tokens are made with activestore token create there");
        Box::pin(async { Err(error) })
    }

    fn label_edge(&self, _node: NodeId, _labels: Labels) -> BoxFuture<'_, Result<()>> {
        let error = Error::conflict("this node has no edges")
            .with_hint("ask the cloud node: labels are given with activestore token label there");
        Box::pin(async { Err(error) })
    }

    fn backup(&self, _to: &str) -> Result<BoxStream<'static, Value>> {
        Err(Error::conflict("this node does not back itself up")
            .with_hint("run it as activestore start"))
    }

    fn connections(&self) -> Value {
        json!([])
    }
}
