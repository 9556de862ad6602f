//! A node in the test's own process, with one wire beside HTTP on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use activestore_db::{Db, DbOptions, Role, SqlOutcome};
use activestore_gateway::{Gateway, GatewayOptions, NoPeers};
use arrow::util::display::array_value_to_string;
use tokio::runtime::Runtime;

/// Joins that run for minutes.
pub(crate) const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b \
    WHERE a.value + b.value = 7";

pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    gateway: Option<Gateway>,
    pub(crate) db: Db,
    pub(crate) address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Node {
    /// With the wire that `change` adds, which `address` tells the address of.
    pub(crate) fn serving(
        change: impl FnOnce(&mut GatewayOptions),
        address: impl FnOnce(&Gateway) -> Option<SocketAddr>,
    ) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (db, gateway) = runtime.block_on(async {
            let files = dir.path().join("files");
            std::fs::create_dir(&files).unwrap();
            let mut options = DbOptions::new(dir.path(), Role::Edge);
            options.copy_dir = Some(files);
            let db = Db::open(options).unwrap();
            let mut options = GatewayOptions::listening_on("127.0.0.1:0".parse().unwrap());
            change(&mut options);
            let gateway = Gateway::start(options, db.clone(), Arc::new(NoPeers));
            (db, gateway.await.unwrap())
        });
        Node {
            runtime,
            address: address(&gateway).unwrap(),
            gateway: Some(gateway),
            db,
            _dir: dir,
        }
    }

    /// Runs statements at the database itself.
    pub(crate) fn sql(&self, sql: &str) {
        if let Err(error) = self.runtime.block_on(self.db.sql(sql, &[])) {
            panic!("{sql}: {error}");
        }
    }

    /// A token of a role.
    pub(crate) fn token(&self, role: &str) -> String {
        let sql = format!("CREATE TOKEN FOR {role}");
        let made = self.runtime.block_on(async {
            let mut outcomes = self.db.sql(&sql, &[]).await.unwrap();
            let Some(SqlOutcome::Rows(rows)) = outcomes.pop() else {
                panic!("a token comes as a row");
            };
            rows.collect().await.unwrap()
        });
        let column = made[0].schema().index_of("token").unwrap();
        array_value_to_string(made[0].column(column), 0).unwrap()
    }

    pub(crate) fn metrics(&self) -> String {
        let http = self.gateway.as_ref().unwrap().local_addr();
        let url = format!("http://{http}/metrics");
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .build()
            .new_agent();
        agent
            .get(url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let gateway = self.gateway.take();
        self.runtime.block_on(async {
            if let Some(gateway) = gateway {
                gateway.shutdown().await;
            }
            let _ = self.db.shutdown().await;
        });
    }
}
