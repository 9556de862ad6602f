//! Tables that let rows go where the outbox is full: the newest arrive, what holds loses nothing, and every
//! row has arrived or is counted.

use super::processors::component;
use super::shipping::{ship_chain, waiting};
use super::*;

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, n BIGINT, note TEXT, PRIMARY KEY ((device), n)) WITH (sync_at_limit = 'drop_oldest');
    CREATE TABLE plant.orders (n BIGINT PRIMARY KEY, note TEXT);
    CREATE TABLE plant.alarms (n BIGINT PRIMARY KEY, note TEXT) WITH (sync_class = 'alarm')";

/// Bytes that may wait.
const LIMIT: u64 = 40_000;

fn bounded(dir: &Path) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.seal_after = Duration::from_secs(3600);
    options.outbox_bytes_max = Some(LIMIT);
    Db::open(options).unwrap()
}

/// Text that no compression makes small.
pub(super) fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < 120 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

/// Writes readings with those numbers, and seals them.
async fn readings(edge: &Db, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let sql = format!(
            "INSERT INTO plant.readings VALUES ('a', {n}, '{}')",
            noise(n)
        );
        run(edge, &sql).await;
    }
    seal(edge);
}

fn seal(edge: &Db) {
    edge.inner.outbox.as_ref().unwrap().seal().unwrap();
}

/// Ships what waits; nothing is sealed meanwhile.
fn ship(edge: &Db, cloud: &Db) {
    seal(edge);
    for chain in edge.sync_hosts().outbox.unwrap().chains() {
        ship_chain(edge, cloud, &chain);
    }
}

async fn numbers(db: &Db, table: &str) -> Vec<u64> {
    let found = rows(db, &format!("SELECT n FROM plant.{table} ORDER BY n")).await;
    found.iter().map(|n| n.parse().unwrap()).collect()
}

async fn let_go(db: &Db) -> u64 {
    let found = rows(
        db,
        "SELECT rows_let_go FROM system.tables WHERE name = 'readings'",
    )
    .await;
    found[0].parse().unwrap()
}

#[test]
fn the_newest_rows_arrive_and_what_holds_loses_nothing() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut edge, cloud) = (bounded(here.path()), open(there.path(), Role::Cloud));
        run(&edge, TABLES).await;
        let mut written = 0;
        for round in 0..60 {
            readings(&edge, written..written + 20).await;
            written += 20;
            if round % 6 == 0 {
                run(
                    &edge,
                    &format!("INSERT INTO plant.orders VALUES ({round}, 'o')"),
                )
                .await;
                run(
                    &edge,
                    &format!("INSERT INTO plant.alarms VALUES ({round}, 'a')"),
                )
                .await;
            }
            assert!(edge.sync_status().pending_bytes <= LIMIT);
            if round == 30 {
                // Deletes always travel.
                run(
                    &edge,
                    "DELETE FROM plant.readings WHERE device = 'a' AND n = 3",
                )
                .await;
            }
            if round == 40 {
                edge.shutdown().await.unwrap();
                drop(edge);
                edge = bounded(here.path());
            }
        }
        assert_eq!(numbers(&edge, "readings").await.len() as u64, written - 1);
        let gone = let_go(&edge).await;
        assert!(gone > written / 3, "{gone} of {written}");
        let report = &edge.sync_status().let_go[0];
        assert_eq!(
            (report.table.as_str(), report.rows),
            ("plant.readings", gone)
        );
        assert!(report.first_ms > 0 && report.first_ms <= report.last_ms);
        ship(&edge, &cloud);
        let arrived = numbers(&cloud, "readings").await;
        assert_eq!(arrived.len() as u64 + gone, written);
        // What arrived are the newest.
        assert_eq!(arrived, (gone..written).collect::<Vec<_>>());
        assert_eq!(numbers(&cloud, "orders").await.len(), 10);
        assert_eq!(numbers(&cloud, "alarms").await.len(), 10);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn what_was_handed_out_stays_what_it_was_and_the_table_takes_writes_beside_one_that_holds() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut edge, cloud) = (bounded(here.path()), open(there.path(), Role::Cloud));
        run(&edge, TABLES).await;
        readings(&edge, 0..20).await;
        let outbox = edge.sync_hosts().outbox.unwrap();
        let chain = outbox.chains()[0];
        let first = outbox.segment(chain.epoch, 1).unwrap().unwrap();
        // The cloud has it, and the edge is not told.
        let inbox = cloud.sync_hosts().inbox;
        inbox.apply(edge.node_id(), chain.epoch, &first).unwrap();
        drop(outbox);
        edge.shutdown().await.unwrap();
        drop(edge);
        edge = bounded(here.path());
        for round in 1..40 {
            readings(&edge, round * 20..round * 20 + 20).await;
        }
        let outbox = edge.sync_hosts().outbox.unwrap();
        assert_eq!(outbox.segment(chain.epoch, 1).unwrap().unwrap(), first);
        drop(outbox);
        // A table that holds fills what is left of the outbox; then its writes are refused, and others are not.
        let mut orders = 0;
        let error = loop {
            let sql = format!(
                "INSERT INTO plant.orders VALUES ({orders}, '{}')",
                noise(9_000_000 + orders)
            );
            match edge.sql(&sql, &[]).await {
                Ok(_) => orders += 1,
                Err(error) => break error,
            }
            seal(&edge);
        };
        assert!(error.message().contains("sync.outbox_bytes"), "{error}");
        assert!(orders > 40, "{orders}");
        readings(&edge, 800..820).await;
        ship(&edge, &cloud);
        assert_eq!(numbers(&cloud, "orders").await.len() as u64, orders);
        let arrived = numbers(&cloud, "readings").await.len() as u64;
        assert_eq!(arrived + let_go(&edge).await, 820);
        run(
            &edge,
            "INSERT INTO plant.orders VALUES (-1, 'there is room')",
        )
        .await;
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn of_the_oldest_rows_arrives_what_a_filter_lets_through() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (bounded(here.path()), open(there.path(), Role::Cloud));
        edge.put_plugin("downsample-filter", Some("1"), component("downsample-filter")).await.unwrap();
        run(&edge, "CREATE KEYSPACE plant WITH (sync = 'up');
            CREATE TABLE plant.readings (device TEXT, n TIMESTAMP, temp DOUBLE, note TEXT, PRIMARY KEY ((device), n));
            CREATE FILTER hours USING PLUGIN 'downsample-filter' WITH (bucket = '1h', figure = 'max');
            ALTER TABLE plant.readings SET (sync_at_limit = 'downsample', sync_at_limit_filter = 'hours')").await;
        let mut written = 0;
        for round in 0..24 {
            for minute in 0..60 {
                let sql = format!("INSERT INTO plant.readings VALUES ('a', '2026-01-01 {round:02}:{minute:02}:00', {minute}, '{}')", noise(written));
                run(&edge, &sql).await;
                written += 1;
            }
            seal(&edge);
            assert!(edge.sync_status().pending_bytes <= LIMIT);
        }
        let gone = let_go(&edge).await;
        ship(&edge, &cloud);
        let arrived = rows(&cloud, "SELECT CAST(n AS TEXT) AS at, temp FROM plant.readings ORDER BY n").await;
        assert_eq!(arrived.len() as u64 + gone, written);
        assert!(gone > written / 2, "{gone} of {written}");
        // Of an hour that was thinned one row is there, with the hour's figure.
        assert_eq!(arrived[0], "2026-01-01T00:59:00|59.0");
        assert_eq!(arrived[1], "2026-01-01T01:59:00|59.0");
        // The last hour is whole, and the table is not compared.
        assert!(arrived.iter().filter(|row| row.starts_with("2026-01-01T23")).count() == 60);
        assert_eq!(edge.filtered_tables()[0].1, "sync_at_limit");
        let error = fails(&edge, "DROP FILTER hours").await;
        assert!(error.message().contains("is used by table"), "{error}");
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_receipt_covers_no_row_that_was_let_go() {
    runtime().block_on(async {
        let here = tempfile::tempdir().unwrap();
        let edge = bounded(here.path());
        run(&edge, TABLES).await;
        let schema = |name: &str| edge.table_schema(&name.parse().unwrap()).unwrap();
        let since = |name: &str| edge.inner.whole_since(&schema(name)).unwrap();
        let before = (since("plant.readings"), since("plant.orders"));
        for round in 0..40 {
            readings(&edge, round * 20..round * 20 + 20).await;
        }
        assert!(let_go(&edge).await > 0);
        let outbox = edge.sync_hosts().outbox.unwrap();
        let left: u64 = outbox
            .chains()
            .iter()
            .map(|chain| waiting(&*outbox, chain).len() as u64)
            .sum();
        assert!(left > 0);
        // What receipts say of the table begins anew; of others it goes on.
        let after = (since("plant.readings"), since("plant.orders"));
        assert!(after.0 > before.0, "{after:?} {before:?}");
        assert_eq!(after.1, before.1);
        edge.shutdown().await.unwrap();
    });
}
