//! Rows that others wrote are compared too, in tables that flow down: what an edge lacks of them it fetches, and what
//! it deleted of them and the cloud forgot it ships again.

use std::sync::Arc;

use activestore_store::{Note, WriteSet};
use activestore_types::{BatchColumn, RowBatch, TableName};
use arrow::array::{ArrayRef, StringArray};

use super::flowing_down::{LIMITS, REFERENCE, adopt, close, follow};
use super::late_rows::{Pair, open_by};
use super::shipping::{another_epoch, ship};
use super::verifying::{compare, equal, image, mended};
use super::*;
use crate::down::NOTE;

/// Longer than rows may be under way.
const WHILE: Duration = Duration::from_secs(120);

fn commit(db: &Db, batches: Vec<RowBatch>, note: Note) {
    let notes = vec![note];
    let set = WriteSet {
        notes,
        ..WriteSet::from_batches(batches)
    };
    db.inner.store.commit(set).unwrap();
}

#[test]
fn what_an_edge_lacks_of_its_clouds_tables_is_found_and_fetched() {
    runtime().block_on(async {
        let Pair {
            dirs,
            clock,
            edge,
            cloud,
        } = Pair::new().await;
        run(&cloud, REFERENCE).await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        close(&[&edge]).await;
        drop(edge);
        let old = image(dirs[0].path());
        let edge = open_by(&clock, dirs[0].path(), Role::Edge);
        let insert = "INSERT INTO ref.limits (device, high) VALUES ('a', 1), ('b', 2), ('c', 3)";
        run(&cloud, insert).await;
        follow(&edge, &cloud);
        clock.advance(WHILE);
        let alike = equal(&edge, &cloud);
        let limits: TableName = "ref.limits".parse().unwrap();
        let tables = &alike.report.tables;
        let compared = tables.iter().find(|one| one.table == limits).unwrap();
        assert_eq!((compared.here.rows, compared.there.rows), (3, 3));
        assert!(alike.bytes <= 400, "{} bytes", alike.bytes);
        // An edge that says it has them, and has not; and has what nobody wrote.
        let place = edge.inner.store.note(NOTE).unwrap();
        close(&[&edge]).await;
        drop(edge);
        let edge = open_by(&clock, old.path(), Role::Edge);
        let schema = edge.table_schema(&limits).unwrap();
        let column = BatchColumn {
            id: schema.column("device").unwrap().id,
            array: Arc::new(StringArray::from(vec!["ghost"])) as ArrayRef,
            set: None,
        };
        let origin = edge.inner.store.origin_id(cloud.node_id()).unwrap();
        let stamp = activestore_types::Hlc(cloud.inner.settled_stamp().0 - 1);
        let ghost = RowBatch::upsert(schema.id, 1, vec![column], stamp, origin);
        let note = Note {
            key: NOTE.to_vec(),
            value: Some(place),
        };
        commit(&edge, vec![ghost], note);
        follow(&edge, &cloud);
        assert_eq!(
            rows(&edge, "SELECT device FROM ref.limits").await,
            ["ghost"]
        );
        let found = compare(&edge, &cloud, false).report;
        assert_eq!(found.outcome.differences, 4, "{found:?}");
        assert!(!found.fetch_anew, "nobody asked for it");
        assert_eq!(follow(&edge, &cloud).started_over, 0);
        let mending = compare(&edge, &cloud, true).report;
        assert_eq!(mending.outcome.left(), 0, "{mending:?}");
        assert!(mending.fetch_anew);
        assert_eq!(follow(&edge, &cloud).started_over, 1);
        assert_eq!(rows(&edge, LIMITS).await, rows(&cloud, LIMITS).await);
        equal(&edge, &cloud);
        // What the cloud writes this moment is no difference, nor is a table that it drops.
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('d', 4)",
        )
        .await;
        equal(&edge, &cloud);
        clock.advance(WHILE);
        run(&cloud, "DROP TABLE ref.limits").await;
        equal(&edge, &cloud);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn a_cloud_that_lost_a_deleted_range_of_its_own_rows_gets_it_again() {
    runtime().block_on(async {
        let Pair {
            dirs,
            clock,
            edge,
            cloud,
        } = Pair::new().await;
        let items = "SELECT item, region FROM shop.prices ORDER BY item, region";
        let insert = "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'north', 1), ('tea', 'south', 2), ('oil', 'north', 3)";
        run(&cloud, insert).await;
        follow(&edge, &cloud);
        clock.advance(WHILE);
        close(&[&cloud]).await;
        drop(cloud);
        let old = image(dirs[1].path());
        let cloud = open_by(&clock, dirs[1].path(), Role::Cloud);
        run(&edge, "DELETE FROM shop.prices WHERE item = 'tea'").await;
        ship(&edge, &cloud);
        follow(&edge, &cloud);
        clock.advance(WHILE);
        equal(&edge, &cloud);
        close(&[&cloud]).await;
        drop(cloud);
        let cloud = open_by(&clock, old.path(), Role::Cloud);
        another_epoch(&edge);
        follow(&edge, &cloud);
        assert_eq!(rows(&cloud, items).await.len(), 3);
        let found = compare(&edge, &cloud, false).report;
        assert_eq!(found.outcome.differences, 2, "{found:?}");
        assert_eq!(found.tables[0].days[0].erasures_missing_there, 2, "{found:?}");
        mended(&edge, &cloud);
        for node in [&edge, &cloud] {
            assert_eq!(rows(node, items).await, ["oil|north"]);
        }
        close(&[&edge, &cloud]).await;
    });
}
