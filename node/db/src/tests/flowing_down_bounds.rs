//! What bounds the cloud's stream, and what its ends do not take from each other.

use super::flowing_down::{
    LIMITS, REFERENCE, SEALED_POLLS_MAX, adopt, asks, close, ends, folder, follow, hosts,
    wait_for_stream,
};
use super::shipping::ship;
use super::*;
use activestore_sync_proto::{SealedSegment, StartOver};
use activestore_types::ErrorKind;
use bytes::Bytes;

#[test]
fn rows_wait_for_their_definition_and_those_of_a_dropped_table_are_passed_over() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, REFERENCE).await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        run(&cloud, "CREATE TABLE ref.gone (k TEXT PRIMARY KEY)").await;
        run(&cloud, "INSERT INTO ref.gone (k) VALUES ('x')").await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('p1', 1)",
        )
        .await;
        wait_for_stream(&cloud);
        let (replica, inbox) = hosts(&edge, &cloud);
        let question = asks(&edge);
        let segment = inbox
            .down_segment(question.epoch, question.seq + 1)
            .unwrap()
            .unwrap();
        let waits = replica.apply_down(cloud.node_id(), question.epoch, &segment);
        let waits = waits.unwrap_err();
        assert_eq!(waits.kind(), ErrorKind::Overloaded, "{waits}");
        run(&cloud, "DROP TABLE ref.gone").await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        assert_eq!(rows(&edge, LIMITS).await, ["p1|1.0|"]);
        assert!(
            !edge
                .definitions()
                .tables
                .keys()
                .any(|name| name.table == "gone")
        );
        assert_eq!(edge.sync_status().down.unwrap().skipped, 1);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn a_stream_that_takes_too_much_is_let_go_and_edges_start_over() {
    runtime().block_on(async {
        let (a, c) = (folder(), folder());
        let mut options = DbOptions::new(c.path(), Role::Cloud);
        options.seal_after = Duration::ZERO;
        options.down_keep_bytes = 20_000;
        let cloud = Db::open(options).unwrap();
        let edge = open(a.path(), Role::Edge);
        run(&cloud, REFERENCE).await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        for n in 0..8 {
            run(&cloud, &format!("INSERT INTO ref.limits (device, high) SELECT CAST(random() AS TEXT), {n} FROM generate_series(1, 500)")).await;
            wait_for_stream(&cloud);
        }
        // Let go a moment after the sealing.
        let kept = || cloud.sync_status().down.unwrap().kept_bytes;
        for _ in 0..SEALED_POLLS_MAX {
            if kept() <= 20_000 {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(kept() <= 20_000, "{}", kept());
        assert_eq!(follow(&edge, &cloud).started_over, 1);
        assert_eq!(rows(&edge, "SELECT count(*) FROM ref.limits").await, ["4000"]);
        // All that is kept is let go once the edge holds it.
        assert_eq!(kept(), 0);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn an_edge_writes_for_nobody_else_and_not_to_the_clouds_own_tables() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, REFERENCE).await;
        run(&cloud, "INSERT INTO ref.limits (device, high) VALUES ('p1', 1)").await;
        wait_for_stream(&cloud);
        // A payload of the cloud's, sealed as if the edge had written it.
        let inbox = cloud.sync_hosts().inbox;
        let (payload, _) = inbox.down_rows(&[]).unwrap();
        let (node, epoch) = (edge.node_id(), activestore_types::Epoch(3));
        let genesis = activestore_sync_proto::ChainHash::GENESIS;
        let forged = SealedSegment::seal(node, epoch, 1, genesis, 1, payload);
        let refused = inbox.apply(node, epoch, &forged).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        // An edge that took the table for its own, in a database of before.
        run(&edge, "CREATE KEYSPACE ref WITH (sync = 'up'); CREATE TABLE ref.limits (device TEXT PRIMARY KEY, high DOUBLE, low DOUBLE)").await;
        run(&edge, "INSERT INTO ref.limits (device, high) VALUES ('p1', 7)").await;
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, LIMITS).await, ["p1|1.0|"]);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn what_does_not_follow_or_cannot_be_read_changes_nothing() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, REFERENCE).await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('p1', 1)",
        )
        .await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        let replica = edge.sync_hosts().replica;
        let position = replica.down_position().unwrap();
        let seal = |seq, payload: &'static [u8]| {
            let at = &position;
            SealedSegment::seal(
                at.node,
                at.epoch,
                seq,
                at.progress.hash,
                1,
                Bytes::from_static(payload),
            )
        };
        let next = position.progress.seq + 1;
        for (epoch, segment) in [
            (position.epoch, seal(next + 1, b"")),
            (position.epoch, seal(next, b"nonsense")),
            (activestore_types::Epoch(1), seal(next, b"")),
        ] {
            assert!(replica.apply_down(position.node, epoch, &segment).is_err());
        }
        assert!(replica.apply_rows(position.epoch, b"", b"", None).is_err());
        assert_eq!(replica.down_position().unwrap(), position);
        // A cursor of nonsense is the beginning.
        let inbox = cloud.sync_hosts().inbox;
        let start = StartOver {
            id: 1,
            node: position.node,
            epoch: position.epoch,
            seq: position.progress.seq,
            hash: position.progress.hash,
            definitions: 1,
            reason: String::new(),
        };
        replica.start_over(&start).unwrap();
        let (payload, next) = inbox.down_rows(b"\xff\xff nonsense").unwrap();
        replica
            .apply_rows(position.epoch, b"", &payload, next.as_deref())
            .unwrap();
        assert_eq!(rows(&edge, LIMITS).await, ["p1|1.0|"]);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn rows_that_a_restored_cloud_does_not_have_go_from_its_own_tables_but_not_newer_ones() {
    use activestore_store::{Note, WriteSet};
    use activestore_types::{BatchColumn, Hlc, RowBatch};
    use arrow::array::{ArrayRef, StringArray};
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, REFERENCE).await;
        run(&cloud, "CREATE TABLE ref.empty (device TEXT PRIMARY KEY)").await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('b', 1), ('d', 2)",
        )
        .await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        // As if the cloud had sent them before it went back to a backup, the last one just now.
        let origin = edge.inner.store.origin_id(cloud.node_id()).unwrap();
        let old = edge.inner.settled_stamp().0 - 1_000_000;
        let mut batches = Vec::new();
        for (table, devices, hlc) in [
            ("limits", vec!["a", "c", "c2", "e"], old),
            ("limits", vec!["new"], edge.inner.clock.last().0 + 1),
            ("empty", vec!["x"], old),
        ] {
            let name = activestore_types::TableName::new("ref", table);
            let schema = edge.table_schema(&name).unwrap();
            let rows = devices.len();
            let column = BatchColumn {
                id: schema.column("device").unwrap().id,
                array: std::sync::Arc::new(StringArray::from(devices)) as ArrayRef,
                set: None,
            };
            batches.push(RowBatch::upsert(
                schema.id,
                rows,
                vec![column],
                Hlc(hlc),
                origin,
            ));
        }
        let note = Note {
            key: b"sync/down-test".to_vec(),
            value: Some(Vec::new()),
        };
        let set = WriteSet {
            notes: vec![note],
            ..WriteSet::from_batches(batches)
        };
        edge.inner.store.commit(set).unwrap();
        assert_eq!(rows(&edge, "SELECT count(*) FROM ref.limits").await, ["7"]);
        cloud.inner.erase_stream().unwrap();
        assert_eq!(follow(&edge, &cloud).started_over, 1);
        let left = rows(&edge, "SELECT device FROM ref.limits ORDER BY device").await;
        assert_eq!(left, ["b", "d", "new"]);
        assert_eq!(rows(&edge, "SELECT count(*) FROM ref.empty").await, ["0"]);
        close(&[&edge, &cloud]).await;
    });
}
