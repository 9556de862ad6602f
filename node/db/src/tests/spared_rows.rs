//! Old rows of shared tables that a cloud never had, or has lost, stay where they are: nobody deleted them.

use activestore_sync_proto::PeerStatus;
use activestore_types::{ErrorKind, Hlc, SyncMode, TableName};

use super::events::seen;
use super::flowing_down::{SHARED, adopt, close, folder, follow};
use super::late_rows::{HOUR, Pair, open_by};
use super::shipping::{sealed, ship};
use super::verifying::compare;
use super::*;

const ITEMS: &str = "SELECT item FROM shop.prices ORDER BY item, region";

fn insert(item: &str, region: &str) -> String {
    format!("INSERT INTO shop.prices (item, region, price) VALUES ('{item}', '{region}', 1)")
}

/// The stamp up to which a cloud says that it has all there is of the shared table.
fn line(cloud: &Db) -> Hlc {
    let name: TableName = "shop.prices".parse().unwrap();
    let schema = cloud.table_schema(&name).unwrap();
    cloud.inner.horizons().of(&schema).unwrap_or(Hlc::ZERO)
}

/// Time enough for deletes to be forgotten, and the edge starts over.
async fn much_later(pair: &Pair, cloud: &Db) {
    // The edge left, and nobody waits for what it may have.
    let stream = cloud.inner.down.stream().unwrap();
    stream.seen(pair.edge.node_id(), false, false, cloud.inner.wall_ms());
    for _ in 0..3 {
        pair.clock.advance(HOUR);
        run(cloud, "ALTER TABLE shop.prices COMPACT").await;
    }
    assert!(line(cloud) > Hlc::ZERO);
    cloud.inner.erase_stream().unwrap();
}

#[test]
fn rows_that_are_kept_back_are_not_forgotten_at_the_edge() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        clock.advance(HOUR);
        run(
            cloud,
            "ALTER TABLE shop.prices SET (sync_where = 'region = ''north''')",
        )
        .await;
        adopt(edge, cloud);
        run(edge, &insert("own", "south")).await;
        run(edge, &insert("tea", "north")).await;
        ship(edge, cloud);
        follow(edge, cloud);
        for filtered in [true, false] {
            if !filtered {
                // Once kept back is kept back.
                run(cloud, "ALTER TABLE shop.prices SET (sync_where = '')").await;
                adopt(edge, cloud);
            }
            much_later(&pair, cloud).await;
            assert_eq!(follow(edge, cloud).started_over, 1);
            assert_eq!(rows(cloud, ITEMS).await, ["tea"]);
            assert_eq!(rows(edge, ITEMS).await, ["own", "tea"]);
        }
        close(&[edge, cloud]).await;
    });
}

#[test]
fn rows_that_another_cloud_took_are_not_forgotten_at_the_edge() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        clock.advance(HOUR);
        run(edge, &insert("own", "south")).await;
        run(cloud, &insert("tea", "north")).await;
        ship(edge, cloud);
        follow(edge, cloud);
        clock.advance(HOUR);
        let dir = folder();
        let other = open_by(clock, dir.path(), Role::Cloud);
        run(&other, SHARED).await;
        adopt(edge, &other);
        // It says nothing of old rows before edges could have brought them.
        run(&other, "ALTER TABLE shop.prices COMPACT").await;
        assert_eq!(line(&other), Hlc::ZERO);
        assert_eq!(follow(edge, &other).started_over, 1);
        assert_eq!(rows(edge, ITEMS).await, ["own", "tea"]);
        much_later(&pair, &other).await;
        assert_eq!(follow(edge, &other).started_over, 1);
        assert_eq!(rows(edge, ITEMS).await, ["own", "tea"]);
        // What is of its own time goes as ever.
        run(&other, &insert("fig", "north")).await;
        follow(edge, &other);
        assert_eq!(rows(edge, ITEMS).await, ["fig", "own", "tea"]);
        run(&other, "DELETE FROM shop.prices WHERE item = 'fig'").await;
        much_later(&pair, &other).await;
        follow(edge, &other);
        assert_eq!(rows(edge, ITEMS).await, ["own", "tea"]);
        close(&[edge, cloud, &other]).await;
    });
}

#[test]
fn rows_that_wait_to_be_shipped_are_not_lost_where_they_are_forgotten() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        clock.advance(HOUR);
        for item in ["fig", "nut", "oil", "tea"] {
            run(cloud, &insert(item, "north")).await;
        }
        follow(edge, cloud);
        run(edge, &insert("own", "south")).await;
        run(cloud, "DELETE FROM shop.prices WHERE item <> 'oil'").await;
        much_later(&pair, cloud).await;
        assert_eq!(follow(edge, cloud).started_over, 1);
        assert_eq!(rows(edge, ITEMS).await, ["oil"]);
        // It arrives all the same, and people decide.
        ship(edge, cloud);
        follow(edge, cloud);
        assert_eq!(rows(edge, ITEMS).await, ["oil"]);
        let aside = r#"SELECT "rows" FROM system.rejected_writes"#;
        assert_eq!(rows(cloud, aside).await, ["1"]);
        assert_eq!(cloud.retry_rejected(None).await.unwrap().rows, 1);
        follow(edge, cloud);
        for node in [edge, cloud] {
            assert_eq!(rows(node, ITEMS).await, ["oil", "own"]);
        }
        close(&[edge, cloud]).await;
    });
}

#[test]
fn what_a_cloud_lost_that_is_old_is_not_shipped_to_be_deleted() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        clock.advance(HOUR);
        for item in ["fig", "tea"] {
            run(edge, &insert(item, "north")).await;
        }
        run(
            edge,
            "INSERT INTO shop.prices VALUES ('mix', 'north', 1, 'old')",
        )
        .await;
        run(cloud, &insert("oil", "north")).await;
        ship(edge, cloud);
        follow(edge, cloud);
        much_later(&pair, cloud).await;
        follow(edge, cloud);
        run(edge, &insert("nut", "north")).await;
        run(
            edge,
            "UPDATE shop.prices SET price = 2 WHERE item = 'mix' AND region = 'north'",
        )
        .await;
        ship(edge, cloud);
        follow(edge, cloud);
        clock.advance(Duration::from_secs(120));
        let name: TableName = "shop.prices".parse().unwrap();
        let id = cloud.table_schema(&name).unwrap().id;
        cloud.inner.store.drop_table(id).unwrap();
        let schema = cloud.inner.catalog.state().tables[&name].clone();
        cloud.inner.store.put_schema(schema).unwrap();
        assert!(rows(cloud, ITEMS).await.is_empty());
        let report = compare(edge, cloud, true).report;
        ship(edge, cloud);
        follow(edge, cloud);
        assert_eq!(rows(edge, ITEMS).await, ["fig", "mix", "nut", "oil", "tea"]);
        let mix = "SELECT price, note FROM shop.prices WHERE item = 'mix'";
        assert_eq!(rows(edge, mix).await, ["2.0|old"]);
        assert_eq!(
            rows(cloud, ITEMS).await,
            ["nut"],
            "young enough to be shipped"
        );
        assert!(report.outcome.left() >= 3, "{report:?}");
        let days = report.tables.iter().flat_map(|table| &table.days);
        assert!(
            days.map(|day| day.undecided).sum::<u64>() >= 3,
            "{report:?}"
        );
        close(&[edge, cloud]).await;
    });
}

#[test]
fn old_rows_of_a_node_that_follows_another_cloud_are_taken_by_their_stamps() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        let seen = |follows| {
            cloud.sync_hosts().inbox.peer_seen(PeerStatus {
                follows,
                ..seen(edge, true)
            });
        };
        clock.advance(HOUR);
        run(edge, &insert("own", "south")).await;
        run(edge, &insert("tea", "north")).await;
        run(cloud, &insert("tea", "north")).await;
        let newer = "UPDATE shop.prices SET price = 3 WHERE item = 'tea' AND region = 'north'";
        run(cloud, newer).await;
        much_later(&pair, cloud).await;
        let outbox = edge.sync_hosts().outbox.unwrap();
        let (inbox, segments) = (cloud.sync_hosts().inbox, sealed(edge));
        let bring = || inbox.apply(edge.node_id(), outbox.identity().2, &segments[0]);
        seen(true);
        assert_eq!(bring().unwrap_err().kind(), ErrorKind::Overloaded);
        seen(false);
        bring().unwrap();
        let read = rows(cloud, "SELECT item, price FROM shop.prices ORDER BY item").await;
        assert_eq!(read, ["own|1.0", "tea|3.0"]);
        close(&[edge, cloud]).await;
    });
}

#[test]
fn what_does_not_fit_keeps_its_stamps_however_old_it_is_when_it_is_tried_again() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        let keyspace = "CREATE KEYSPACE lab WITH (sync = 'both')";
        let fits = "CREATE TABLE lab.odd (device TEXT PRIMARY KEY, temp DOUBLE)";
        run(edge, keyspace).await;
        run(edge, fits).await;
        run(cloud, keyspace).await;
        run(
            cloud,
            "CREATE TABLE lab.odd (device TEXT PRIMARY KEY, temp TEXT)",
        )
        .await;
        run(edge, "INSERT INTO lab.odd VALUES ('a', 1.5), ('b', 1.5)").await;
        ship(edge, cloud);
        clock.advance(HOUR);
        run(cloud, "DROP TABLE lab.odd").await;
        run(cloud, fits).await;
        run(cloud, "INSERT INTO lab.odd VALUES ('a', 9)").await;
        clock.advance(HOUR);
        much_later(&pair, cloud).await;
        let tried = cloud.retry_rejected(None).await.unwrap();
        assert_eq!((tried.rows, tried.left), (2, 0));
        let read = rows(cloud, "SELECT device, temp FROM lab.odd ORDER BY device").await;
        assert_eq!(read, ["a|9.0", "b|1.5"]);
        close(&[edge, cloud]).await;
    });
}

#[test]
fn what_came_too_late_leaves_newer_cells_alone_when_it_is_tried_again() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair { edge, cloud, clock, .. } = &pair;
        clock.advance(HOUR);
        run(edge, "INSERT INTO shop.prices VALUES ('own', 'south', 5, 'sweet'), ('tea', 'north', 5, 'black')").await;
        much_later(&pair, cloud).await;
        follow(edge, cloud);
        ship(edge, cloud);
        clock.advance(HOUR);
        run(cloud, "INSERT INTO shop.prices (item, region, price) VALUES ('own', 'south', 7)").await;
        let tried = cloud.retry_rejected(None).await.unwrap();
        assert_eq!((tried.rows, tried.left), (2, 0));
        follow(edge, cloud);
        let all = "SELECT item, price, note FROM shop.prices ORDER BY item";
        for node in [edge, cloud] {
            assert_eq!(rows(node, all).await, ["own|7.0|sweet", "tea|5.0|black"]);
        }
        close(&[edge, cloud]).await;
    });
}

#[test]
fn rows_of_before_a_table_was_shared_are_not_forgotten_at_the_edge() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        let name: TableName = "shop.own".parse().unwrap();
        let table = "CREATE TABLE shop.own (item TEXT PRIMARY KEY, price DOUBLE)";
        run(edge, &format!("{table} WITH (sync = 'none')")).await;
        clock.advance(HOUR);
        run(edge, "INSERT INTO shop.own VALUES ('old', 1)").await;
        clock.advance(HOUR);
        run(cloud, table).await;
        adopt(edge, cloud);
        assert_eq!(edge.table_schema(&name).unwrap().sync, SyncMode::Both);
        run(edge, "INSERT INTO shop.own VALUES ('new', 1)").await;
        ship(edge, cloud);
        for _ in 0..2 {
            much_later(&pair, cloud).await;
            follow(edge, cloud);
        }
        let own = "SELECT item FROM shop.own ORDER BY item";
        assert_eq!(rows(edge, own).await, ["new", "old"]);
        close(&[edge, cloud]).await;
    });
}
