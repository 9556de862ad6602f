//! A node with the wire on a free port.

use std::time::Duration;

use activestore_gateway::{Gateway, PgOptions};

use crate::client::Client;
use crate::node::Node;

impl Node {
    pub(crate) fn start() -> Node {
        Node::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut PgOptions)) -> Node {
        Node::with_heartbeat(Duration::from_secs(15), change)
    }

    /// One whose subscribers hear so often that nothing happened.
    pub(crate) fn with_heartbeat(heartbeat: Duration, change: impl FnOnce(&mut PgOptions)) -> Node {
        let mut pg = PgOptions::listening_on("127.0.0.1:0".parse().unwrap());
        change(&mut pg);
        let set = |options: &mut activestore_gateway::GatewayOptions| {
            options.pg = Some(pg);
            options.heartbeat = heartbeat;
        };
        Node::serving(set, Gateway::pg_addr)
    }

    /// A table with every type of a column.
    pub(crate) fn with_types() -> Node {
        let node = Node::start();
        node.sql(
            "CREATE KEYSPACE plant; CREATE TABLE plant.types (k TEXT, ts TIMESTAMP, b BOOLEAN, i INT, n BIGINT, \
             r REAL, d DOUBLE, m DECIMAL(12, 3), x BYTES, day DATE, u UUID, j JSON, PRIMARY KEY ((k), ts))",
        );
        node
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address, &[("user", "anna")])
    }
}
