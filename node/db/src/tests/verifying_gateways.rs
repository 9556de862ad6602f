//! A gateway compares what it holds of each node below it with its cloud: an older image of it gets back what it had
//! acknowledged, and so do the deletes of its edges.

use std::sync::Arc;

use activestore_env::SimClock;

use super::flowing_down::{close, folder};
use super::late_rows::open_by;
use super::shipping::{another_epoch, same, sealed, ship};
use super::verifying::{compare, equal, image};
use super::*;

const INSERT: &str = "INSERT INTO plant.readings (device, ts, temp) VALUES";
const DEVICES: &str = "SELECT device FROM plant.readings ORDER BY device";
/// Longer than rows may be under way.
const WHILE: Duration = Duration::from_secs(120);

fn let_in(gateway: &Db, cloud: &Db) {
    let labels = "role=gateway".parse().unwrap();
    cloud.sync_hosts().inbox.member(gateway.node_id(), &labels);
}

#[test]
fn an_older_image_of_a_gateway_gets_back_rows_and_the_deletes_that_it_had_acknowledged() {
    runtime().block_on(async {
        let dirs = [folder(), folder(), folder()];
        let clock = Arc::new(SimClock::at_ms(1_790_000_000_000));
        let edge = open_by(&clock, dirs[0].path(), Role::Edge);
        let gateway = open_by(&clock, dirs[1].path(), Role::Gateway);
        let cloud = open_by(&clock, dirs[2].path(), Role::Cloud);
        let_in(&gateway, &cloud);
        run(&edge, PLANT).await;
        run(&edge, &format!("{INSERT} ('a', '2026-01-01', 1)")).await;
        ship(&edge, &gateway);
        ship(&gateway, &cloud);
        close(&[&gateway]).await;
        drop(gateway);
        let old = image(dirs[1].path());
        let gateway = open_by(&clock, dirs[1].path(), Role::Gateway);
        clock.advance(WHILE);
        let more = format!("{INSERT} ('b', '2026-01-01', 2), ('c', '2026-01-01', 3)");
        run(&edge, &more).await;
        ship(&edge, &gateway);
        ship(&gateway, &cloud);
        clock.advance(WHILE);
        let compared = equal(&gateway, &cloud);
        assert_eq!(compared.report.tables[0].here.rows, 3, "of the edge");
        // Acknowledged, and no further.
        run(&edge, "DELETE FROM plant.readings WHERE device = 'b'").await;
        ship(&edge, &gateway);
        assert!(sealed(&edge).is_empty());
        close(&[&gateway]).await;
        drop(gateway);
        let gateway = open_by(&clock, old.path(), Role::Gateway);
        another_epoch(&edge);
        another_epoch(&gateway);
        clock.advance(WHILE);
        assert_eq!(rows(&gateway, DEVICES).await, ["a"]);
        let found = compare(&gateway, &cloud, false).report;
        assert_eq!(found.outcome.differences, 2, "{found:?}");
        let mending = compare(&gateway, &cloud, true).report;
        assert_eq!(mending.outcome.left(), 0, "{mending:?}");
        assert_eq!(rows(&gateway, DEVICES).await, ["a", "b", "c"]);
        ship(&gateway, &cloud);
        equal(&gateway, &cloud);
        // Now the gateway shows what the edge had deleted, and hears of it again.
        let mending = compare(&edge, &gateway, true).report;
        assert_eq!(mending.outcome.left(), 0, "{mending:?}");
        ship(&edge, &gateway);
        ship(&gateway, &cloud);
        for node in [&edge, &gateway, &cloud] {
            assert_eq!(rows(node, DEVICES).await, ["a", "c"]);
            same(&edge, node).await;
        }
        close(&[&edge, &gateway, &cloud]).await;
    });
}

#[test]
fn a_cloud_that_lost_rows_of_an_edge_gets_them_from_the_gateway_as_the_edges_own() {
    runtime().block_on(async {
        let dirs = [folder(), folder(), folder()];
        let clock = Arc::new(SimClock::at_ms(1_790_000_000_000));
        let edge = open_by(&clock, dirs[0].path(), Role::Edge);
        let gateway = open_by(&clock, dirs[1].path(), Role::Gateway);
        let cloud = open_by(&clock, dirs[2].path(), Role::Cloud);
        let_in(&gateway, &cloud);
        run(&edge, PLANT).await;
        run(&edge, &format!("{INSERT} ('a', '2026-01-01', 1)")).await;
        ship(&edge, &gateway);
        ship(&gateway, &cloud);
        close(&[&cloud]).await;
        drop(cloud);
        let old = image(dirs[2].path());
        let cloud = open_by(&clock, dirs[2].path(), Role::Cloud);
        let_in(&gateway, &cloud);
        run(&edge, &format!("{INSERT} ('b', '2026-01-01', 2)")).await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'a'").await;
        ship(&edge, &gateway);
        ship(&gateway, &cloud);
        close(&[&cloud]).await;
        drop(cloud);
        let cloud = open_by(&clock, old.path(), Role::Cloud);
        clock.advance(WHILE);
        another_epoch(&gateway);
        // Who is no gateway is told of nobody else's rows.
        let silent = compare(&gateway, &cloud, false).report;
        assert_eq!(silent.outcome.differences, 0, "{silent:?}");
        let_in(&gateway, &cloud);
        let found = compare(&gateway, &cloud, false).report;
        assert_eq!(found.outcome.differences, 2, "{found:?}");
        let mending = compare(&gateway, &cloud, true).report;
        assert_eq!(mending.outcome.left(), 0, "{mending:?}");
        ship(&gateway, &cloud);
        equal(&gateway, &cloud);
        assert_eq!(rows(&cloud, DEVICES).await, ["b"]);
        same(&edge, &cloud).await;
        close(&[&edge, &gateway, &cloud]).await;
    });
}
