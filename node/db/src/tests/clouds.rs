//! Several clouds fed from one edge: each gets every row once in its own time, and none is in another's way.

mod bounds;
mod receipts;

use activestore_sync_proto::Outbox;
use proptest::prelude::*;

use super::at_limit::noise;
use super::flowing_down::folder;
use super::shipping::{ship, ship_from};
use super::verifying::{compare_as, image};
use super::*;
use crate::{FurtherCloud, FurtherHosts};

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

/// What a greeting does: what the cloud holds counts as acknowledged, though the edge has forgotten that it was.
fn resume(outbox: &dyn Outbox, edge: &Db, cloud: &Db) {
    for chain in outbox.chains() {
        let inbox = cloud.sync_hosts().inbox;
        if let Some(held) = inbox.progress(edge.node_id(), chain.epoch).unwrap() {
            outbox.acknowledged(chain.epoch, held.seq).unwrap();
        }
    }
}

/// Ships what waits for a further cloud, every segment twice.
fn ship_to(edge: &Db, name: &str, cloud: &Db) {
    edge.inner
        .outboxes()
        .for_each(|outbox| outbox.seal().unwrap());
    let outbox = further(edge, name).outbox;
    resume(&*outbox, edge, cloud);
    for chain in outbox.chains() {
        ship_from(&*outbox, edge, cloud, &chain);
    }
}

/// Ships what waits for the edge's own cloud.
fn ship_own(edge: &Db, cloud: &Db) {
    edge.inner
        .outboxes()
        .for_each(|outbox| outbox.seal().unwrap());
    resume(&*edge.sync_hosts().outbox.unwrap(), edge, cloud);
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
                        resume(&*outbox, &edge, &copy);
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

#[test]
fn no_further_cloud_has_the_name_of_the_own_one() {
    dr().check().unwrap();
    let error = FurtherCloud::named("own").check().unwrap_err();
    assert!(
        error.to_string().contains("the node's own cloud"),
        "{error}"
    );
}
