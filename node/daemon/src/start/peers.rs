//! The other nodes: an edge's connection to its cloud, or the cloud's listener for edges, and what
//! the HTTP interface asks of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_db::{Counter, CounterKind, Db, Role};
use activestore_gateway::{Hooks, TokenRequest};
use activestore_sync_quic::{
    ClientOptions, CloudIdentity, ConnectionStatus, EdgeIdentity, LinkNews, Reach, ServerOptions,
    ServerStats, SyncClient, SyncServer, TokenStore, Transport, TransportOptions,
};
use activestore_types::{Error, Labels, NodeId, Result};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::compared::{hex, report};
use super::connections;
use super::settings::Settings;
use crate::config::{LinkSetting, TransportSetting};

/// Keys and certificates, inside the data directory.
pub const IDENTITY_DIR: &str = "identity";

/// Over a wire receipts cost nothing worth saving.
const QUICK_RECEIPTS: Duration = Duration::from_secs(1);

enum Side {
    Alone,
    Edge(SyncClient),
    Cloud(Cloud),
}

struct Cloud {
    server: SyncServer,
    identity: Arc<CloudIdentity>,
    tokens: Arc<TokenStore>,
}

/// The node's peers.
pub struct Peers {
    db: Db,
    local_addr: Option<SocketAddr>,
    /// Taken at shutdown.
    side: Mutex<Side>,
}

impl Peers {
    /// Starts the side that the role asks for.
    ///
    /// # Errors
    /// `Conflict` when the address is in use, `Invalid` for a token that cannot be read, `Corrupt`
    /// for a broken identity.
    pub fn start(settings: &Settings, db: &Db) -> Result<Peers> {
        let directory = settings.db.data_dir.join(IDENTITY_DIR);
        let hosts = db.sync_hosts();
        let side = match (db.role(), settings.quic, hosts.outbox) {
            (Role::Cloud, Some(listen), _) => {
                let identity = Arc::new(CloudIdentity::open_or_create(&directory)?);
                let tokens = Arc::new(TokenStore::open(&directory)?);
                db.sign_receipts_with(identity.clone());
                let mut options =
                    ServerOptions::new(listen, identity.clone(), hosts.inbox, tokens.clone());
                options.tcp = settings.sync_tcp;
                options.admission = settings.admission;
                options.connections_max = settings.edges;
                options.transport = TransportOptions {
                    // The edge keeps its connection alive.
                    keep_alive: None,
                    ..settings.wire
                };
                if settings.link == LinkSetting::Quick {
                    options.downlink.receipt_every = QUICK_RECEIPTS;
                }
                Side::Cloud(Cloud {
                    server: SyncServer::start(options)?,
                    identity,
                    tokens,
                })
            }
            (Role::Edge, _, Some(outbox)) if !settings.peers.is_empty() => {
                let identity = Arc::new(EdgeIdentity::open_or_create(&directory)?);
                if !identity.joined() && settings.token.is_none() {
                    return Err(Error::denied("this edge has not joined its cloud yet").with_hint(
                        "make a token at the cloud with activestore token create, and start once with --token TOKEN",
                    ));
                }
                db.check_receipts_with(identity.clone());
                let mut options = ClientOptions::new(
                    settings.peers.clone(),
                    identity,
                    settings.token.clone(),
                    outbox,
                    hosts.replica,
                );
                options.reach = match settings.transport {
                    TransportSetting::Auto => Reach::Auto,
                    TransportSetting::Quic => Reach::Only(Transport::Quic),
                    TransportSetting::Tcp => Reach::Only(Transport::Tcp),
                };
                if settings.link == LinkSetting::Quick {
                    options = options.quick();
                }
                options.transport = settings.wire;
                options.bandwidth = settings.bandwidth;
                let told = db.clone();
                options.told = Some(Arc::new(move |news: LinkNews<'_>| match news {
                    LinkNews::Connected { address, transport } => {
                        told.cloud_connected(address, transport.name());
                    }
                    LinkNews::Lost { reason } => told.cloud_lost(reason),
                }));
                options.allowance = settings.allowance.clone();
                Side::Edge(SyncClient::start(options)?)
            }
            _ => Side::Alone,
        };
        let local_addr = match &side {
            Side::Cloud(cloud) => Some(cloud.server.local_addr()),
            _ => None,
        };
        Ok(Peers {
            db: db.clone(),
            local_addr,
            side: Mutex::new(side),
        })
    }

    /// Where the cloud listens for edges.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Says goodbye to the peers.
    pub async fn shutdown(&self) {
        let side = std::mem::replace(&mut *self.side.lock().await, Side::Alone);
        match side {
            Side::Alone => {}
            Side::Edge(client) => client.shutdown().await,
            Side::Cloud(cloud) => cloud.server.shutdown().await,
        }
    }

    /// What a cloud's listener counted.
    fn stats(&self) -> Option<ServerStats> {
        // Locked only while a comparison or the shutdown runs.
        match &*self.side.try_lock().ok()? {
            Side::Cloud(cloud) => Some(cloud.server.stats()),
            _ => None,
        }
    }

    async fn verified(&self, repair: bool) -> Result<Value> {
        match &*self.side.lock().await {
            Side::Alone => Err(Error::conflict("this node has no peer to compare with")
                .with_hint("start it with --peer HOST:PORT")),
            Side::Edge(client) => {
                let compared = match repair {
                    true => client.repair().await?,
                    false => client.verify().await?,
                };
                Ok(report(&compared, &self.db))
            }
            Side::Cloud(_) if repair => Err(Error::conflict("a cloud does not mend edges")
                .with_hint("run activestore sync verify --repair at the edge")),
            Side::Cloud(_) => self.held().await,
        }
    }

    /// What the cloud holds of each edge: the edges compare it with what they hold.
    async fn held(&self) -> Result<Value> {
        let mut peers = Vec::new();
        for peer in self.db.sync_status().peers {
            let node: NodeId = peer.node.parse()?;
            let tables: Vec<Value> = self
                .db
                .digests(Some(node))
                .await?
                .iter()
                .map(|digest| json!({ "table": digest.table.to_string(), "rows": digest.rows, "digest": hex(digest) }))
                .collect();
            peers.push(json!({ "name": peer.name, "node": peer.node, "tables": tables }));
        }
        Ok(json!({ "equal": null, "peers": peers }))
    }

    fn token(cloud: &Cloud, request: TokenRequest) -> Result<Value> {
        let local = cloud.server.local_addr();
        let addresses = match (request.addresses.is_empty(), local.ip().is_unspecified()) {
            (false, _) => request.addresses,
            (true, false) => vec![local.to_string()],
            (true, true) => Vec::new(),
        };
        let token = cloud.tokens.create(
            &cloud.identity,
            activestore_sync_quic::TokenRequest {
                label: request.label,
                labels: request.labels,
                lifetime: request.ttl,
                addresses: addresses.clone(),
                ..Default::default()
            },
        )?;
        Ok(json!({
            "token": token.to_string(),
            "addresses": addresses,
            "valid_s": request.ttl.as_secs(),
        }))
    }

    fn state(side: &Side) -> Value {
        match side {
            Side::Alone => json!([]),
            Side::Edge(client) => {
                let status = client.status();
                json!([{
                    "joined": status.joined,
                    "connected_to": status.connected_to,
                    "transport": status.transport.map(Transport::name),
                    "rtt_ms": status.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
                    "bytes_sent": status.bytes_sent,
                    "bytes_received": status.bytes_received,
                    "connections": status.connections,
                    "acknowledged_seq": status.acknowledged_seq,
                    "last_ack_ms": status.last_ack_wall_ms,
                    "behind": status.behind,
                    "epochs_set_aside": status.epochs_set_aside,
                    "catalog_version": status.catalog_version,
                    "down_behind": status.down_behind,
                    "down_applied": status.down_applied,
                    "fetching": status.fetching,
                    "waits": status.waits,
                    "month": status.budget.map(|budget| json!({
                        "bytes": budget.bytes,
                        "used": budget.used,
                        "for_alarms": budget.reserved,
                        "ends_ms": budget.ends_ms,
                    })),
                    "last_error": status.last_error,
                }])
            }
            Side::Cloud(cloud) => cloud
                .server
                .peers()
                .into_iter()
                .map(|peer| {
                    json!({
                        "name": peer.status.name,
                        "node": peer.status.node.to_string(),
                        "address": peer.address.to_string(),
                        "transport": peer.transport.name(),
                        "rtt_ms": peer.rtt.as_secs_f64() * 1e3,
                        "bytes_sent": peer.bytes_sent,
                        "bytes_received": peer.bytes_received,
                        "durable_seq": peer.status.durable_seq,
                        "last_sealed": peer.status.last_sealed,
                        "catalog_version": peer.status.catalog_version,
                        "last_error": peer.status.last_error,
                    })
                })
                .collect(),
        }
    }
}

/// What `/metrics` says of the connection to the cloud.
fn figures(status: &ConnectionStatus) -> Vec<Counter> {
    let figure = |name, help, kind, value: f64| Counter {
        name,
        help,
        kind,
        labels: Vec::new(),
        value,
    };
    let mut all = vec![
        figure(
            "activestore_sync_link_sent_bytes_total",
            "Payload bytes of UDP or TCP sent to the cloud since the start.",
            CounterKind::Counter,
            status.bytes_sent as f64,
        ),
        figure(
            "activestore_sync_link_received_bytes_total",
            "Payload bytes of UDP or TCP received from the cloud since the start.",
            CounterKind::Counter,
            status.bytes_received as f64,
        ),
        figure(
            "activestore_sync_waits",
            "1 while rows are not sent because of sync.schedule or sync.monthly_bytes.",
            CounterKind::Gauge,
            f64::from(u8::from(status.waits.is_some())),
        ),
    ];
    if let Some(budget) = status.budget {
        all.push(figure(
            "activestore_sync_month_bytes",
            "Bytes that may cross the link to the cloud this month.",
            CounterKind::Gauge,
            budget.bytes as f64,
        ));
        all.push(figure(
            "activestore_sync_month_used_bytes",
            "Bytes that crossed the link to the cloud this month, with their headers.",
            CounterKind::Gauge,
            budget.used as f64,
        ));
    }
    all
}

impl Hooks for Peers {
    fn verify(&self, repair: bool) -> BoxFuture<'_, Result<Value>> {
        Box::pin(self.verified(repair))
    }

    fn create_token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            match &*self.side.lock().await {
                Side::Cloud(cloud) => Peers::token(cloud, request),
                _ => Err(Error::conflict("this node does not admit edges")
                    .with_hint("run activestore token create at the cloud node")),
            }
        })
    }

    fn label_edge(&self, node: NodeId, labels: Labels) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &*self.side.lock().await {
                Side::Cloud(cloud) => {
                    self.db.may_label_edges()?;
                    cloud.tokens.relabel(node, &labels)?;
                    self.db.sync_hosts().inbox.member(node, &labels);
                    Ok(())
                }
                _ => Err(Error::conflict("this node has no edges")
                    .with_hint("run activestore token label at the cloud node")),
            }
        })
    }

    fn backup(&self, to: &str) -> Result<BoxStream<'static, Value>> {
        crate::backup::stream(&self.db, to)
    }

    fn admission(&self) -> Option<Value> {
        self.stats().map(|stats| connections::admission(&stats))
    }

    fn counters(&self) -> Vec<Counter> {
        match self.side.try_lock().as_deref() {
            Ok(Side::Edge(client)) => return figures(&client.status()),
            Ok(_) => {}
            Err(_) => return Vec::new(),
        }
        let stats = self.stats();
        stats.map_or_else(Vec::new, |stats| connections::figures(&stats))
    }

    fn connections(&self) -> Value {
        // Locked only while a comparison or the shutdown runs.
        self.side
            .try_lock()
            .map_or(Value::Null, |side| Peers::state(&side))
    }
}
