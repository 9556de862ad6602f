//! A member renews its own certificate without a token, and gets nobody else's.

use quinn::Endpoint;
use rustls::pki_types::CertificateDer;

use super::*;
use crate::certificate::SERVER_NAME;
use crate::tls;
use crate::token_store::TokenRequest;

const DAY_MS: u64 = 86_400_000;

struct Cluster {
    directories: [tempfile::TempDir; 2],
    cloud: Arc<CloudIdentity>,
    tokens: Arc<TokenStore>,
    edge: Arc<EdgeIdentity>,
}

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

/// A cluster with one member, node 1, whose certificate is `age_days` old.
fn cluster(age_days: u64) -> Cluster {
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

/// The member asks for a certificate for `wanted`, by its certificate alone.
async fn renew(cluster: &Cluster, wanted: NodeId) -> (Result<()>, Result<NodeId>) {
    let server = Endpoint::server(
        tls::server(&cluster.cloud).unwrap(),
        "127.0.0.1:0".parse().unwrap(),
    )
    .unwrap();
    let address = server.local_addr().unwrap();
    let (cloud, tokens) = (cluster.cloud.clone(), cluster.tokens.clone());
    let answering = tokio::spawn(async move {
        let connection = server.accept().await.unwrap().await.unwrap();
        let chain = connection.peer_identity().unwrap();
        let chain: Box<Vec<CertificateDer<'static>>> = chain.downcast().unwrap();
        let member = node_of(&chain[0]).unwrap();
        answer(&connection, Some(member), cloud, tokens).await
    });
    let client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let membership = cluster.edge.membership().unwrap();
    let config = tls::member(&cluster.edge, &membership, &[tls::ENROL_ALPN]).unwrap();
    let connection = client
        .connect_with(config, address, SERVER_NAME)
        .unwrap()
        .await
        .unwrap();
    let asked = ask(&connection, &cluster.edge, wanted, "pump", &[]).await;
    connection.close(failure::CLOSE, b"done");
    (asked, answering.await.unwrap())
}

#[tokio::test]
async fn an_old_certificate_is_renewed() {
    let cluster = cluster(300);
    assert!(cluster.edge.is_due());
    let (asked, answered) = renew(&cluster, node(1)).await;
    asked.unwrap();
    assert_eq!(answered.unwrap(), node(1));
    assert!(!cluster.edge.is_due());
    // What was kept is what the next start finds.
    let again = EdgeIdentity::open_or_create(cluster.directories[1].path()).unwrap();
    assert!(again.joined() && !again.is_due());
    assert_eq!(again.node(), Some(node(1)));
}

#[tokio::test]
async fn a_member_cannot_become_another_node() {
    let cluster = cluster(0);
    let (asked, answered) = renew(&cluster, node(2)).await;
    assert!(asked.is_err() && answered.is_err());
    assert_eq!(cluster.edge.node(), Some(node(1)));
}

#[tokio::test]
async fn a_member_that_was_turned_away_cannot_renew() {
    let cluster = cluster(300);
    let id = cluster.tokens.list().unwrap()[0].id.clone();
    cluster.tokens.revoke(&id).unwrap();
    let (asked, _) = renew(&cluster, node(1)).await;
    assert!(asked.unwrap_err().message().contains("turned away"));
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
