//! Conflicts of shared tables: counted where they are certain, kept on wish, once each, and nothing else counts.

use super::flowing_down::{adopt, ends, folder, follow, wait_for_stream};
use super::shipping::ship;
use super::*;
use crate::conflicts::CONFLICTS_KEPT_MAX;

const SHARED: &str = "CREATE KEYSPACE shop WITH (sync = 'both');
    CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price DOUBLE, note TEXT) WITH (keep_conflicts = true)";
const SEEN: &str = r#"SELECT "key", "column", losing_value, winning_value FROM system.conflicts
    ORDER BY time, "key", "column""#;

/// Runs a statement, stamped after all that were run before at other nodes.
async fn later(db: &Db, sql: &str) {
    std::thread::sleep(Duration::from_millis(5));
    run(db, sql).await;
}

async fn counted(db: &Db) -> i64 {
    let sql = "SELECT conflicts FROM system.shared_tables WHERE keyspace = 'shop'";
    rows(db, sql).await[0].parse().unwrap()
}

async fn both(sql: &str) -> ([tempfile::TempDir; 2], Db, Db) {
    let (dirs, edge, cloud) = ends();
    run(&cloud, sql).await;
    adopt(&edge, &cloud);
    follow(&edge, &cloud);
    (dirs, edge, cloud)
}

#[test]
fn a_value_that_comes_late_and_loses_is_seen_where_it_loses() {
    runtime().block_on(async {
        let (dirs, edge, cloud) = both(SHARED).await;
        run(&cloud, "INSERT INTO shop.prices VALUES ('a', 1, 'begun')").await;
        follow(&edge, &cloud);
        // Changes by somebody who has seen what was there are no conflict, to and fro.
        later(&edge, "UPDATE shop.prices SET price = 2 WHERE item = 'a'").await;
        ship(&edge, &cloud);
        later(&cloud, "UPDATE shop.prices SET price = 3 WHERE item = 'a'").await;
        follow(&edge, &cloud);
        assert_eq!((counted(&edge).await, counted(&cloud).await), (0, 0));
        // Neither sees the other's: the cloud's stands, and the edge's comes late.
        later(
            &edge,
            "UPDATE shop.prices SET price = 4, note = 'edge' WHERE item = 'a'",
        )
        .await;
        later(&cloud, "UPDATE shop.prices SET price = 5 WHERE item = 'a'").await;
        wait_for_stream(&cloud); // so that it goes down before what comes up next
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, SEEN).await, ["item = a|price|4.0|5.0"]);
        let nodes = "SELECT losing_node, winning_node FROM system.conflicts";
        let wrote = format!("{}|{}", edge.node_id(), cloud.node_id());
        assert_eq!(rows(&cloud, nodes).await, [wrote]);
        // At the edge a newer value comes, which may have been an ordinary change; but then its own comes back late.
        follow(&edge, &cloud);
        assert_eq!(rows(&edge, SEEN).await, ["item = a|price|4.0|5.0"]);
        // The edge's stands, and it is the edge that learns of it.
        later(&cloud, "UPDATE shop.prices SET price = 6 WHERE item = 'a'").await;
        later(&edge, "UPDATE shop.prices SET price = 7 WHERE item = 'a'").await;
        ship(&edge, &cloud);
        follow(&edge, &cloud);
        assert_eq!(rows(&edge, SEEN).await[1], "item = a|price|6.0|7.0");
        assert_eq!((counted(&edge).await, counted(&cloud).await), (2, 1));
        // Equal values lose nothing.
        later(&edge, "UPDATE shop.prices SET price = 8 WHERE item = 'a'").await;
        later(&cloud, "UPDATE shop.prices SET price = 8 WHERE item = 'a'").await;
        ship(&edge, &cloud);
        assert_eq!(counted(&cloud).await, 1);
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
        drop(cloud);
        let cloud = open(dirs[1].path(), Role::Cloud);
        assert_eq!(counted(&cloud).await, 1, "counted and kept for good");
        assert_eq!(rows(&cloud, SEEN).await.len(), 1);
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn deletes_lose_and_win_as_whole_rows() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = both(SHARED).await;
        run(
            &cloud,
            "INSERT INTO shop.prices VALUES ('a', 1, 'x'), ('b', 1, 'y')",
        )
        .await;
        follow(&edge, &cloud);
        later(&edge, "UPDATE shop.prices SET price = 2 WHERE item = 'a'").await;
        later(&edge, "DELETE FROM shop.prices WHERE item = 'b'").await;
        later(&cloud, "DELETE FROM shop.prices WHERE item = 'a'").await;
        later(&cloud, "UPDATE shop.prices SET price = 2 WHERE item = 'b'").await;
        ship(&edge, &cloud);
        assert_eq!(
            rows(&cloud, SEEN).await,
            ["item = a||price = 2.0|", "item = b|||"]
        );
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn what_is_fetched_is_no_witness() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = both(SHARED).await;
        let late = folder();
        // A third node writes, the cloud changes that, and a new edge fetches all of it and follows on.
        run(&edge, "INSERT INTO shop.prices VALUES ('a', 1, 'x')").await;
        ship(&edge, &cloud);
        let newcomer = open(late.path(), Role::Edge);
        adopt(&newcomer, &cloud);
        later(&cloud, "UPDATE shop.prices SET price = 2 WHERE item = 'a'").await;
        follow(&newcomer, &cloud);
        later(
            &newcomer,
            "UPDATE shop.prices SET price = 3 WHERE item = 'a'",
        )
        .await;
        ship(&newcomer, &cloud);
        follow(&newcomer, &cloud);
        follow(&edge, &cloud);
        for db in [&edge, &cloud, &newcomer] {
            assert_eq!(counted(db).await, 0);
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn as_many_as_there_are_only_the_latest_are_kept() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = both(SHARED).await;
        for db in [&edge, &cloud] {
            for part in 0..2 {
                let values: Vec<_> = (0..600)
                    .map(|n| format!("('i{part}-{n:03}', {n}, '{}')", db.role().name()))
                    .collect();
                let insert = format!("INSERT INTO shop.prices VALUES {}", values.join(", "));
                run(db, &insert).await;
            }
        }
        ship(&edge, &cloud);
        assert_eq!(
            counted(&cloud).await,
            1_200,
            "of the notes: the prices are equal"
        );
        let kept = rows(&cloud, SEEN).await;
        assert_eq!(kept.len(), CONFLICTS_KEPT_MAX);
        let metrics = cloud.counters();
        let value = |name: &str| metrics.iter().find(|one| one.name == name).unwrap().value;
        assert_eq!(value("activestore_sync_conflicts_total"), 1_200.0);
        assert_eq!(value("activestore_sync_conflicts_let_go_total"), 200.0);
        run(
            &cloud,
            "ALTER TABLE shop.prices SET (keep_conflicts = false)",
        )
        .await;
        later(
            &edge,
            "UPDATE shop.prices SET price = 1 WHERE item = 'i0-000'",
        )
        .await;
        later(
            &cloud,
            "UPDATE shop.prices SET price = 2 WHERE item = 'i0-000'",
        )
        .await;
        ship(&edge, &cloud);
        assert_eq!(counted(&cloud).await, 1_201);
        assert_eq!(rows(&cloud, SEEN).await, kept);
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}
