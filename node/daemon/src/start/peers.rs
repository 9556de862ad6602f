//! The other nodes: an edge's connection to its cloud, the cloud's listener for edges, a gateway's both, and what
//! the HTTP interface asks of them.

use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "mqtt")]
use std::sync::OnceLock;
use std::time::Duration;

use activestore_db::{Counter, Db, OWN_CLOUD, Role};
use activestore_gateway::{Hooks, TokenRequest};
#[cfg(feature = "mqtt")]
use activestore_ingest::mqtt::MqttCounts;
use activestore_sync_proto::Inbox;
use activestore_sync_quic::{
    CloudIdentity, ServerOptions, ServerStats, SyncClient, SyncServer, TokenStore, Transport,
    TransportOptions,
};
use activestore_types::{Error, Labels, NodeId, Result};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::compared::{hex, report};
use super::connections;
#[cfg(feature = "mqtt")]
use super::mqtt::figures;
use super::settings::Settings;
use super::uplinks;
use crate::config::LinkSetting;
use crate::otlp;

/// Keys and certificates, inside the data directory.
pub const IDENTITY_DIR: &str = "identity";

/// Those of a gateway's own authority: to its cloud it is an edge, to its edges a cloud.
pub const EDGES_IDENTITY_DIR: &str = "identity-edges";

/// Over a wire receipts cost nothing worth saving.
const QUICK_RECEIPTS: Duration = Duration::from_secs(1);

/// What there is on either side.
#[derive(Default)]
struct Sides {
    up: Option<SyncClient>,
    /// To further clouds, by what this node calls them.
    also: Vec<(String, SyncClient)>,
    down: Option<Cloud>,
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
    sides: Mutex<Sides>,
    /// Shown beside the peers' figures.
    #[cfg(feature = "mqtt")]
    mqtt: OnceLock<Vec<MqttCounts>>,
}

impl Peers {
    /// Starts the sides that the role asks for.
    ///
    /// # Errors
    /// `Conflict` when the address is in use, `Invalid` for a token that cannot be read, `Corrupt`
    /// for a broken identity.
    pub fn start(settings: &Settings, db: &Db) -> Result<Peers> {
        let hosts = db.sync_hosts();
        let down = match settings.quic {
            Some(listen) if db.role().has_edges() => {
                Some(Cloud::start(settings, listen, db, hosts.inbox)?)
            }
            _ => None,
        };
        let up = match hosts.outbox {
            Some(outbox) if db.role().has_cloud() && !settings.peers.is_empty() => {
                Some(uplinks::to_own_cloud(settings, db, outbox, hosts.replica)?)
            }
            _ => None,
        };
        let also = uplinks::to_further_clouds(settings, db)?;
        Ok(Peers {
            db: db.clone(),
            local_addr: down.as_ref().map(|cloud| cloud.server.local_addr()),
            sides: Mutex::new(Sides { up, also, down }),
            #[cfg(feature = "mqtt")]
            mqtt: OnceLock::new(),
        })
    }

    /// Shows what MQTT counts beside what the peers do.
    #[cfg(feature = "mqtt")]
    pub fn show(&self, mqtt: Vec<MqttCounts>) {
        // There is one MQTT of a node.
        let _ = self.mqtt.set(mqtt);
    }

    /// Where the cloud listens for edges.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Says goodbye to the peers.
    pub async fn shutdown(&self) {
        let sides = std::mem::take(&mut *self.sides.lock().await);
        if let Some(cloud) = sides.down {
            cloud.server.shutdown().await;
        }
        let further = sides.also.into_iter().map(|(_, client)| client);
        let clients = sides.up.into_iter().chain(further);
        futures::future::join_all(clients.map(SyncClient::shutdown)).await;
    }

    /// What the listener for edges counted.
    fn stats(&self) -> Option<ServerStats> {
        // Locked only while a comparison or the shutdown runs.
        let sides = self.sides.try_lock().ok()?;
        sides.down.as_ref().map(|cloud| cloud.server.stats())
    }

    async fn verified(&self, repair: bool, cloud: Option<&str>) -> Result<Value> {
        let sides = self.sides.lock().await;
        let up = match cloud {
            None => sides.up.as_ref(),
            Some(name) => {
                self.db.check_further(name)?;
                sides.further(name)
            }
        };
        match (up, &sides.down) {
            (Some(client), _) => {
                let compared = match repair {
                    true => client.repair().await?,
                    false => client.verify().await?,
                };
                Ok(report(&compared, &self.db))
            }
            (None, Some(_)) if repair => Err(Error::conflict("a cloud does not mend edges")
                .with_hint("run activestore sync verify --repair at the edge")),
            (None, Some(_)) => self.held().await,
            (None, None) => Err(Error::conflict("this node has no peer to compare with")
                .with_hint("start it with --peer HOST:PORT")),
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

    fn state(sides: &Sides) -> Value {
        let up = sides.uplinks().map(|(cloud, client)| {
            let status = client.status();
            json!({
                "cloud": cloud.unwrap_or(OWN_CLOUD),
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
            })
        });
        let down = sides.down.iter().flat_map(|cloud| cloud.server.peers());
        let down = down.map(|peer| {
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
        });
        up.chain(down).collect()
    }
}

impl Sides {
    /// The connections to clouds, those to further ones with their names.
    fn uplinks(&self) -> impl Iterator<Item = (Option<&str>, &SyncClient)> {
        let further = self.also.iter();
        let further = further.map(|(name, client)| (Some(name.as_str()), client));
        self.up.iter().map(|client| (None, client)).chain(further)
    }

    fn further(&self, name: &str) -> Option<&SyncClient> {
        let found = self.also.iter().find(|(known, _)| known == name);
        found.map(|(_, client)| client)
    }
}

impl Cloud {
    fn start(
        settings: &Settings,
        listen: SocketAddr,
        db: &Db,
        inbox: Arc<dyn Inbox>,
    ) -> Result<Cloud> {
        let directory = settings.db.data_dir.join(match db.role() {
            Role::Gateway => EDGES_IDENTITY_DIR,
            Role::Edge | Role::Cloud => IDENTITY_DIR,
        });
        let identity = Arc::new(CloudIdentity::open_or_create(&directory)?);
        let tokens = Arc::new(TokenStore::open(&directory)?);
        db.sign_receipts_with(identity.clone());
        let mut options = ServerOptions::new(listen, identity.clone(), inbox, tokens.clone());
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
        Ok(Cloud {
            server: SyncServer::start(options)?,
            identity,
            tokens,
        })
    }
}

impl Hooks for Peers {
    fn verify<'a>(&'a self, repair: bool, cloud: Option<&'a str>) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.verified(repair, cloud))
    }

    fn create_token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            match &self.sides.lock().await.down {
                Some(cloud) => Peers::token(cloud, request),
                None => Err(Error::conflict("this node does not admit edges")
                    .with_hint("run activestore token create at the cloud node")),
            }
        })
    }

    fn label_edge(&self, node: NodeId, labels: Labels) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &self.sides.lock().await.down {
                Some(cloud) => {
                    self.db.may_label_edges()?;
                    cloud.tokens.relabel(node, &labels)?;
                    self.db.sync_hosts().inbox.member(node, &labels);
                    Ok(())
                }
                None => Err(Error::conflict("this node has no edges")
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
        let mut all = otlp::counters();
        #[cfg(feature = "mqtt")]
        all.extend(self.mqtt.get().into_iter().flat_map(|mqtt| figures(mqtt)));
        let Ok(sides) = self.sides.try_lock() else {
            return all;
        };
        let uplinks = sides.uplinks();
        all.extend(
            uplinks.flat_map(|(cloud, client)| connections::link_figures(cloud, &client.status())),
        );
        let down = sides.down.iter();
        all.extend(down.flat_map(|cloud| connections::figures(&cloud.server.stats())));
        all
    }

    fn connections(&self) -> Value {
        // Locked only while a comparison or the shutdown runs.
        self.sides
            .try_lock()
            .map_or(Value::Null, |sides| Peers::state(&sides))
    }
}
