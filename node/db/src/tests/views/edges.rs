//! Views of one name at several edges, and made anew, while the cloud offers the table that their rows made there.

use super::*;
use crate::tests::flowing_down::follow;

const MINE: &str =
    "SELECT device, tumble(ts, '1 hour') AS h, count(*) AS n FROM plant.t GROUP BY device, h";

async fn go_up(edge: &Db, cloud: &Db) {
    agrees(edge, "plant.mine", MINE).await;
    seal_and_ship(edge, cloud).await;
}

#[test]
fn a_view_takes_the_place_of_the_table_that_its_like_made_at_the_cloud() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        let first = open(dirs[1].path(), Role::Edge);
        let second = open(dirs[2].path(), Role::Edge);
        run(&cloud, BASE).await;
        adopt(&first, &cloud);
        let make = format!("CREATE MATERIALIZED VIEW plant.mine AS {MINE}");
        run(&first, &make).await;
        run(&first, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1), ('a', '2026-01-01T00:00:01', 2)").await;
        go_up(&first, &cloud).await;
        // It comes to the second edge as a table.
        adopt(&second, &cloud);
        run(&second, "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-01', 1)").await;
        run(&second, "INSERT INTO plant.mine (device, h, n) VALUES ('x', '2026-01-01', 7)").await;
        let held = told(&second, &make).await;
        assert!(held.contains("holds rows"), "{held}");
        run(&second, "DELETE FROM plant.mine WHERE device = 'x'").await;
        run(&second, &make).await;
        go_up(&second, &cloud).await;
        let denied = told(&second, "INSERT INTO plant.mine (device, h, n) VALUES ('x', '2026-01-01', 7)").await;
        assert!(denied.contains("nobody but its query"), "{denied}");
        assert_eq!(rows(&cloud, "SELECT device, sum(n) FROM plant.mine GROUP BY device ORDER BY device").await, ["a|2", "b|1"]);
        // Made anew where it was, with a column that the cloud's table lacks; definitions come in between.
        run(&first, "DROP MATERIALIZED VIEW plant.mine").await;
        run(&cloud, "CREATE KEYSPACE other").await;
        adopt(&first, &cloud);
        let wide = MINE.replace("count(*) AS n", "count(*) AS n, max(v) AS high");
        run(&first, &format!("CREATE MATERIALIZED VIEW plant.mine AS {wide}")).await;
        agrees(&first, "plant.mine", &wide).await;
        seal_and_ship(&first, &cloud).await;
        assert_eq!(rows(&cloud, "SELECT n, high FROM plant.mine WHERE device = 'a'").await, ["2|2"]);
        // A third edge, where another view has the name.
        let third = open(dirs[3].path(), Role::Edge);
        adopt(&third, &cloud);
        let other = told(&third, "CREATE MATERIALIZED VIEW plant.mine AS SELECT line, tumble(ts, '1 hour') AS h FROM plant.t GROUP BY line, h").await;
        assert!(other.contains("exists already") && other.contains("another name"), "{other}");
        // At the cloud it is a table that rows come to.
        let taken = told(&cloud, &make).await;
        assert!(taken.contains("exists already"), "{taken}");
        for db in [cloud, first, second, third] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn rows_from_below_do_not_go_into_a_view() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        let edge = open(dirs[1].path(), Role::Edge);
        run(&cloud, BASE).await;
        adopt(&edge, &cloud);
        // The same key, and other windows.
        run(&cloud, "CREATE MATERIALIZED VIEW plant.mine AS SELECT device, tumble(ts, '1 day') AS h, count(*) AS n FROM plant.t GROUP BY device, h").await;
        run(&edge, &format!("CREATE MATERIALIZED VIEW plant.mine AS {MINE}")).await;
        run(&edge, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T05:00:00', 1), ('a', '2026-01-01T07:00:00', 2)").await;
        go_up(&edge, &cloud).await;
        run(&cloud, "REFRESH MATERIALIZED VIEW plant.mine").await;
        let daily = ["2026-01-01T00:00:00|2"];
        assert_eq!(rows(&cloud, "SELECT h, n FROM plant.mine").await, daily);
        run(&edge, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-01T05:00:00'; DROP MATERIALIZED VIEW plant.mine").await;
        seal_and_ship(&edge, &cloud).await;
        run(&cloud, "REFRESH MATERIALIZED VIEW plant.mine").await;
        assert_eq!(rows(&cloud, "SELECT h, n FROM plant.mine").await, ["2026-01-01T00:00:00|1"]);
        let reasons = rows(&cloud, "SELECT DISTINCT reason FROM system.rejected_writes").await;
        assert!(reasons.len() == 1 && reasons[0].contains("is a materialized view here"), "{reasons:?}");
        cloud.shutdown().await.unwrap();
        edge.shutdown().await.unwrap();
    });
}

#[test]
fn rows_from_above_do_not_go_into_a_view() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        let edge = open(dirs[1].path(), Role::Edge);
        run(&cloud, BASE).await;
        adopt(&edge, &cloud);
        run(&edge, &format!("CREATE MATERIALIZED VIEW plant.mine AS {MINE}")).await;
        run(&edge, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)").await;
        agrees(&edge, "plant.mine", MINE).await;
        // A table of its name and key, whose rows come down.
        run(&cloud, "CREATE TABLE plant.mine (device TEXT, h TIMESTAMP, n BIGINT, PRIMARY KEY ((device), h)) WITH (sync = 'down')").await;
        run(&cloud, "INSERT INTO plant.mine (device, h, n) VALUES ('x', '2026-01-01', 7); DELETE FROM plant.mine WHERE device = 'a'").await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        agrees(&edge, "plant.mine", MINE).await;
        run(&cloud, "INSERT INTO plant.mine (device, h, n) VALUES ('y', '2026-01-01', 7)").await;
        run(&cloud, "DELETE FROM plant.mine WHERE device = 'a'").await;
        follow(&edge, &cloud);
        agrees(&edge, "plant.mine", MINE).await;
        assert_eq!(rows(&edge, "SELECT device, n FROM plant.mine").await, ["a|1"]);
        let reasons = rows(&edge, "SELECT DISTINCT reason FROM system.rejected_writes").await;
        assert!(reasons.len() == 1 && reasons[0].contains("is a materialized view here"), "{reasons:?}");
        cloud.shutdown().await.unwrap();
        edge.shutdown().await.unwrap();
    });
}
