//! Rows of other nodes that do not fit: set aside with the reason, in the way of nothing, taken once when the cause is
//! mended.

use std::sync::Arc;

use activestore_store::{Note, WriteSet};
use activestore_types::{ErrorKind, NamedBatch, TableName};
use arrow::array::{ArrayRef, Float64Array, StringArray};

use super::flowing_down::{adopt, ends, follow};
use super::shipping::{sealed, ship};
use super::*;
use crate::set_aside::SEGMENTS_MAX;

const ASIDE: &str = r#"SELECT "table", source, node, "rows", "row" FROM system.rejected_writes ORDER BY at, "table""#;
const HERE: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.odd (device TEXT PRIMARY KEY, temp DOUBLE);
    CREATE TABLE plant.fine (device TEXT PRIMARY KEY, temp DOUBLE)";

/// One table of the edge is another one at the cloud.
async fn misfit(edge: &Db, cloud: &Db) {
    run(edge, HERE).await;
    run(cloud, "CREATE KEYSPACE plant").await;
    let odd = "CREATE TABLE plant.odd (device TEXT PRIMARY KEY, temp TEXT)";
    run(cloud, odd).await;
}

#[test]
fn one_odd_table_holds_up_no_other_and_its_rows_come_once_it_is_mended() {
    runtime().block_on(async {
        let (dirs, edge, cloud) = ends();
        misfit(&edge, &cloud).await;
        run(&edge, "INSERT INTO plant.odd VALUES ('a', 1.5)").await;
        run(&edge, "INSERT INTO plant.fine VALUES ('a', 2.5)").await;
        ship(&edge, &cloud);
        assert_eq!(edge.sync_status().pending_rows, 0, "all is acknowledged");
        assert_eq!(rows(&cloud, "SELECT temp FROM plant.fine").await, ["2.5"]);
        let from = format!("plant.odd|edge|{}|1|device = a, temp = 1.5", edge.node_id());
        assert_eq!(rows(&cloud, ASIDE).await, std::slice::from_ref(&from));
        let reason = "SELECT reason FROM system.rejected_writes";
        assert!(
            rows(&cloud, reason).await[0]
                .contains("'temp' of plant.odd is TEXT here and DOUBLE at the sender")
        );
        // Still as it was, after a start too.
        let tried = cloud.retry_rejected(None).await.unwrap();
        assert_eq!((tried.rows, tried.left, tried.reasons.len()), (0, 1, 1));
        cloud.shutdown().await.unwrap();
        drop(cloud);
        let cloud = open(dirs[1].path(), Role::Cloud);
        assert_eq!(rows(&cloud, ASIDE).await, [from]);
        // Mended, and newer rows came meanwhile: those stay in force.
        run(&cloud, "DROP TABLE plant.odd").await;
        run(&edge, "INSERT INTO plant.odd VALUES ('b', 3)").await;
        run(&edge, "UPDATE plant.odd SET temp = 9 WHERE device = 'a'").await;
        ship(&edge, &cloud);
        let other = cloud
            .retry_rejected(Some("plant.fine".parse().unwrap()))
            .await
            .unwrap();
        assert_eq!((other.rows, other.left), (0, 0));
        for taken in [1, 0] {
            let tried = cloud
                .retry_rejected(Some("plant.odd".parse().unwrap()))
                .await
                .unwrap();
            assert_eq!((tried.rows, tried.left), (taken, 0));
            let read = rows(&cloud, "SELECT device, temp FROM plant.odd ORDER BY device").await;
            assert_eq!(read, ["a|9.0", "b|3.0"]);
        }
        assert!(rows(&cloud, ASIDE).await.is_empty());
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn what_there_is_no_room_for_stays_with_its_sender() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        misfit(&edge, &cloud).await;
        for number in 0..=SEGMENTS_MAX {
            let insert = format!("INSERT INTO plant.odd VALUES ('d{number}', {number})");
            run(&edge, &insert).await;
            sealed(&edge);
        }
        let outbox = edge.sync_hosts().outbox.unwrap();
        let inbox = cloud.sync_hosts().inbox;
        let waiting = sealed(&edge);
        let epoch = outbox.identity().2;
        let mut refused = None;
        for segment in &waiting {
            if let Err(error) = inbox.apply(edge.node_id(), epoch, segment) {
                refused = Some(error);
                break;
            }
        }
        assert!(waiting.len() > SEGMENTS_MAX, "{}", waiting.len());
        assert_eq!(refused.unwrap().kind(), ErrorKind::Overloaded);
        let count = "SELECT sum(\"rows\") FROM system.rejected_writes";
        let aside: usize = rows(&cloud, count).await[0].parse().unwrap();
        assert_eq!(aside, SEGMENTS_MAX);
        let discarded = cloud.discard_rejected(None).await.unwrap();
        assert_eq!((discarded.rows as usize, discarded.left), (aside, 0));
        assert!(rows(&cloud, ASIDE).await.is_empty());
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn rows_from_above_are_set_aside_at_an_edge() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&edge, "CREATE KEYSPACE shop").await;
        run(
            &edge,
            "CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price TEXT)",
        )
        .await;
        run(&cloud, "CREATE KEYSPACE shop WITH (sync = 'both')").await;
        run(
            &cloud,
            "CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price DOUBLE)",
        )
        .await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        run(&cloud, "INSERT INTO shop.prices VALUES ('a', 1)").await;
        follow(&edge, &cloud);
        let from = format!(
            "shop.prices|cloud|{}|1|item = a, price = 1.0",
            cloud.node_id()
        );
        assert_eq!(rows(&edge, ASIDE).await, [from]);
        run(&edge, "DROP TABLE shop.prices").await;
        run(&cloud, "CREATE TABLE shop.more (item TEXT PRIMARY KEY)").await;
        adopt(&edge, &cloud);
        let tried = edge.retry_rejected(None).await.unwrap();
        assert_eq!((tried.rows, tried.left), (1, 0));
        assert_eq!(
            rows(&edge, "SELECT item, price FROM shop.prices").await,
            ["a|1.0"]
        );
        assert!(sealed(&edge).is_empty(), "what came down does not go up");
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_row_that_a_processor_refused_is_written_once_when_it_is_tried_again() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, HERE).await;
        // As it is noted beside the rows that the processor let pass.
        let row = r#"{"device":"a","temp":1.5}"#;
        for (number, table) in [(7_u64, "plant.odd"), (8, "plant.fine"), (9, "plant.odd")] {
            let kept = postcard::to_stdvec(&(1_i64, table, "anomaly", "too hot", row)).unwrap();
            let note = Note {
                key: [b"rejected/".as_slice(), &number.to_be_bytes()].concat(),
                value: Some(kept),
            };
            let notes = vec![note];
            let set = WriteSet {
                notes,
                ..WriteSet::default()
            };
            db.inner.store.commit(set).unwrap();
        }
        let table: TableName = "plant.odd".parse().unwrap();
        let refused = db.refused_rows(Some(&table));
        assert_eq!(
            refused.iter().map(|one| one.number).collect::<Vec<_>>(),
            [7, 9]
        );
        assert_eq!(refused[0].row, row);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("device", Arc::new(StringArray::from(vec!["a"]))),
            ("temp", Arc::new(Float64Array::from(vec![1.5]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let again = || vec![NamedBatch::from_record_batch(table.clone(), &batch)];
        for written in [1, 0] {
            let receipt = db.write_refused(7, again()).await.unwrap();
            assert_eq!((receipt.rows, receipt.rejected), (written, 0));
        }
        assert_eq!(
            rows(&db, "SELECT device, temp FROM plant.odd").await,
            ["a|1.5"]
        );
        let discarded = db.discard_rejected(Some(table.clone())).await.unwrap();
        assert_eq!((discarded.rows, discarded.left), (1, 0));
        let left = "SELECT processor, \"table\", source FROM system.rejected_writes";
        assert_eq!(rows(&db, left).await, ["anomaly|plant.fine|processor"]);
        db.shutdown().await.unwrap();
    });
}
