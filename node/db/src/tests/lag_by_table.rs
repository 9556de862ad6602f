//! What waits for the cloud, by table and class: exact where every segment is looked at, else in the right proportion.

use super::shipping::{sealed, ship};
use super::*;

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.few (device TEXT PRIMARY KEY, temp DOUBLE);
    CREATE TABLE plant.many (device TEXT PRIMARY KEY, temp DOUBLE)";
const WAITS: &str =
    r#"SELECT keyspace, "table", class, "rows", exact FROM system.sync_tables ORDER BY "table""#;

#[test]
fn rows_that_wait_are_told_by_table_until_they_are_acknowledged() {
    runtime().block_on(async {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let edge = open(dirs[0].path(), Role::Edge);
        let cloud = open(dirs[1].path(), Role::Cloud);
        run(&edge, TABLES).await;
        assert!(rows(&edge, WAITS).await.is_empty());
        let segment = "INSERT INTO plant.few VALUES ('a', 1); INSERT INTO plant.many VALUES ('a', 1), ('b', 2), ('c', 3)";
        for _ in 0..4 {
            run(&edge, segment).await;
            sealed(&edge);
        }
        let waits = ["plant|few|live|4|true", "plant|many|live|12|true"];
        assert_eq!(rows(&edge, WAITS).await, waits);
        for _ in 0..100 {
            run(&edge, segment).await;
            sealed(&edge);
        }
        // Of a long chain some segments are looked at: all of these are alike, and the sums are exact.
        let pending = edge.sync_status();
        let tables = edge.sync_tables();
        let sum = |of: fn(&crate::TableLag) -> u64| tables.iter().map(of).sum::<u64>();
        assert!(sum(|one| one.rows).abs_diff(pending.pending_rows) <= 1);
        assert!(sum(|one| one.bytes).abs_diff(pending.pending_bytes) <= 1);
        assert!(tables.iter().all(|one| one.oldest_s < 600.0));
        let many = tables.iter().find(|one| one.table == "plant.many").unwrap();
        let share = many.rows as f64 / pending.pending_rows as f64;
        assert!((0.5..0.95).contains(&share), "{share}");
        let metrics = edge.counters();
        let named = metrics.iter().filter(|one| one.name == "activestore_sync_table_rows");
        assert_eq!(named.map(|one| one.value).sum::<f64>(), sum(|one| one.rows) as f64);
        ship(&edge, &cloud);
        assert!(rows(&edge, WAITS).await.is_empty());
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}
