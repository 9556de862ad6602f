//! Where nothing is lost, a comparison of an edge with its cloud says so, whatever else happened; what nobody touched is
//! not read again; and the clock asks for one when it is due.

use super::flowing_down::{close, folder};
use super::shipping::ship;
use super::verifying::{equal, mended, write};
use super::*;
use activestore_sync_proto::reconcile::Outcome;
use activestore_types::TableName;

#[test]
fn flushes_merges_expiry_restarts_and_what_others_wrote_are_no_differences() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let edge = open(e.path(), Role::Edge);
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, PLANT).await;
        run(&edge, "CREATE TABLE plant.short (device TEXT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts)) WITH (ttl = '30m', sync = 'up')").await;
        run(&edge, "CREATE TABLE plant.names (device TEXT PRIMARY KEY, name TEXT, place TEXT)").await;
        run(&edge, "INSERT INTO plant.names (device, name, place) VALUES ('z', 'last', 'yard')").await;
        for round in 0..3 {
            write(&edge, round * 900_000, 2000).await;
            run(&edge, "INSERT INTO plant.short (device, ts, v) VALUES ('a', now(), 1)").await;
            run(&edge, "INSERT INTO plant.short (device, ts, v) VALUES ('b', now(), 1) USING TTL 1").await;
            run(&edge, &format!("INSERT INTO plant.names (device, name) VALUES ('m0', 'n{round}'), ('m{round}', 'x')")).await;
            run(&edge, "UPDATE plant.readings SET status = NULL WHERE device = 'm0' AND ts < '2026-01-01 00:00:30'").await;
            ship(&edge, &cloud);
            equal(&edge, &cloud);
            edge.inner.store.flush().unwrap();
            equal(&edge, &cloud);
        }
        run(&edge, "DELETE FROM plant.readings WHERE device = 'm1' AND ts < '2026-01-01 00:01:00'").await;
        ship(&edge, &cloud);
        for table in ["readings", "short", "names"] {
            run(&cloud, &format!("ALTER TABLE plant.{table} COMPACT")).await;
        }
        equal(&edge, &cloud);
        // What the cloud itself writes over the edge's rows does not travel up, and is nobody's loss.
        run(&cloud, "DELETE FROM plant.readings WHERE device = 'm0' AND ts < '2026-01-01 00:00:20'").await;
        run(&cloud, "INSERT INTO plant.names (device, name, place) VALUES ('m0', 'ours', 'hall')").await;
        let report = equal(&edge, &cloud).report;
        let purpose: u64 = report.tables.iter().flat_map(|table| &table.days).map(|day| day.overruled).sum();
        assert!(purpose > 0, "{report:?}");
        let cells = rows(&cloud, "SELECT name, place FROM plant.names WHERE device = 'm0'").await;
        mended(&edge, &cloud);
        assert_eq!(rows(&cloud, "SELECT name, place FROM plant.names WHERE device = 'm0'").await, cells);
        assert_eq!(rows(&cloud, "SELECT count(*) FROM plant.readings WHERE device = 'm0' AND ts < '2026-01-01 00:00:20'").await, ["0"]);
        for table in ["readings", "short", "names"] {
            let schema = edge.table_schema(&TableName::new("plant", table)).unwrap();
            edge.inner.store.compact(schema.id).unwrap();
        }
        equal(&edge, &cloud);
        close(&[&edge, &cloud]).await;
        drop((edge, cloud));
        let (edge, cloud) = (open(e.path(), Role::Edge), open(c.path(), Role::Cloud));
        edge.inner.store.flush().unwrap();
        cloud.inner.store.flush().unwrap();
        equal(&edge, &cloud);
        // Rows on their way are none either: they are waited for.
        write(&edge, 5_000_000, 100).await;
        equal(&edge, &cloud);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn a_day_that_nobody_touches_is_read_once() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let edge = open(e.path(), Role::Edge);
        let cloud = open(c.path(), Role::Cloud);
        run(&edge, PLANT).await;
        // Five days, an hour or so of each.
        for day in 0..5 {
            write(&edge, day * 864_000, 1000).await;
            edge.inner.store.flush().unwrap();
        }
        ship(&edge, &cloud);
        cloud.inner.store.flush().unwrap();
        let read = |db: &Db| {
            let figures = db.counters();
            let read = figures
                .iter()
                .find(|one| one.name == "activestore_verify_days_read_total");
            read.unwrap().value
        };
        equal(&edge, &cloud);
        let before = (read(&edge), read(&cloud));
        assert!(before.0 >= 5.0 && before.1 >= 5.0, "{before:?}");
        equal(&edge, &cloud);
        assert_eq!((read(&edge), read(&cloud)), before);
        // One more row of one day.
        write(&edge, 864_000, 1).await;
        equal(&edge, &cloud);
        assert!(read(&edge) <= before.0 + 4.0, "{} {before:?}", read(&edge));
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn a_comparison_by_the_clock_comes_when_it_is_due() {
    runtime().block_on(async {
        let e = folder();
        let mut options = DbOptions::new(e.path(), Role::Edge);
        options.seal_after = Duration::ZERO;
        options.verify_every = Some(Duration::from_secs(7 * 24 * 3600));
        let edge = Db::open(options.clone()).unwrap();
        let due = |edge: &Db| {
            let replica = edge.sync_hosts().replica;
            let here = replica.holdings().unwrap();
            here.begin(true).unwrap().is_some()
        };
        assert!(!due(&edge) && !due(&edge));
        // An outcome of long ago.
        let replica = edge.sync_hosts().replica;
        let long_ago = Outcome {
            at_ms: 1_000_000_000_000,
            ..Default::default()
        };
        replica
            .holdings()
            .unwrap()
            .compared(edge.node_id(), &long_ago);
        assert!(due(&edge));
        drop(replica);
        close(&[&edge]).await;
        drop(edge);
        // It is remembered, and never due where it is switched off.
        let edge = Db::open(options.clone()).unwrap();
        assert!(due(&edge));
        close(&[&edge]).await;
        drop(edge);
        options.verify_every = None;
        let edge = Db::open(options).unwrap();
        assert!(!due(&edge));
        close(&[&edge]).await;
    });
}
