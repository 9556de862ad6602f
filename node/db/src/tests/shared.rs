//! Shared tables with merge functions: what comes down is joined with what is here, the joins travel up, and it
//! all comes to an end.

use super::flowing_down::{adopt, follow};
use super::processors::component;
use super::shipping::{sealed, ship};
use super::*;

const SHARED: &str = "CREATE KEYSPACE shop WITH (sync = 'both');
    CREATE MERGE FUNCTION greatest USING PLUGIN 'merge-max';
    CREATE TABLE shop.peaks (device TEXT PRIMARY KEY, peak DOUBLE MERGE greatest, note TEXT)";
/// Exchanges after which nothing may be left to say.
const ROUNDS_MAX: usize = 4;

/// Exchanges until nobody has anything to say; the rounds that it took.
fn settle(edges: &[&Db], cloud: &Db) -> usize {
    for round in 0..ROUNDS_MAX {
        let mut said = 0;
        for edge in edges {
            said += sealed(edge).len() as u64;
            ship(edge, cloud);
            said += follow(edge, cloud).segments;
        }
        if said == 0 {
            return round;
        }
    }
    panic!("there is no end to it");
}

#[test]
fn joins_of_what_came_down_travel_up_and_end() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        cloud
            .put_plugin("merge-max", Some("1"), component("merge-max"))
            .await
            .unwrap();
        run(&cloud, SHARED).await;
        let edges = [
            open(dirs[1].path(), Role::Edge),
            open(dirs[2].path(), Role::Edge),
        ];
        let [one, two] = &edges;
        for edge in &edges {
            adopt(edge, &cloud);
        }
        let all = [&cloud, one, two];
        settle(&[one, two], &cloud);
        // Each knows another value, and the greatest is the oldest.
        run(one, "INSERT INTO shop.peaks VALUES ('a', 20, 'one')").await;
        run(two, "INSERT INTO shop.peaks VALUES ('a', 12, 'two')").await;
        // Within one millisecond the counters of clocks that do not know each other decide which is the later.
        std::thread::sleep(std::time::Duration::from_millis(5));
        run(&cloud, "INSERT INTO shop.peaks VALUES ('a', 11, 'cloud')").await;
        settle(&[two, one], &cloud);
        for db in all {
            let read = rows(db, "SELECT device, peak, note FROM shop.peaks").await;
            assert_eq!(read, ["a|20.0|cloud"]);
        }
        // An edge hears of a lower value before the cloud hears of its own.
        run(two, "INSERT INTO shop.peaks (device, peak) VALUES ('b', 9)").await;
        run(
            &cloud,
            "INSERT INTO shop.peaks (device, peak) VALUES ('b', 5)",
        )
        .await;
        follow(two, &cloud);
        assert_eq!(
            rows(two, "SELECT peak FROM shop.peaks WHERE device = 'b'").await,
            ["9.0"]
        );
        settle(&[one, two], &cloud);
        for db in all {
            let read = rows(db, "SELECT peak FROM shop.peaks WHERE device = 'b'").await;
            assert_eq!(read, ["9.0"]);
        }
        assert_eq!(settle(&[one, two], &cloud), 0, "everything was said");
        for db in all {
            db.shutdown().await.unwrap();
        }
    });
}
