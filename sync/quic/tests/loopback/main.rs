//! Both ends over real sockets on this machine: joining, refusing, shipping through a bad network,
//! definitions down, digests compared; over QUIC and over TCP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod admission;
mod allowed;
mod crossing;
mod early;
mod hosts;
mod kept;
mod over_tcp;
mod relay;
mod returning;
mod turned_away;
mod twice;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_quic::{
    ClientOptions, CloudIdentity, EdgeIdentity, Reach, ServerOptions, SyncClient, SyncServer,
    TokenRequest, TokenStore, Transport, TransportOptions,
};
use activestore_types::ErrorKind;
use hosts::{MemoryCloud, MemoryEdge};
use relay::Relay;

/// Far more than anything here takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

struct Cloud {
    _directory: tempfile::TempDir,
    identity: Arc<CloudIdentity>,
    tokens: Arc<TokenStore>,
    inbox: Arc<MemoryCloud>,
    server: SyncServer,
}

impl Cloud {
    fn start() -> Cloud {
        Cloud::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut ServerOptions)) -> Cloud {
        // The logs of both ends, shown when a test fails. Another test may have begun it.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let directory = tempfile::tempdir().unwrap();
        let identity = Arc::new(CloudIdentity::open_or_create(directory.path()).unwrap());
        let tokens = Arc::new(TokenStore::open(directory.path()).unwrap());
        let inbox = Arc::new(MemoryCloud::default());
        let mut options = ServerOptions {
            transport: TransportOptions {
                keep_alive: None,
                ..TransportOptions::quick()
            },
            catalog_every: Duration::from_millis(20),
            ..ServerOptions::new(
                "127.0.0.1:0".parse().unwrap(),
                identity.clone(),
                inbox.clone(),
                tokens.clone(),
            )
        };
        change(&mut options);
        let server = SyncServer::start(options).unwrap();
        Cloud {
            _directory: directory,
            identity,
            tokens,
            inbox,
            server,
        }
    }

    fn token(&self) -> String {
        let request = TokenRequest::default();
        self.tokens
            .create(&self.identity, request)
            .unwrap()
            .to_string()
    }
}

struct Edge {
    directory: tempfile::TempDir,
    host: Arc<MemoryEdge>,
    reach: Reach,
}

impl Edge {
    fn new(n: u8, reach: Reach) -> Edge {
        Edge {
            directory: tempfile::tempdir().unwrap(),
            host: Arc::new(MemoryEdge::new(n)),
            reach,
        }
    }

    fn start(&self, cloud: SocketAddr, token: Option<String>) -> SyncClient {
        Edge::client(self.options(cloud, token))
    }

    fn client(options: ClientOptions) -> SyncClient {
        SyncClient::start(options).unwrap()
    }

    fn options(&self, cloud: SocketAddr, token: Option<String>) -> ClientOptions {
        let identity = Arc::new(EdgeIdentity::open_or_create(self.directory.path()).unwrap());
        let mut options = ClientOptions::new(
            vec![cloud.to_string()],
            identity,
            token,
            self.host.clone(),
            self.host.clone(),
        );
        options.reach = self.reach;
        options.quick()
    }
}

const QUIC: Reach = Reach::Only(Transport::Quic);
const TCP: Reach = Reach::Only(Transport::Tcp);

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "waited in vain until {what}"
    );
}

async fn error_of(client: &SyncClient, part: &str) {
    until(part, || {
        let error = client.status().last_error;
        error.is_some_and(|error| error.contains(part))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_joins_ships_and_takes_definitions() {
    an_edge_joins_ships_and_takes_definitions_by(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_joins_ships_and_takes_definitions_over_tcp() {
    an_edge_joins_ships_and_takes_definitions_by(TCP).await;
}

async fn an_edge_joins_ships_and_takes_definitions_by(reach: Reach) {
    let cloud = Cloud::start();
    let blob: Vec<u8> = (0..700_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let name = cloud.inbox.define(blob.clone());
    let edge = Edge::new(1, reach);
    for n in 0..50_u32 {
        edge.host.seal(n.to_le_bytes().repeat(100));
    }
    let client = edge.start(cloud.server.local_addr(), Some(cloud.token()));
    until("everything is acknowledged", || edge.host.acked() == 50).await;
    assert_eq!(cloud.inbox.applied(), 50);
    until("the definitions are adopted", || {
        edge.host.catalog() == Some((1, name.to_vec()))
    })
    .await;
    assert_eq!(edge.host.blob(name), Some(blob));
    assert!(edge.host.server_wall_ms() > 1_600_000_000_000);

    // What is written and defined while the connection stands flows at once.
    edge.host.seal(b"live".to_vec());
    let second = cloud.inbox.define(vec![7; 10]);
    until("the live segment is acknowledged", || {
        edge.host.acked() == 51
    })
    .await;
    until("the new definitions are adopted", || {
        edge.host.catalog() == Some((2, second.to_vec()))
    })
    .await;

    let report = client.verify().await.unwrap();
    assert!(report.comparison.equal(), "{report:?}");
    assert_eq!(report.behind, 0);
    cloud.inbox.lose_one(edge.host.node);
    let report = client.verify().await.unwrap();
    assert_eq!(report.comparison.differing().len(), 1);

    let status = client.status();
    assert!(status.joined && status.connected_to.is_some() && status.rtt.is_some());
    assert!(status.bytes_sent > 20_000 && status.bytes_received > 700_000);
    assert_eq!(status.acknowledged_seq, 51);
    let node = edge.host.node;
    until("the cloud's list shows the edge", || {
        let peers = cloud.server.peers();
        peers.len() == 1 && peers[0].status.node == node && peers[0].status.catalog_version == 2
    })
    .await;

    client.shutdown().await;
    until("the cloud noted that the edge left", || {
        cloud
            .inbox
            .seen(node)
            .is_some_and(|status| !status.connected && status.durable_seq == 51)
    })
    .await;

    // Started again it needs no token, and ships only what is new.
    edge.host.seal(b"after the restart".to_vec());
    let client = edge.start(cloud.server.local_addr(), None);
    until("the new segment is acknowledged", || {
        edge.host.acked() == 52
    })
    .await;
    assert_eq!(cloud.inbox.applied(), 52);
    assert_eq!(cloud.server.stats().segments_repeated, 0);
    client.shutdown().await;
    cloud.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_segments_survive_loss_and_a_cut() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 10, 42).await;
    let edge = Edge::new(1, Reach::Auto);
    let client = edge.start(relay.address, Some(cloud.token()));
    for n in 0..400_u32 {
        edge.host.seal(n.to_le_bytes().repeat(64));
    }
    until("a part is acknowledged", || edge.host.acked() >= 100).await;
    relay.cut(true);
    for n in 400..1000_u32 {
        edge.host.seal(n.to_le_bytes().repeat(64));
    }
    until("the edge notices the cut", || {
        client.status().connected_to.is_none()
    })
    .await;
    assert_eq!(
        client.verify().await.unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    relay.cut(false);
    until("everything is acknowledged", || edge.host.acked() == 1000).await;
    assert_eq!(cloud.inbox.applied(), 1000, "each segment exactly once");
    assert_eq!(cloud.inbox.payloads(edge.host.node).len(), 1000);
    assert!(relay.lost() > 10);
    assert!(client.status().connections >= 2);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_token_admits_nobody_else() {
    a_used_token_admits_nobody_else_by(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_token_admits_nobody_else_over_tcp() {
    a_used_token_admits_nobody_else_by(TCP).await;
}

async fn a_used_token_admits_nobody_else_by(reach: Reach) {
    let cloud = Cloud::start();
    let token = cloud.token();
    let first = Edge::new(1, reach);
    first.host.seal(b"row".to_vec());
    let client = first.start(cloud.server.local_addr(), Some(token.clone()));
    until("the first edge is in", || first.host.acked() == 1).await;

    let second = Edge::new(2, reach);
    second.host.seal(b"row".to_vec());
    let intruder = second.start(cloud.server.local_addr(), Some(token));
    error_of(&intruder, "the token has been used").await;
    assert!(!intruder.status().joined);
    let without = Edge::new(3, reach).start(cloud.server.local_addr(), None);
    error_of(&without, "has no token").await;
    assert_eq!(cloud.inbox.applied(), 1);
    assert!(cloud.server.stats().admissions_refused >= 1);
    for client in [client, intruder, without] {
        client.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_do_not_mix() {
    clusters_do_not_mix_by(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_do_not_mix_over_tcp() {
    clusters_do_not_mix_by(TCP).await;
}

async fn clusters_do_not_mix_by(reach: Reach) {
    let (ours, theirs) = (Cloud::start(), Cloud::start());
    // A token of ours shown at theirs: the secret is not said.
    let edge = Edge::new(1, reach);
    let client = edge.start(theirs.server.local_addr(), Some(ours.token()));
    error_of(&client, "not of the cluster").await;
    assert_eq!(theirs.server.stats().admissions_refused, 0);
    client.shutdown().await;

    // A member of ours at theirs: refused by either end.
    edge.host.seal(b"row".to_vec());
    let client = edge.start(ours.server.local_addr(), Some(ours.token()));
    until("the edge is in", || edge.host.acked() == 1).await;
    client.shutdown().await;
    edge.host.seal(b"secret".to_vec());
    let client = edge.start(theirs.server.local_addr(), None);
    error_of(&client, "not of the cluster").await;
    until("theirs noted the refusal", || {
        theirs.server.stats().refused >= 1
    })
    .await;
    assert_eq!(theirs.inbox.applied(), 0);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_turned_away_stays_out() {
    a_node_that_was_turned_away_stays_out_by(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_turned_away_stays_out_over_tcp() {
    a_node_that_was_turned_away_stays_out_by(TCP).await;
}

async fn a_node_that_was_turned_away_stays_out_by(reach: Reach) {
    let cloud = Cloud::start();
    let edge = Edge::new(1, reach);
    edge.host.seal(b"row".to_vec());
    let client = edge.start(cloud.server.local_addr(), Some(cloud.token()));
    until("the edge is in", || edge.host.acked() == 1).await;
    client.shutdown().await;
    let id = cloud.tokens.list().unwrap()[0].id.clone();
    cloud.tokens.revoke(&id).unwrap();
    edge.host.seal(b"more".to_vec());
    let client = edge.start(cloud.server.local_addr(), None);
    error_of(&client, "was turned away").await;
    assert_eq!(cloud.inbox.applied(), 1);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_and_a_taken_port_do_no_harm() {
    let cloud = Cloud::start();
    let address = cloud.server.local_addr();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..200_usize {
        let noise: Vec<u8> = (0..n * 6 + 1)
            .map(|i| (i * 31 + n * 17) as u8 | 0xc0)
            .collect();
        socket.send_to(&noise, address).await.unwrap();
    }
    let options = ServerOptions::new(
        address,
        cloud.identity.clone(),
        cloud.inbox.clone(),
        cloud.tokens.clone(),
    );
    let error = SyncServer::start(options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    let edge = Edge::new(1, Reach::Auto);
    edge.host.seal(b"row".to_vec());
    let client = edge.start(address, Some(cloud.token()));
    until("the edge is in", || edge.host.acked() == 1).await;
    client.shutdown().await;
    cloud.server.shutdown().await;
}
