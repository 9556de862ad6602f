//! Members that are none any more: a session ends when its token is turned away, and a device that joined again shuts
//! out the copy of it with the key from before.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_a_node_that_is_turned_away_ends() {
    for reach in [QUIC, TCP] {
        let cloud = Cloud::start();
        let [away, stays] = [Edge::new(1, reach), Edge::new(2, reach)];
        let mut clients = Vec::new();
        for edge in [&away, &stays] {
            edge.host.seal(b"row".to_vec());
            let client = edge.start(cloud.server.local_addr(), Some(cloud.token()));
            until("the edge is in", || edge.host.acked() == 1).await;
            clients.push(client);
        }
        let id = cloud.tokens.list().unwrap()[0].id.clone();
        cloud.tokens.revoke(&id).unwrap();
        error_of(&clients[0], "was turned away").await;
        until("it is told of", || {
            let told = cloud.inbox.told_of_members();
            told.iter().any(|told| told.contains("was turned away"))
        })
        .await;
        stays.host.seal(b"more".to_vec());
        until("the other one goes on", || stays.host.acked() == 2).await;
        assert_eq!(clients[1].status().connections, 1);
        for client in clients {
            client.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_joined_again_shuts_out_what_it_was_before() {
    let cloud = Cloud::start();
    let before = Edge::new(1, QUIC);
    before.host.seal(b"row".to_vec());
    let stolen = before.start(cloud.server.local_addr(), Some(cloud.token()));
    until("the edge is in", || before.host.acked() == 1).await;
    let id = cloud.tokens.list().unwrap()[0].id.clone();
    cloud.tokens.revoke(&id).unwrap();
    let after = Edge::new(1, QUIC);
    after.host.seal(b"row".to_vec());
    let client = after.start(cloud.server.local_addr(), Some(cloud.token()));
    until("the device is in again", || after.host.acked() == 1).await;
    error_of(&stolen, "joined again").await;
    assert!(client.status().connected_to.is_some());
    stolen.shutdown().await;
    client.shutdown().await;
}
