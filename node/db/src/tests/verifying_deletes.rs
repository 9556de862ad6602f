//! Deletes of rows that another node wrote are compared like rows: an end that lost one gets it again.

use super::flowing_down::{adopt, close, folder, follow};
use super::shipping::{another_epoch, ship};
use super::verifying::{compare, equal, image, mended};
use super::*;

const SHARED: &str = "CREATE KEYSPACE shop WITH (sync = 'both');
    CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price DOUBLE)";
const ITEMS: &str = "SELECT item FROM shop.prices ORDER BY item";

/// An edge that holds three rows of its cloud's.
async fn begun(e: &Path, c: &Path) -> (Db, Db) {
    let (edge, cloud) = (open(e, Role::Edge), open(c, Role::Cloud));
    run(&cloud, SHARED).await;
    adopt(&edge, &cloud);
    follow(&edge, &cloud);
    run(
        &cloud,
        "INSERT INTO shop.prices VALUES ('a', 1), ('b', 1), ('c', 1)",
    )
    .await;
    follow(&edge, &cloud);
    equal(&edge, &cloud);
    (edge, cloud)
}

#[test]
fn a_cloud_that_lost_a_delete_of_a_row_of_its_own_gets_it_again() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let (edge, cloud) = begun(e.path(), c.path()).await;
        close(&[&cloud]).await;
        drop(cloud);
        let old = image(c.path());
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, "DELETE FROM shop.prices WHERE item = 'a'").await;
        run(&edge, "DELETE FROM shop.prices WHERE item = 'b'").await;
        ship(&edge, &cloud);
        equal(&edge, &cloud);
        // What is written after a delete stands, and is no difference.
        run(&cloud, "INSERT INTO shop.prices VALUES ('b', 2)").await;
        follow(&edge, &cloud);
        equal(&edge, &cloud);
        for node in [&edge, &cloud] {
            assert_eq!(rows(node, ITEMS).await, ["b", "c"]);
        }
        close(&[&cloud]).await;
        drop(cloud);
        let cloud = open(old.path(), Role::Cloud);
        another_epoch(&edge);
        let found = compare(&edge, &cloud, false).report;
        assert_eq!(found.outcome.differences, 1, "{found:?}");
        assert_eq!(found.tables[0].days[0].missing_there, 1, "{found:?}");
        mended(&edge, &cloud);
        assert_eq!(
            rows(&cloud, ITEMS).await,
            ["b", "c"],
            "its own 'b' of before"
        );
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn an_edge_that_lost_its_delete_gets_it_back() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let (edge, cloud) = begun(e.path(), c.path()).await;
        close(&[&edge]).await;
        drop(edge);
        let old = image(e.path());
        let edge = open(e.path(), Role::Edge);
        run(&edge, "DELETE FROM shop.prices WHERE item = 'a'").await;
        ship(&edge, &cloud);
        close(&[&edge]).await;
        drop(edge);
        let edge = open(old.path(), Role::Edge);
        another_epoch(&edge);
        let report = mended(&edge, &cloud).report;
        assert_eq!(report.tables[0].days[0].missing_here, 1, "{report:?}");
        for node in [&edge, &cloud] {
            assert_eq!(rows(node, ITEMS).await, ["b", "c"]);
        }
        close(&[&edge, &cloud]).await;
    });
}
