//! Several clouds fed from one edge: each gets every row once in its own time, and none is in another's way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::at_limit::noise;
use super::flowing_down::folder;
use super::receipts::Secret;
use super::shipping::{ship, ship_from};
use super::verifying::{compare_as, image};
use super::*;
use crate::{FullOutbox, FurtherCloud, FurtherHosts};

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, n BIGINT, note TEXT, PRIMARY KEY ((device), n));
    CREATE TABLE plant.alarms (n BIGINT PRIMARY KEY, note TEXT) WITH (sync_class = 'alarm');
    CREATE KEYSPACE office WITH (sync = 'up');
    CREATE TABLE office.notes (n BIGINT PRIMARY KEY, note TEXT)";
/// What one end took, so that a row that came twice shows.
const TAKEN: &str = "SELECT sum(row_fragments) FROM system.sync_peers";

fn dr() -> FurtherCloud {
    FurtherCloud::named("dr")
}

/// An edge with these further clouds; nothing is sealed but when a test says so.
fn edge_with(dir: &Path, also: Option<Vec<FurtherCloud>>) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.seal_after = Duration::from_secs(3600);
    options.also = also;
    Db::open(options).unwrap()
}

fn further(edge: &Db, name: &str) -> FurtherHosts {
    let mut hosts = edge.further_hosts().into_iter();
    hosts.find(|hosts| hosts.name == name).unwrap()
}

/// Ships what waits for a further cloud, every segment twice.
fn ship_to(edge: &Db, name: &str, cloud: &Db) {
    edge.inner
        .outboxes()
        .for_each(|outbox| outbox.seal().unwrap());
    let outbox = further(edge, name).outbox;
    for chain in outbox.chains() {
        ship_from(&*outbox, edge, cloud, &chain);
    }
}

/// Ships what waits for the edge's own cloud.
fn ship_own(edge: &Db, cloud: &Db) {
    edge.inner
        .outboxes()
        .for_each(|outbox| outbox.seal().unwrap());
    ship(edge, cloud);
}

async fn write(edge: &Db, numbers: std::ops::Range<u64>) {
    let rows: Vec<String> = numbers
        .map(|n| format!("('a', {n}, '{}')", noise(n)))
        .collect();
    let sql = format!("INSERT INTO plant.readings VALUES {}", rows.join(", "));
    run(edge, &sql).await;
}

async fn numbers(db: &Db) -> Vec<u64> {
    let all = rows(db, "SELECT n FROM plant.readings ORDER BY n").await;
    all.iter().map(|n| n.parse().unwrap()).collect()
}

async fn close_all(all: Vec<Db>) {
    for db in all {
        db.shutdown().await.unwrap();
    }
}

#[derive(Clone, Debug)]
enum Act {
    Write(u64),
    Alarm,
    Own,
    /// The further cloud takes so many segments of each chain.
    Further(u64),
    /// A connection to the further cloud begins: what waited becomes a backlog.
    Connects,
    EdgeAgain,
    /// The edge ends without a word: its directory as it is.
    EdgeCrashes,
    FurtherAgain,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..40_u64).prop_map(Act::Write),
        2 => Just(Act::Alarm),
        3 => Just(Act::Own),
        3 => (0..4_u64).prop_map(Act::Further),
        1 => Just(Act::Connects),
        1 => Just(Act::EdgeAgain),
        1 => Just(Act::EdgeCrashes),
        1 => Just(Act::FurtherAgain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn each_cloud_has_every_row_once(acts in prop::collection::vec(act(), 1..24)) {
        runtime().block_on(async {
            let (mut at, own_dir, dr_dir) = (folder(), folder(), folder());
            let mut edge = edge_with(at.path(), Some(vec![dr()]));
            let own = open(own_dir.path(), Role::Cloud);
            let mut copy = open(dr_dir.path(), Role::Cloud);
            run(&edge, TABLES).await;
            let (mut next, mut alarms) = (0, 0_u64);
            for act in acts {
                match act {
                    Act::Write(count) => {
                        write(&edge, next..next + count).await;
                        next += count;
                    }
                    Act::Alarm => {
                        let sql = format!("INSERT INTO plant.alarms VALUES ({alarms}, 'hot')");
                        run(&edge, &sql).await;
                        alarms += 1;
                    }
                    Act::Own => ship_own(&edge, &own),
                    Act::Further(most) => {
                        edge.seal().await.unwrap();
                        let outbox = further(&edge, "dr").outbox;
                        for mut chain in outbox.chains() {
                            let last = chain.position.first_unacked + most;
                            chain.position.last_sealed = chain.position.last_sealed.min(last - 1);
                            ship_from(&*outbox, &edge, &copy, &chain);
                        }
                    }
                    Act::Connects => further(&edge, "dr").outbox.connection(Some(3)),
                    Act::EdgeAgain => {
                        edge.shutdown().await.unwrap();
                        drop(edge);
                        // A tool that knows of no configuration goes on with what there is.
                        edge = edge_with(at.path(), None);
                    }
                    Act::EdgeCrashes => {
                        let copied = image(at.path());
                        edge.shutdown().await.unwrap();
                        drop(edge);
                        at = copied;
                        edge = edge_with(at.path(), Some(vec![dr()]));
                    }
                    Act::FurtherAgain => {
                        copy.shutdown().await.unwrap();
                        drop(copy);
                        copy = open(dr_dir.path(), Role::Cloud);
                    }
                }
            }
            write(&edge, next..next + 1).await;
            next += 1;
            ship_own(&edge, &own);
            ship_to(&edge, "dr", &copy);
            for cloud in [&own, &copy] {
                assert_eq!(numbers(cloud).await, (0..next).collect::<Vec<_>>());
                if alarms > 0 {
                    let seen = rows(cloud, "SELECT count(*) FROM plant.alarms").await;
                    assert_eq!(seen, [alarms.to_string()]);
                }
                assert_eq!(rows(cloud, TAKEN).await, [(next + alarms).to_string()]);
            }
            let status = edge.sync_status();
            assert_eq!((status.pending_rows, status.also[0].pending_rows), (0, 0));
            close_all(vec![edge, own, copy]).await;
        });
    }
}

#[test]
fn a_further_cloud_takes_the_tables_that_are_named() {
    runtime().block_on(async {
        let (e, c) = (folder(), folder());
        let named = FurtherCloud {
            tables: vec!["plant.*".to_owned()],
            ..dr()
        };
        let edge = edge_with(e.path(), Some(vec![named]));
        let copy = open(c.path(), Role::Cloud);
        run(&edge, TABLES).await;
        write(&edge, 0..3).await;
        run(&edge, "INSERT INTO office.notes VALUES (1, 'own alone')").await;
        ship_to(&edge, "dr", &copy);
        let tables = "SELECT keyspace, name FROM system.tables WHERE keyspace <> 'system'";
        assert_eq!(rows(&copy, tables).await, ["plant|readings"]);
        // Nothing comes down from it, and it is told so.
        let replica = further(&edge, "dr").replica;
        assert_eq!(replica.catalog_version(), 0);
        let inbox = copy.sync_hosts().inbox;
        let (version, bundle) = inbox.catalog_bundle(edge.node_id()).unwrap();
        let error = replica.adopt_catalog(version, &bundle).unwrap_err();
        assert!(error.message().contains("another cloud"), "{error}");
        let digests = replica.digests().unwrap();
        let compared: Vec<String> = digests.iter().map(|one| one.table.to_string()).collect();
        assert!(
            !compared.contains(&"office.notes".to_owned()),
            "{compared:?}"
        );
        close_all(vec![edge, copy]).await;
    });
}

#[test]
fn a_cloud_that_is_away_stops_no_write_and_gets_what_it_missed_by_a_repair() {
    runtime().block_on(async {
        for at_limit in [FullOutbox::Hold, FullOutbox::DropOldest] {
            let (e, o, c) = (folder(), folder(), folder());
            let bounded = FurtherCloud {
                outbox_bytes_max: 20_000,
                at_limit,
                ..dr()
            };
            let edge = edge_with(e.path(), Some(vec![bounded.clone()]));
            let own = open(o.path(), Role::Cloud);
            let copy = open(c.path(), Role::Cloud);
            run(&edge, TABLES).await;
            for round in 0..100 {
                write(&edge, round * 10..(round + 1) * 10).await;
                ship_own(&edge, &own);
            }
            assert_eq!(numbers(&own).await.len(), 1000, "{at_limit:?}");
            let told = edge.sync_status().also.remove(0);
            // A segment that is cut when there is room may go beyond the bound, and no more than one.
            assert!(
                told.pending_bytes < 20_000 + 4_000,
                "{}",
                told.pending_bytes
            );
            let gone: u64 = told.let_go.iter().map(|gone| gone.rows).sum();
            assert_eq!(gone + told.pending_rows, 1000, "{at_limit:?}");
            assert!(gone > 500, "{gone}");
            // The log is not held for what was passed over.
            assert_eq!(told.unsealed_records, 0);
            let figure = "activestore_sync_cloud_rows_let_go_total";
            let counted: f64 = edge
                .counters()
                .iter()
                .filter(|one| one.name == figure)
                .map(|one| one.value)
                .sum();
            assert_eq!(counted, gone as f64);
            ship_to(&edge, "dr", &copy);
            let arrived: BTreeSet<u64> = numbers(&copy).await.into_iter().collect();
            assert_eq!(arrived.len() as u64, 1000 - gone);
            let kept = match at_limit {
                FullOutbox::Hold => arrived.contains(&0),
                FullOutbox::DropOldest => arrived.contains(&999),
            };
            assert!(kept, "{at_limit:?}: {arrived:?}");
            // A repair has the room that there is for it, and may take several.
            let repaired = (0..200).any(|_| {
                let replica = further(&edge, "dr").replica;
                let shipped = || ship_to(&edge, "dr", &copy);
                let found = compare_as(&*replica, &edge, &copy, true, &shipped);
                shipped();
                found.report.outcome.differences == 0
            });
            assert!(repaired, "{at_limit:?}");
            assert_eq!(numbers(&copy).await.len(), 1000, "{at_limit:?}");
            assert!(
                edge.sync_status().verified.is_none(),
                "the own cloud was not compared"
            );
            close_all(vec![edge, own, copy]).await;
        }
    });
}

#[test]
fn a_cloud_that_is_named_no_more_holds_the_log_no_more() {
    runtime().block_on(async {
        let e = folder();
        let edge = edge_with(e.path(), Some(vec![dr()]));
        run(&edge, TABLES).await;
        write(&edge, 0..50).await;
        edge.shutdown().await.unwrap();
        drop(edge);
        let queue = e.path().join("cloud-dr/outbox.redb");
        assert!(queue.exists());
        // What knows of no configuration keeps it.
        let edge = edge_with(e.path(), None);
        assert_eq!(edge.sync_status().also[0].pending_rows, 50);
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = edge_with(e.path(), Some(Vec::new()));
        assert!(!queue.exists());
        assert!(edge.sync_status().also.is_empty());
        let told = rows(
            &edge,
            "SELECT text FROM system.sync_events WHERE kind = 'cloud_let_go'",
        )
        .await;
        assert!(told[0].contains("50 rows that waited"), "{told:?}");
        edge.seal().await.unwrap();
        edge.inner.store.flush().unwrap();
        let records = edge.inner.store.last_lsn().0;
        assert!(
            edge.inner.store.first_log_lsn().0 >= records,
            "the log is held"
        );
        // It begins anew where it is named again, and a repair brings the rest.
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = edge_with(e.path(), Some(vec![dr()]));
        assert_eq!(edge.sync_status().also[0].pending_rows, 0);
        close_all(vec![edge]).await;
    });
}

#[test]
fn what_waits_for_a_further_cloud_is_in_a_backup() {
    runtime().block_on(async {
        let (e, b, r, c) = (folder(), folder(), folder(), folder());
        let edge = edge_with(e.path(), Some(vec![dr()]));
        run(&edge, TABLES).await;
        write(&edge, 0..50).await;
        edge.seal().await.unwrap();
        std::fs::write(e.path().join("cloud-dr/edge.key"), "a key").unwrap();
        let target = crate::backup::Directory::at(b.path());
        edge.backup(&target, &mut |_| Ok(())).unwrap();
        let before = edge.sync_status().also[0].epoch.clone();
        edge.shutdown().await.unwrap();
        let place = r.path().join("restored");
        crate::backup::restore(&target, None, &place, None, &mut |_| Ok(())).unwrap();
        assert_eq!(
            std::fs::read(place.join("cloud-dr/edge.key")).unwrap(),
            b"a key"
        );
        let edge = edge_with(&place, Some(vec![dr()]));
        assert_ne!(
            edge.sync_status().also[0].epoch,
            before,
            "another image, another epoch"
        );
        let copy = open(c.path(), Role::Cloud);
        ship_to(&edge, "dr", &copy);
        assert_eq!(numbers(&copy).await.len(), 50);
        close_all(vec![edge, copy]).await;
    });
}

/// Ships to a further cloud and brings its receipt; whether it was kept.
fn signed_by(edge: &Db, name: &str, cloud: &Db) -> bool {
    ship_to(edge, name, cloud);
    let hosts = further(edge, name);
    let (node, _, epoch) = hosts.outbox.identity();
    let receipt = cloud.sync_hosts().inbox.attest(node, epoch).unwrap();
    hosts.replica.receipt(&receipt.unwrap()).unwrap()
}

#[test]
fn receipts_are_each_clouds_own_and_rows_may_wait_for_all() {
    const OLD: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
        CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE,
          PRIMARY KEY ((device), ts)) WITH (keep_local = '1h')";
    let insert = |device: &str| {
        format!("INSERT INTO plant.readings VALUES ('{device}', '2020-01-01T00:00:00', 1)")
    };
    runtime().block_on(async {
        for all in [false, true] {
            let (e, o, c) = (folder(), folder(), folder());
            let mut options = DbOptions::new(e.path(), Role::Edge);
            options.seal_after = Duration::from_secs(3600);
            options.also = Some(vec![dr()]);
            options.receipts_of_all = all;
            let edge = Db::open(options).unwrap();
            let (own, copy) = (open(o.path(), Role::Cloud), open(c.path(), Role::Cloud));
            let (ours, theirs) = (Secret::new(7), Secret::new(8));
            edge.check_receipts_with(ours.clone());
            edge.check_receipts_of("dr", theirs.clone());
            own.sign_receipts_with(ours);
            copy.sign_receipts_with(theirs);
            run(&edge, OLD).await;
            run(&edge, &insert("a")).await;
            let evict = || {
                edge.inner.store.flush().unwrap();
                for _ in 0..2 {
                    edge.inner
                        .outboxes()
                        .for_each(|outbox| outbox.seal().unwrap());
                    edge.inner.evict_all();
                }
            };
            ship_own(&edge, &own);
            assert!(super::receipts::ship_with_receipt(&edge, &own));
            evict();
            let count = "SELECT count(*) FROM plant.readings";
            assert_eq!(rows(&edge, count).await, [if all { "1" } else { "0" }]);
            assert!(signed_by(&edge, "dr", &copy));
            evict();
            assert_eq!(rows(&edge, count).await, ["0"], "all: {all}");
            let shown =
                "SELECT cloud, verified FROM system.sync_receipts ORDER BY cloud NULLS FIRST";
            assert_eq!(rows(&edge, shown).await, ["|true", "dr|true"]);
            assert_eq!(edge.receipts(Some("dr")).unwrap().len(), 1);
            assert!(edge.receipts(Some("nobody")).is_err());
            // A receipt of the one is none of the other.
            run(&edge, &insert("b")).await;
            ship_to(&edge, "dr", &copy);
            let (node, _, epoch) = further(&edge, "dr").outbox.identity();
            let receipt = copy
                .sync_hosts()
                .inbox
                .attest(node, epoch)
                .unwrap()
                .unwrap();
            assert!(edge.sync_hosts().replica.receipt(&receipt).is_err());
            let status = edge.sync_status();
            assert!(status.receipt_refused.is_some());
            assert!(status.also[0].receipt_refused.is_none());
            assert_eq!(status.receipt.unwrap().cloud, None);
            close_all(vec![edge, own, copy]).await;
        }
    });
}

#[test]
fn rows_of_before_a_cloud_was_named_are_not_covered_by_it() {
    runtime().block_on(async {
        let e = folder();
        let open_it = |also| {
            let mut options = DbOptions::new(e.path(), Role::Edge);
            options.seal_after = Duration::from_secs(3600);
            options.also = Some(also);
            options.receipts_of_all = true;
            Db::open(options).unwrap()
        };
        let edge = open_it(Vec::new());
        run(&edge, PLANT).await;
        let table = "plant.readings".parse().unwrap();
        let schema = edge.table_schema(&table).unwrap();
        let before = edge.inner.whole_since(&schema).unwrap();
        assert_eq!(before, edge.inner.whole_since(&schema).unwrap());
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = open_it(vec![dr()]);
        let after = edge.inner.whole_since(&schema).unwrap();
        assert!(after > before, "{after:?} {before:?}");
        close_all(vec![edge]).await;
    });
}

#[test]
fn clouds_that_cannot_be_are_refused() {
    let e = folder();
    let with = |also: Vec<FurtherCloud>| {
        let mut options = DbOptions::new(e.path(), Role::Edge);
        options.also = Some(also);
        Db::open(options)
            .map(drop)
            .unwrap_err()
            .message()
            .to_owned()
    };
    let odd = |tables: &[&str]| FurtherCloud {
        tables: tables.iter().map(|&table| table.to_owned()).collect(),
        ..dr()
    };
    assert!(with(vec![dr(), dr()]).contains("one name"));
    for name in ["", "../up", "DR", "a b"] {
        assert!(
            with(vec![FurtherCloud::named(name)]).contains("cannot name"),
            "{name}"
        );
    }
    for tables in [&["plant"][..], &["*.t"], &["plant.t*"], &["a.b.c"], &[]] {
        assert!(with(vec![odd(tables)]).contains("tables"), "{tables:?}");
    }
    let many = (0..9).map(|n| FurtherCloud::named(&format!("c{n}")));
    assert!(with(many.collect()).contains("at most"));
}
