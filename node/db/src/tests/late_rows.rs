//! Rows of shared tables that come later than deletes are remembered: nothing that was deleted comes back, nothing
//! is lost without a word, and telemetry is taken as ever.

use std::sync::Arc;

use activestore_env::{Env, SimClock};
use activestore_sync_proto::{LaneStanding, PeerStatus};
use activestore_types::{Epoch, ErrorKind, Hlc, SyncClass, TableName};

use super::events::seen;
use super::flowing_down::{SHARED, adopt, close, folder, follow};
use super::shipping::{sealed, ship};
use super::verifying::equal;
use super::*;

const PRICES: &str = "SELECT item, region, price, note FROM shop.prices ORDER BY item, region";
const ASIDE: &str = r#"SELECT "table", source, node, "rows" FROM system.rejected_writes"#;
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A cloud and an edge by one clock; deletes are remembered for an hour.
pub(super) struct Pair {
    pub(super) dirs: [tempfile::TempDir; 2],
    pub(super) clock: Arc<SimClock>,
    pub(super) edge: Db,
    pub(super) cloud: Db,
}

pub(super) fn open_by(clock: &Arc<SimClock>, dir: &std::path::Path, role: Role) -> Db {
    let mut options = DbOptions::new(dir, role);
    options.seal_after = Duration::ZERO;
    options.down_keep = HOUR;
    let env = Env {
        clock: clock.clone(),
        ..Env::real(dir).unwrap()
    };
    Db::open_in(options, env).unwrap()
}

impl Pair {
    pub(super) async fn new() -> Pair {
        let dirs = [folder(), folder()];
        let clock = Arc::new(SimClock::at_ms(1_790_000_000_000));
        let edge = open_by(&clock, dirs[0].path(), Role::Edge);
        let cloud = open_by(&clock, dirs[1].path(), Role::Cloud);
        run(&cloud, SHARED).await;
        run(&cloud, PLANT).await;
        let pair = Pair {
            dirs,
            clock,
            edge,
            cloud,
        };
        adopt(&pair.edge, &pair.cloud);
        follow(&pair.edge, &pair.cloud);
        pair
    }

    /// The edge comes, or goes; it lacks so many segments.
    fn is_there(&self, connected: bool, behind: u64) {
        let lane = LaneStanding {
            class: SyncClass::Live,
            epoch: Epoch(1),
            behind,
        };
        self.cloud.sync_hosts().inbox.peer_seen(PeerStatus {
            lanes: vec![lane],
            ..seen(&self.edge, connected)
        });
    }

    async fn compact(&self) {
        run(&self.cloud, "ALTER TABLE shop.prices COMPACT").await;
    }

    /// Fragments of the shared table at the cloud, and tombstones of rows and ranges.
    fn fragments(&self) -> usize {
        let name: TableName = "shop.prices".parse().unwrap();
        let id = self.cloud.table_schema(&name).unwrap().id;
        let snapshot = self.cloud.inner.store.snapshot(id).unwrap();
        let piece = snapshot.fragments(&[], 1000).unwrap();
        let rows: usize = piece.batches.iter().map(|batch| batch.rows).sum();
        rows + snapshot.range_tombstones().len()
    }

    async fn prices(&self, expected: &[&str]) {
        for node in [&self.cloud, &self.edge] {
            assert_eq!(rows(node, PRICES).await, expected);
        }
        let here = self.edge.digests(None).await.unwrap();
        assert_eq!(here, self.cloud.digests(None).await.unwrap());
        equal(&self.edge, &self.cloud);
    }
}

#[test]
fn an_edge_that_was_away_for_too_long_fetches_first_and_brings_nothing_back() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair { edge, cloud, clock, .. } = &pair;
        run(cloud, "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'north', 1), ('nut', 'north', 1), ('oil', 'north', 1), ('fig', 'north', 1)").await;
        follow(edge, cloud);
        pair.is_there(true, 0);
        clock.advance(Duration::from_secs(120));
        pair.is_there(false, 0);
        // While it is away: changes to rows that will be deleted, changed, and left alone; a row of its own; readings.
        for sql in [
            "UPDATE shop.prices SET price = 2 WHERE item = 'tea' AND region = 'north'",
            "UPDATE shop.prices SET price = 2 WHERE item = 'oil' AND region = 'north'",
            "UPDATE shop.prices SET price = 2 WHERE item = 'fig' AND region = 'north'",
            "INSERT INTO shop.prices (item, region, price) VALUES ('own', 'north', 5), ('brief', 'north', 6)",
            "DELETE FROM shop.prices WHERE item = 'brief'",
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-01', 1)",
        ] {
            clock.advance(Duration::from_secs(1));
            run(edge, sql).await;
        }
        clock.advance(Duration::from_secs(1));
        run(cloud, "DELETE FROM shop.prices WHERE item = 'tea' OR item = 'nut'").await;
        run(cloud, "UPDATE shop.prices SET price = 3 WHERE item = 'oil' AND region = 'north'").await;
        clock.advance(2 * HOUR);
        pair.compact().await;
        assert_eq!(pair.fragments(), 2, "oil and fig, and no tombstones");
        // It is back, and is to fetch before its rows are taken.
        pair.is_there(true, 1);
        let segments = sealed(edge);
        let outbox = edge.sync_hosts().outbox.unwrap();
        let epoch = outbox.identity().2;
        let inbox = cloud.sync_hosts().inbox;
        let mut refused = Vec::new();
        for segment in &segments {
            if let Err(error) = inbox.apply(edge.node_id(), epoch, segment) {
                refused.push(error);
                break;
            }
        }
        assert_eq!(refused[0].kind(), ErrorKind::Overloaded, "{refused:?}");
        assert_eq!(follow(edge, cloud).started_over, 1);
        ship(edge, cloud);
        assert_eq!(edge.sync_status().pending_rows, 0, "all is acknowledged");
        follow(edge, cloud);
        // Newer at the cloud; a change to what stands; and nothing of what nobody can know.
        let stands = ["fig|north|2.0|", "oil|north|3.0|"];
        pair.prices(&stands).await;
        let readings = rows(cloud, "SELECT device, temp FROM plant.readings").await;
        assert_eq!(readings, ["a|1.0"]);
        let aside = format!("shop.prices|edge|{}", edge.node_id());
        let told = rows(cloud, ASIDE).await;
        assert!(told.iter().all(|line| line.starts_with(&aside)), "{told:?}");
        let reason = rows(cloud, "SELECT reason FROM system.rejected_writes").await;
        assert!(reason[0].contains("may have been deleted"), "{reason:?}");
        // What people decide is a write of now, everywhere.
        let tried = cloud.retry_rejected(None).await.unwrap();
        assert_eq!((tried.rows, tried.left), (2, 0));
        follow(edge, cloud);
        pair.prices(&["fig|north|2.0|", "oil|north|3.0|", "own|north|5.0|", "tea|north|2.0|"]).await;
        close(&[edge, cloud]).await;
    });
}

#[test]
fn deletes_are_remembered_as_long_as_an_edge_may_have_older_rows() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        run(
            cloud,
            "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'north', 1)",
        )
        .await;
        follow(edge, cloud);
        pair.is_there(true, 0);
        clock.advance(Duration::from_secs(120));
        run(
            edge,
            "UPDATE shop.prices SET price = 2 WHERE item = 'tea' AND region = 'north'",
        )
        .await;
        clock.advance(Duration::from_secs(1));
        run(cloud, "DELETE FROM shop.prices WHERE item = 'tea'").await;
        // It is there all the time, with a backlog: however long that takes, what it lacks and it has is remembered.
        for _ in 0..6 {
            clock.advance(HOUR);
            pair.is_there(true, 3);
            pair.compact().await;
            follow(edge, cloud);
        }
        assert_eq!(pair.fragments(), 1, "the tombstone");
        ship(edge, cloud);
        follow(edge, cloud);
        pair.prices(&[]).await;
        assert!(rows(cloud, ASIDE).await.is_empty());
        // All that it had is here: an hour later nothing older can come.
        pair.is_there(true, 0);
        clock.advance(2 * HOUR);
        pair.is_there(true, 0);
        pair.compact().await;
        assert_eq!(pair.fragments(), 0);
        // What is away for less than that counts too.
        run(cloud, "DELETE FROM shop.prices WHERE item = 'oil'").await;
        pair.is_there(false, 0);
        clock.advance(HOUR / 2);
        pair.compact().await;
        assert_eq!(pair.fragments(), 1);
        close(&[edge, cloud]).await;
    });
}

#[test]
fn the_line_is_kept_through_a_start_and_goes_back_with_a_clock_that_was_wrong() {
    runtime().block_on(async {
        let pair = Pair::new().await;
        let Pair {
            edge, cloud, clock, ..
        } = &pair;
        let name: TableName = "shop.prices".parse().unwrap();
        let schema = cloud.table_schema(&name).unwrap();
        let line = |cloud: &Db| cloud.inner.horizons().of(&schema).unwrap_or(Hlc::ZERO);
        clock.advance(2 * HOUR);
        pair.is_there(false, 0);
        clock.advance(2 * HOUR);
        pair.compact().await;
        let drawn = line(cloud);
        let now_ms = 1_790_000_000_000 + 4 * 3_600_000;
        assert_eq!(drawn.wall_ms(), now_ms - 3_600_000);
        // A day in a far future.
        clock.set_ms(now_ms + 1000 * 86_400_000);
        pair.compact().await;
        assert!(line(cloud) > drawn);
        clock.set_ms(now_ms + 1000);
        pair.compact().await;
        // Deletes up to now may have been forgotten meanwhile, so it stands there until an hour has passed.
        assert_eq!(line(cloud).wall_ms(), now_ms + 1000);
        clock.advance(HOUR / 2);
        pair.compact().await;
        assert_eq!(line(cloud).wall_ms(), now_ms + 1000);
        clock.advance(HOUR);
        pair.compact().await;
        assert_eq!(line(cloud).wall_ms(), now_ms + 1000 + 1_800_000);
        let kept = line(cloud);
        // What is forgotten stays so where a table is not shared for a while.
        run(cloud, "ALTER TABLE shop.prices SET (sync = 'up')").await;
        pair.compact().await;
        let up = cloud.table_schema(&name).unwrap();
        assert_eq!(cloud.inner.horizons().of(&up), None);
        run(cloud, "ALTER TABLE shop.prices SET (sync = 'both')").await;
        pair.compact().await;
        assert_eq!(line(cloud), kept);
        cloud.shutdown().await.unwrap();
        edge.shutdown().await.unwrap();
        let Pair {
            dirs,
            clock,
            edge,
            cloud,
        } = pair;
        drop((edge, cloud));
        let cloud = open_by(&clock, dirs[1].path(), Role::Cloud);
        assert_eq!(line(&cloud), kept);
        cloud.shutdown().await.unwrap();
    });
}
