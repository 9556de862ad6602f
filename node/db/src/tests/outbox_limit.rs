//! An outbox that is full holds up the tables that travel, and no others.

use activestore_types::ErrorKind;

use super::shipping::{sealed, ship};
use super::*;

#[test]
fn writes_wait_for_the_cloud_where_the_outbox_is_full() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut options = DbOptions::new(edge_dir.path(), Role::Edge);
        options.seal_after = Duration::ZERO;
        options.outbox_bytes_max = Some(1);
        let edge = Db::open(options).unwrap();
        let cloud = open(cloud_dir.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&edge, "CREATE TABLE public.own (n BIGINT PRIMARY KEY)").await;
        let insert = "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1)";
        run(&edge, insert).await;
        assert_eq!(sealed(&edge).len(), 1);
        let error = fails(&edge, insert).await;
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        assert!(error.message().contains("sync.outbox_bytes"), "{error}");
        run(&edge, "INSERT INTO public.own (n) VALUES (1)").await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'a'").await;
        ship(&edge, &cloud);
        run(&edge, insert).await;
        ship(&edge, &cloud);
        assert_eq!(
            rows(&cloud, "SELECT count(*) FROM plant.readings").await,
            ["1"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}
