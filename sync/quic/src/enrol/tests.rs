//! A member renews its own certificate without a token, and gets nobody else's.

use std::time::Duration;

use quinn::Endpoint;

use super::*;
use crate::certificate::is_valid;
use crate::client::{Dialer, Reach};
use crate::link::Transport;
use crate::tcp_listener::TcpDoor;
use crate::tls;
use crate::token_store::TokenRequest;
use crate::transport::TransportOptions;

const DAY_MS: u64 = 86_400_000;
const BOTH: [Transport; 2] = [Transport::Quic, Transport::Tcp];

pub(crate) struct Cluster {
    directories: [tempfile::TempDir; 2],
    pub(crate) cloud: Arc<CloudIdentity>,
    tokens: Arc<TokenStore>,
    pub(crate) edge: Arc<EdgeIdentity>,
}

pub(crate) fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

/// A cluster with one member, node 1, whose certificate is `age_days` old.
pub(crate) fn cluster(age_days: u64) -> Cluster {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [cloud_dir, edge_dir] = &directories;
    let cloud = Arc::new(CloudIdentity::open_or_create(cloud_dir.path()).unwrap());
    let tokens = Arc::new(TokenStore::open(cloud_dir.path()).unwrap());
    let edge = Arc::new(EdgeIdentity::open_or_create(edge_dir.path()).unwrap());
    let token = tokens.create(&cloud, TokenRequest::default()).unwrap();
    let request = Request::read(&edge.request(node(1)).unwrap(), node(1)).unwrap();
    tokens
        .redeem(&token.secret, node(1), "pump", request.public_key())
        .unwrap();
    let made_ms = wall_ms() - age_days * DAY_MS;
    let certificate = request.sign(node(1), cloud.issuer(), made_ms).unwrap();
    edge.join(certificate.to_vec(), cloud.ca().to_vec())
        .unwrap();
    Cluster {
        directories,
        cloud,
        tokens,
        edge,
    }
}

/// The cloud's end, of one connection.
enum Listening {
    Quic(Endpoint),
    Tcp(TcpDoor),
}

impl Listening {
    fn start(cluster: &Cluster, transport: Transport) -> Listening {
        let config = tls::server(&cluster.cloud, false).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        match transport {
            Transport::Quic => {
                let config = tls::quic_server(config).unwrap();
                Listening::Quic(Endpoint::server(config, any).unwrap())
            }
            Transport::Tcp => {
                Listening::Tcp(TcpDoor::open(any, config, TransportOptions::quick()).unwrap())
            }
        }
    }

    fn address(&self) -> std::net::SocketAddr {
        match self {
            Listening::Quic(endpoint) => endpoint.local_addr().unwrap(),
            Listening::Tcp(door) => door.local_addr().unwrap(),
        }
    }

    async fn accept(&self) -> Link {
        match self {
            Listening::Quic(endpoint) => {
                Link::Quic(endpoint.accept().await.unwrap().await.unwrap())
            }
            Listening::Tcp(door) => {
                let arrival = TcpDoor::accept(Some(door)).await;
                Link::Tcp(arrival.handshake().await.unwrap())
            }
        }
    }
}

/// The member asks for a certificate for `wanted`, by its certificate alone.
async fn renew(
    cluster: &Cluster,
    wanted: NodeId,
    transport: Transport,
) -> (Result<()>, Result<Enrolled>) {
    let server = Listening::start(cluster, transport);
    let address = server.address();
    let (cloud, tokens) = (cluster.cloud.clone(), cluster.tokens.clone());
    let answering = tokio::spawn(async move {
        let connection = server.accept().await;
        let member = Member::of(&connection.member().unwrap()).unwrap();
        answer(&connection, Some(member), cloud, tokens).await
    });
    let membership = cluster.edge.membership().unwrap();
    let config = tls::member(&cluster.edge, &membership, &[tls::ENROL_ALPN], false).unwrap();
    let patience = Duration::from_secs(30);
    let mut dialer = Dialer::new(
        Reach::Only(transport),
        TransportOptions::quick(),
        patience,
        patience,
        Arc::default(),
    );
    let connection = dialer.connect(&[address], &config, patience).await.unwrap();
    let asked = ask(&connection, &cluster.edge, wanted, "pump", &[]).await;
    connection.close(b"done");
    (asked, answering.await.unwrap())
}

#[tokio::test]
async fn an_old_certificate_is_renewed() {
    for transport in BOTH {
        let cluster = cluster(300);
        assert!(cluster.edge.is_due());
        let (asked, answered) = renew(&cluster, node(1), transport).await;
        asked.unwrap();
        let enrolled = answered.unwrap();
        assert!(enrolled.node == node(1) && enrolled.renewed);
        assert!(!cluster.edge.is_due());
        // What was kept is what the next start finds.
        let again = EdgeIdentity::open_or_create(cluster.directories[1].path()).unwrap();
        assert!(again.joined() && !again.is_due());
        assert_eq!(again.node(), Some(node(1)));
    }
}

#[tokio::test]
async fn a_member_cannot_become_another_node() {
    for transport in BOTH {
        let cluster = cluster(0);
        let (asked, answered) = renew(&cluster, node(2), transport).await;
        assert!(asked.is_err() && answered.is_err());
        assert_eq!(cluster.edge.node(), Some(node(1)));
    }
}

#[tokio::test]
async fn a_member_that_was_turned_away_cannot_renew() {
    for transport in BOTH {
        let cluster = cluster(300);
        let id = cluster.tokens.list().unwrap()[0].id.clone();
        cluster.tokens.revoke(&id).unwrap();
        let (asked, _) = renew(&cluster, node(1), transport).await;
        assert!(asked.unwrap_err().message().contains("turned away"));
    }
}

/// What the cloud says to a member that asks for a certificate for the key of `asks`.
fn decided(cluster: &Cluster, asks: &EdgeIdentity) -> Result<()> {
    let request = EnrolRequest {
        version: VERSION,
        node: node(1),
        name: "pump".to_owned(),
        secret: Vec::new(),
        certificate_request: asks.request(node(1)).unwrap(),
    };
    let bytes = postcard::to_stdvec(&request).unwrap();
    let own = cluster.edge.membership().unwrap().certificate;
    let member = Some(Member::of(&own).unwrap());
    decide(&bytes, member, &cluster.cloud, &cluster.tokens).map(drop)
}

#[test]
fn a_certificate_is_renewed_for_its_own_key_alone() {
    let cluster = cluster(300);
    decided(&cluster, &cluster.edge).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let thief = EdgeIdentity::open_or_create(directory.path()).unwrap();
    let refused = decided(&cluster, &thief).unwrap_err();
    assert!(refused.message().contains("another one"), "{refused}");
}

#[test]
fn a_device_that_joined_again_shuts_its_old_certificate_out() {
    let cluster = cluster(0);
    let id = cluster.tokens.list().unwrap()[0].id.clone();
    cluster.tokens.revoke(&id).unwrap();
    let token = cluster
        .tokens
        .create(&cluster.cloud, TokenRequest::default());
    let secret = token.unwrap().secret;
    cluster
        .tokens
        .redeem(&secret, node(1), "pump", b"another key")
        .unwrap();
    let refused = decided(&cluster, &cluster.edge).unwrap_err();
    assert!(refused.message().contains("joined again"), "{refused}");
}

#[test]
fn a_cloud_of_the_far_future_is_believed_until_the_certificate_is_due() {
    let cluster = cluster(0);
    let clock = cluster.edge.clock();
    let now_ms = wall_ms();
    cluster.edge.observe_cloud(now_ms + 10 * 365 * DAY_MS);
    let own = cluster.edge.membership().unwrap().certificate;
    assert!(clock.now_ms() > now_ms + 100 * DAY_MS);
    assert!(is_valid(&own, clock.now_ms()), "it can still be shown");
    assert!(!cluster.edge.is_due(), "and is not renewed again and again");
    // The next start is told the same.
    let again = EdgeIdentity::open_or_create(cluster.directories[1].path()).unwrap();
    assert_eq!(again.clock().now_ms(), clock.now_ms());
}

#[test]
fn a_cloud_that_runs_for_years_shows_a_certificate_that_is_valid() {
    let cluster = cluster(0);
    let cloud = &cluster.cloud;
    let first = cloud.server();
    assert!(!cloud.renew_if_due(wall_ms() + 100 * DAY_MS).unwrap());
    let late_ms = wall_ms() + 300 * DAY_MS;
    assert!(cloud.renew_if_due(late_ms).unwrap());
    assert!(cloud.server() != first && is_valid(&cloud.server(), late_ms));
    assert_eq!(cloud.chain()[0], cloud.server());
    // A clock that was ahead and was set right.
    assert!(!is_valid(&cloud.server(), wall_ms()));
    assert!(cloud.renew_if_due(wall_ms()).unwrap());
    let again = CloudIdentity::open_or_create(cluster.directories[0].path()).unwrap();
    assert_eq!(again.server(), cloud.server());
}

#[test]
fn a_request_for_another_node_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let edge = EdgeIdentity::open_or_create(directory.path()).unwrap();
    let request = edge.request(node(1)).unwrap();
    assert!(Request::read(&request, node(2)).is_err());
    for end in 0..request.len() {
        assert!(Request::read(&request[..end], node(1)).is_err());
    }
}
