//! A session that is resumed says by whom, so that what a full handshake would look at can be looked at again.

use rustls::{ClientConnection, HandshakeKind, ServerConnection};

use super::*;
use crate::certificate::{SERVER_NAME, is_valid, node_of};
use crate::clock::wall_ms;
use crate::enrol::tests::{cluster, node};

const YEAR_MS: u64 = 365 * 86_400_000;

/// A handshake without a network; what the ends are afterwards.
fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> (ClientConnection, ServerConnection) {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    (client, server)
}

#[test]
fn a_resumed_session_shows_the_certificates_of_the_full_one() {
    let cluster = cluster(0);
    let membership = cluster.edge.membership().unwrap();
    let alpn = SYNC_ALPNS.map(|(name, _)| name);
    let client = member(&cluster.edge, &membership, &alpn, true).unwrap();
    let server = Arc::new(server(&cluster.cloud, true).unwrap());
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (client, server) = shake(&client, &server);
        assert_eq!(client.handshake_kind(), Some(kind));
        assert_eq!(server.handshake_kind(), Some(kind));
        for chain in [client.peer_certificates(), server.peer_certificates()] {
            let leaf = &chain.unwrap()[0];
            assert!(is_valid(leaf, wall_ms()));
            assert!(!is_valid(leaf, wall_ms() + YEAR_MS + 86_400_000));
            assert!(!is_valid(leaf, wall_ms() - YEAR_MS));
        }
        let shown = &server.peer_certificates().unwrap()[0];
        assert_eq!(node_of(shown).unwrap(), node(1));
    }
}
