//! Segments from an edge's log to a cloud's tables: each row once, whatever is repeated, and the same
//! digests at both ends.

use std::sync::Arc;

use super::*;
use activestore_sync_proto::{Inbox, Outbox, OutboxChain, SealedSegment};
use proptest::prelude::*;

use crate::outbox::segment::Segment;

/// How often a test looks whether everything is sealed, 2 ms apart.
const SEALED_POLLS_MAX: usize = 10_000;

/// Waits until the edge has sealed everything that is committed.
pub(super) fn sealed(edge: &Db) -> Vec<SealedSegment> {
    let outbox = edge.sync_hosts().outbox.unwrap();
    // Looked at once a round: a thread of the database may commit a note right after.
    let done = (0..SEALED_POLLS_MAX).any(|_| {
        let done = edge.sync_status().unsealed_records == 0;
        if !done {
            std::thread::sleep(Duration::from_millis(2));
        }
        done
    });
    assert!(done, "not sealed in time");
    waiting(&*outbox, &outbox.chains()[0])
}

/// The segments of a chain that wait.
pub(super) fn waiting(outbox: &dyn Outbox, chain: &OutboxChain) -> Vec<SealedSegment> {
    let position = chain.position;
    (position.first_unacked..=position.last_sealed)
        .map(|seq| outbox.segment(chain.epoch, seq).unwrap().unwrap())
        .collect()
}

/// Sets the chain of live rows aside, as after a handshake with a cloud that does not know it.
pub(super) fn another_epoch(edge: &Db) {
    let outbox = edge.sync_hosts().outbox.unwrap();
    outbox.new_epoch(outbox.identity().2).unwrap();
}

/// Ships what waits, every segment twice, and acknowledges it.
pub(super) fn ship(edge: &Db, cloud: &Db) {
    sealed(edge);
    ship_sealed(edge, cloud);
}

/// The same of what is sealed by now.
pub(super) fn ship_sealed(edge: &Db, cloud: &Db) {
    for chain in edge.sync_hosts().outbox.unwrap().chains() {
        ship_chain(edge, cloud, &chain);
    }
}

/// The same, of one chain.
pub(super) fn ship_chain(edge: &Db, cloud: &Db, chain: &OutboxChain) {
    ship_from(&*edge.sync_hosts().outbox.unwrap(), edge, cloud, chain);
}

/// The same, of a chain of that outbox of the edge.
pub(super) fn ship_from(outbox: &dyn Outbox, edge: &Db, cloud: &Db, chain: &OutboxChain) {
    let inbox = cloud.sync_hosts().inbox;
    let (node, epoch) = (edge.node_id(), chain.epoch);
    for segment in waiting(outbox, chain) {
        assert!(segment.verify(node, epoch));
        inbox.apply(node, epoch, &segment).unwrap();
        inbox.apply(node, epoch, &segment).unwrap();
        outbox.acknowledged(epoch, segment.seq).unwrap();
    }
}

pub(super) async fn same(edge: &Db, cloud: &Db) {
    let here = edge.digests(Some(edge.node_id())).await.unwrap();
    let there = cloud.digests(Some(edge.node_id())).await.unwrap();
    let compared = activestore_sync_proto::DigestComparison::new(&here, &there);
    assert!(compared.equal(), "{compared:?}");
    assert!(!here.is_empty());
}

#[test]
fn rows_deletes_and_new_columns_arrive_once_and_the_digests_agree() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (open(edge_dir.path(), Role::Edge), open(cloud_dir.path(), Role::Cloud));
        run(&edge, PLANT).await;
        run(&edge, "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1), ('a', '2026-01-02', 2), ('b', '2026-01-01', 3)").await;
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        run(&edge, "ALTER TABLE plant.readings ADD COLUMN vib DOUBLE").await;
        run(&edge, "INSERT INTO plant.readings (device, ts, vib) VALUES ('a', '2026-01-01', 0.5)").await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'b'").await;
        run(&edge, "DELETE FROM plant.readings WHERE temp = 2").await;
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(rows(&cloud, "SELECT device, ts, temp, vib FROM plant.readings").await, ["a|2026-01-01T00:00:00|1.0|0.5"]);
        // Both ends restart; nothing is shipped again, nothing is lost.
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
        drop((edge, cloud));
        let (edge, cloud) = (open(edge_dir.path(), Role::Edge), open(cloud_dir.path(), Role::Cloud));
        assert!(sealed(&edge).is_empty());
        same(&edge, &cloud).await;
        assert_eq!(rows(&cloud, "SELECT count(*) FROM plant.readings").await, ["1"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_segment_out_of_turn_is_refused_and_changes_nothing() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (
            open(edge_dir.path(), Role::Edge),
            open(cloud_dir.path(), Role::Cloud),
        );
        run(&edge, PLANT).await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1)",
        )
        .await;
        sealed(&edge);
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-02', 2)",
        )
        .await;
        let segments = sealed(&edge);
        assert_eq!(segments.len(), 2);
        let (node, _, epoch) = edge.sync_hosts().outbox.unwrap().identity();
        let inbox: Arc<dyn Inbox> = cloud.sync_hosts().inbox;
        assert!(inbox.apply(node, epoch, &segments[1]).is_err());
        let mut torn = segments[0].clone();
        torn.payload = torn.payload.slice(..torn.payload.len() / 2);
        assert!(inbox.apply(node, epoch, &torn).is_err());
        assert!(inbox.progress(node, epoch).unwrap().is_none());
        for segment in &segments {
            inbox.apply(node, epoch, segment).unwrap();
        }
        assert_eq!(inbox.progress(node, epoch).unwrap().unwrap().seq, 2);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_new_epoch_ships_what_waits_again_without_doubling() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (
            open(edge_dir.path(), Role::Edge),
            open(cloud_dir.path(), Role::Cloud),
        );
        run(&edge, PLANT).await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1)",
        )
        .await;
        let outbox = edge.sync_hosts().outbox.unwrap();
        let (node, _, epoch) = outbox.identity();
        for segment in sealed(&edge) {
            cloud
                .sync_hosts()
                .inbox
                .apply(node, epoch, &segment)
                .unwrap();
        }
        // The acknowledgement is lost, and the cloud asks for a new epoch.
        outbox.new_epoch(epoch).unwrap();
        assert_ne!(outbox.identity().2, epoch);
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(
            rows(&cloud, "SELECT count(*), sum(temp) FROM plant.readings").await,
            ["1|1.0"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_large_write_is_cut_into_segments_that_fit_a_frame() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (open(edge_dir.path(), Role::Edge), open(cloud_dir.path(), Role::Cloud));
        run(&edge, PLANT).await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp, status)
             SELECT 'd' || (value % 50), to_timestamp_nanos(value), sin(value), CAST(random() AS TEXT)
             FROM generate_series(1, 60000)",
        )
        .await;
        assert!(sealed(&edge).len() > 2);
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(rows(&cloud, "SELECT count(*) FROM plant.readings").await, ["60000"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

proptest! {
    #[test]
    fn hostile_payloads_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Segment::unpack(&bytes).is_err());
        if let Ok(packed) = zstd::bulk::compress(&bytes, 1) {
            // Whatever it unpacks to must be refused or decode to rows that fit.
            let _checked = Segment::unpack(&packed);
        }
    }
}

#[test]
fn a_table_that_a_wire_makes_on_an_edge_travels_up() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (
            open(edge_dir.path(), Role::Edge),
            open(cloud_dir.path(), Role::Cloud),
        );
        let column = |name: &str, array: arrow::array::ArrayRef| activestore_types::NamedColumn {
            name: name.to_owned(),
            array,
            set: None,
            declared: None,
        };
        edge.write(vec![activestore_types::NamedBatch {
            table: "wire.weather".parse().unwrap(),
            rows: 1,
            columns: vec![
                column(
                    "site",
                    Arc::new(arrow::array::StringArray::from(vec!["roof"])),
                ),
                column(
                    "temp",
                    Arc::new(arrow::array::Float64Array::from(vec![21.5])),
                ),
            ],
            ttl_s: None,
            create: Some(activestore_types::KeyHint {
                partition: vec!["site".to_owned()],
                clustering: vec![],
            }),
        }])
        .await
        .unwrap();
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(
            rows(&cloud, "SELECT site, temp FROM wire.weather").await,
            ["roof|21.5"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_cursor_that_a_crash_left_before_the_log_holds_nothing_up() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (outbox, kept) = (
            edge_dir.path().join("outbox.redb"),
            cloud_dir.path().join("kept.redb"),
        );
        let edge = open(edge_dir.path(), Role::Edge);
        run(&edge, PLANT).await;
        run(
            &edge,
            "CREATE KEYSPACE own WITH (sync = 'none');
             CREATE TABLE own.notes (id TEXT PRIMARY KEY)",
        )
        .await;
        let first = "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-02', 1)";
        run(&edge, first).await;
        sealed(&edge);
        edge.shutdown().await.unwrap();
        drop(edge);
        std::fs::copy(&outbox, &kept).unwrap();
        let edge = open(edge_dir.path(), Role::Edge);
        run(&edge, "INSERT INTO own.notes (id) VALUES ('x'), ('y')").await;
        sealed(&edge);
        // The log goes on in another segment and gives the first one back.
        run(&edge, "ALTER TABLE own.notes COMPACT").await;
        edge.shutdown().await.unwrap();
        drop(edge);
        // As a crash leaves it: nothing since was synced.
        std::fs::copy(&kept, &outbox).unwrap();
        let edge = open(edge_dir.path(), Role::Edge);
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1)",
        )
        .await;
        let cloud = open(&cloud_dir.path().join("data"), Role::Cloud);
        ship(&edge, &cloud);
        assert_eq!(
            rows(&cloud, "SELECT count(*) FROM plant.readings").await,
            ["2"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_delete_that_comes_before_the_rows_it_covers_hides_them() {
    use activestore_store::WriteSet;
    use activestore_types::{BatchColumn, RowBatch};
    use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (
            open(edge_dir.path(), Role::Edge),
            open(cloud_dir.path(), Role::Cloud),
        );
        run(&edge, PLANT).await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'a'").await;
        ship(&edge, &cloud);
        // By it, the cloud knows the table. Now a row that a slower writer had stamped before.
        assert_eq!(
            rows(&cloud, "SELECT count(*) FROM plant.readings").await,
            ["0"]
        );
        let schema = edge
            .inner
            .catalog
            .state()
            .tables
            .values()
            .next()
            .unwrap()
            .clone();
        let column = |name: &str, array: ArrayRef| BatchColumn {
            id: schema.column(name).unwrap().id,
            array,
            set: None,
        };
        let columns = vec![
            column("device", Arc::new(StringArray::from(vec!["a"]))),
            column("ts", Arc::new(TimestampNanosecondArray::from(vec![5]))),
        ];
        let (hlc, origin) = (activestore_types::Hlc(1000), activestore_types::OriginId(0));
        let late = RowBatch::upsert(schema.id, 1, columns, hlc, origin);
        edge.inner
            .store
            .commit(WriteSet::from_batches(vec![late]))
            .unwrap();
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('b', '2026-01-01', 1)",
        )
        .await;
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(
            rows(&cloud, "SELECT device FROM plant.readings").await,
            ["b"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}
