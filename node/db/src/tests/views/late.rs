//! Rows that come too late go into a table of their own, once, and the view leaves out what is there.

use std::collections::BTreeSet;

use activestore_env::{SimDiskOptions, SimRng};

use super::*;

pub(super) const STRICT: &str = "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total FROM plant.t GROUP BY device, w";
/// What the view holds: its query over the rows that did not come late.
const WITHOUT: &str = "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total FROM plant.t
    WHERE NOT EXISTS (SELECT 1 FROM plant.t_late AS l WHERE l.device = t.device AND l.ts = t.ts) GROUP BY device, w";
pub(super) const LATE: &str =
    "late = 'table', late_table = 'plant.t_late', allowed_lateness = '1 minute'";
/// A view that looks something up, and what it holds.
const SITES: &str = "SELECT p.site, tumble(t.ts, '1 minute') AS w, count(*) AS n, sum(t.v) AS total FROM plant.t t JOIN plant.places p ON p.device = t.device GROUP BY p.site, w";
const SITES_WITHOUT: &str = "SELECT p.site, tumble(t.ts, '1 minute') AS w, count(*) AS n, sum(t.v) AS total FROM plant.t t JOIN plant.places p ON p.device = t.device
    WHERE NOT EXISTS (SELECT 1 FROM plant.sites_late AS l WHERE l.device = t.device AND l.ts = t.ts) GROUP BY p.site, w";
const SITES_LATE: &str =
    "late = 'table', late_table = 'plant.sites_late', allowed_lateness = '1 minute'";
const PLACES: &str = "CREATE TABLE plant.places (device TEXT PRIMARY KEY, site TEXT)";
const REFRESH: &str = "REFRESH MATERIALIZED VIEW plant.v";

pub(super) async fn insert(db: &Db, ts: &str, v: i64) {
    let sql = format!("INSERT INTO plant.t (device, ts, v) VALUES ('a', '2020-01-01T{ts}', {v})");
    run(db, &sql).await;
}

#[test]
fn late_rows_go_into_their_table_as_they_were_written() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH ({LATE}) AS {STRICT}")).await;
        for (ts, v) in [("00:00:00", 1), ("00:01:30", 2), ("00:03:00", 4)] {
            insert(&db, ts, v).await;
            run(&db, REFRESH).await;
        }
        // The watermark is at 00:02:00: of these the second is in time.
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2020-01-01T00:00:30', 8), ('a', '2020-01-01T00:02:10', 16)").await;
        run(&db, "INSERT INTO plant.t (device, ts, line) VALUES ('b', '2020-01-01T00:01:00', 'x')").await;
        run(&db, REFRESH).await;
        let late = "SELECT device, ts, v, line FROM plant.t_late ORDER BY device";
        let came = ["a|2020-01-01T00:00:30|8|", "b|2020-01-01T00:01:00||x"];
        assert_eq!(rows(&db, late).await, came);
        let held = "SELECT device, total FROM plant.v ORDER BY w";
        assert_eq!(rows(&db, held).await, ["a|1", "a|2", "a|16", "a|4"]);
        let told = "SELECT late_rows, late, late_table FROM system.views";
        assert_eq!(rows(&db, told).await, ["2|table|plant.t_late"]);
        let kept = |db: &Db| {
            let mut all = db.counters().into_iter();
            all.find(|one| one.name == "activestore_view_late_rows_kept_total").unwrap().value
        };
        assert_eq!(kept(&db) as u64, 2);
        // What is computed anew leaves them out: a row, a range, all of it.
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2020-01-01T00:00:00'").await;
        run(&db, REFRESH).await;
        assert_eq!(rows(&db, held).await, ["a|2", "a|16", "a|4"]);
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts < '2020-01-01T00:00:10'").await;
        agrees_without(&db).await;
        run(&db, &format!("DROP MATERIALIZED VIEW plant.v; CREATE MATERIALIZED VIEW plant.v WITH ({LATE}) AS {STRICT}")).await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, late).await, came);
        // A column that the table got since goes along, and a start in between changes nothing.
        run(&db, "ALTER TABLE plant.t ADD COLUMN extra DOUBLE").await;
        insert(&db, "00:09:00", 0).await;
        run(&db, REFRESH).await;
        db.shutdown().await.unwrap();
        drop(db);
        db = open(dir.path(), Role::Edge);
        run(&db, "INSERT INTO plant.t (device, ts, v, extra) VALUES ('c', '2020-01-01T00:00:00', 1, 0.5)").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, "SELECT v, extra FROM plant.t_late WHERE device = 'c'").await, ["1|0.5"]);
        db.shutdown().await.unwrap();
    });
}

pub(super) async fn agrees_without(db: &Db) {
    run(db, REFRESH).await;
    let mut held = rows(db, "SELECT * FROM plant.v").await;
    let mut said = rows(db, WITHOUT).await;
    held.sort();
    said.sort();
    assert_eq!(held, said);
}

#[test]
fn rows_that_are_looked_up_are_not_left_out_and_late_rows_stay_so_when_they_change() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', 'north'), ('b', 'north')").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.sites WITH ({SITES_LATE}) AS {SITES}")).await;
        for (ts, v) in [("00:00:00", 1), ("00:01:30", 2), ("00:03:00", 4), ("00:00:30", 8)] {
            insert(&db, ts, v).await;
            agrees(&db, "plant.sites", SITES_WITHOUT).await;
        }
        let held = "SELECT site, total FROM plant.sites ORDER BY w";
        let late = "SELECT v FROM plant.sites_late ORDER BY ts";
        assert_eq!(rows(&db, held).await, ["north|1", "north|2", "north|4"]);
        assert_eq!(rows(&db, late).await, ["8"]);
        // Their windows are computed anew for what is looked up, also in the round in which another late row comes.
        run(&db, "UPDATE plant.places SET site = 'south' WHERE device = 'a'").await;
        insert(&db, "00:00:40", 16).await;
        agrees(&db, "plant.sites", SITES_WITHOUT).await;
        assert_eq!(rows(&db, held).await, ["south|1", "south|2", "south|4"]);
        assert_eq!(rows(&db, late).await, ["8", "16"]);
        db.shutdown().await.unwrap();
        drop(db);
        db = open(dir.path(), Role::Edge);
        run(&db, "DELETE FROM plant.sites_late WHERE device = 'a' AND ts = '2020-01-01T00:00:30'; UPDATE plant.places SET site = 'east' WHERE device = 'a'").await;
        agrees(&db, "plant.sites", SITES_WITHOUT).await;
        assert_eq!(rows(&db, held).await, ["east|9", "east|2", "east|4"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_table_that_late_rows_do_not_fit_into_is_refused() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        let columns = "device TEXT, ts TIMESTAMP, v BIGINT, line TEXT";
        run(&db, &format!("CREATE TABLE plant.key ({columns}, PRIMARY KEY ((ts), device))")).await;
        run(&db, "CREATE TABLE plant.less (device TEXT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts))").await;
        run(&db, "CREATE TABLE plant.other (device TEXT, ts TIMESTAMP, v DOUBLE, line TEXT, PRIMARY KEY ((device), ts))").await;
        run(&db, &format!("CREATE TABLE plant.taken ({columns}, PRIMARY KEY ((device), ts))")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.first WITH (late = 'table', late_table = 'plant.taken') AS {QUERY}")).await;
        for (options, says) in [
            ("late = 'table'", "which table takes"),
            ("late_table = 'plant.l'", "only where late = 'table'"),
            ("late = 'drop', late_table = 'plant.l'", "only where late = 'table'"),
            ("late = 'table', late_table = 'l'", "KEYSPACE.TABLE"),
            ("late = 'table', late_table = 'nowhere.l'", "nowhere"),
            ("late = 'table', late_table = 'plant.t'", "the table that the view stands on"),
            ("late = 'table', late_table = 'plant.v'", "is a materialized view"),
            ("late = 'table', late_table = 'plant.first'", "is a materialized view"),
            ("late = 'table', late_table = 'plant.key'", "another primary key"),
            ("late = 'table', late_table = 'plant.less'", "column 'line' is missing"),
            ("late = 'table', late_table = 'plant.other'", "column 'v' is"),
            ("late = 'table', late_table = 'plant.taken'", "late rows of plant.first"),
        ] {
            let told = told(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH ({options}) AS {QUERY}")).await;
            assert!(told.contains(says), "{options}: {told}");
        }
        // A view that is not made leaves no table behind.
        let twice = format!("CREATE MATERIALIZED VIEW plant.first WITH (late = 'table', late_table = 'plant.l') AS {QUERY}");
        assert!(told(&db, &twice).await.contains("exists already"));
        assert!(told(&db, "SELECT * FROM plant.l").await.contains("plant.l"));
        let dropped = told(&db, "DROP TABLE plant.taken").await;
        assert!(dropped.contains("late rows of the materialized view plant.first"), "{dropped}");
        run(&db, "DROP MATERIALIZED VIEW plant.first; DROP TABLE plant.taken").await;
        db.shutdown().await.unwrap();
    });
}

/// Whoever works through late rows takes each out of the table.
async fn take(db: &Db, taken: &mut BTreeSet<String>, seed: u64) -> bool {
    let Ok(there) = try_rows(db, "SELECT device, ts, v FROM plant.t_late LIMIT 5").await else {
        return false;
    };
    for row in there {
        let mut cells = row.split('|');
        let (device, ts) = (cells.next().unwrap(), cells.next().unwrap());
        let sql = format!("DELETE FROM plant.t_late WHERE device = '{device}' AND ts = '{ts}'");
        if db.sql(&sql, &[]).await.is_err() {
            return false;
        }
        assert!(taken.insert(row.clone()), "seed {seed}: {row} came twice");
    }
    true
}

/// Which rows are late, by the numbers that they hold: those whose minute ended a minute before the newest that came.
#[derive(Default)]
struct Judged {
    newest: Option<u64>,
    late: BTreeSet<u64>,
}

impl Judged {
    fn came(&mut self, nanos: u64, number: u64) {
        const MINUTE: u64 = 60_000_000_000;
        let closes = nanos - nanos % MINUTE + MINUTE;
        if self.newest.is_some_and(|newest| closes + MINUTE <= newest) {
            self.late.insert(number);
        }
        self.newest = self.newest.max(Some(nanos));
    }
}

async fn play(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::with_disk(seed, SimDiskOptions::default());
    let rng = SimRng::seeded(seed);
    let takes = seed.is_multiple_of(2);
    let open = || {
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.seal_after = Duration::ZERO;
        Db::open_in(options, world.env()).unwrap()
    };
    let mut db = open();
    run(&db, BASE).await;
    run(
        &db,
        &format!("CREATE MATERIALIZED VIEW plant.v WITH ({LATE}, refresh = '10 ms') AS {STRICT}"),
    )
    .await;
    run(&db, PLACES).await;
    run(
        &db,
        &format!(
            "CREATE MATERIALIZED VIEW plant.sites WITH ({SITES_LATE}, refresh = '10 ms') AS {SITES}"
        ),
    )
    .await;
    // Rows of before it stands are none of those that it judges.
    run(&db, "REFRESH MATERIALIZED VIEW plant.sites").await;
    let (mut taken, mut judged) = (BTreeSet::new(), Judged::default());
    let (mut number, mut before) = (0, 0);
    for cut in 0..4 {
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + 1 + rng.below(120)),
            ..SimDiskOptions::default()
        });
        let mut unanswered = None;
        for _ in 0..300 {
            number += 1;
            // Time goes on, and some of what comes is of long before; no key comes twice.
            let second = if rng.below(3) == 0 {
                rng.below(number * 10)
            } else {
                number * 10
            };
            let nanos = second * 1_000_000_000 + number;
            let sql = match rng.below(11) {
                0 => REFRESH.to_owned(),
                8 => "REFRESH MATERIALIZED VIEW plant.sites".to_owned(),
                9 => format!(
                    "INSERT INTO plant.places (device, site) VALUES ('d{}', 's{}')",
                    rng.below(3),
                    rng.below(2)
                ),
                // A key that was there, and is late by now; and one that somebody takes out of the table of late rows.
                10 if !takes => format!(
                    "INSERT INTO plant.t (device, ts, v) VALUES ('d{}', to_timestamp_nanos({before}), {number})",
                    rng.below(3)
                ),
                3 if !takes => format!(
                    "DELETE FROM plant.t_late WHERE device = 'd{}' AND ts < to_timestamp_nanos({nanos})",
                    rng.below(3)
                ),
                1 if !takes => format!(
                    "DELETE FROM plant.t WHERE device = 'd{}' AND ts < to_timestamp_nanos({nanos})",
                    rng.below(3)
                ),
                2 if takes => {
                    if take(&db, &mut taken, seed).await {
                        continue;
                    }
                    break;
                }
                _ => format!(
                    "INSERT INTO plant.t (device, ts, v) VALUES ('d{}', to_timestamp_nanos({nanos}), {number})",
                    rng.below(3)
                ),
            };
            if rng.below(8) == 0 {
                before = nanos;
            }
            let comes = sql
                .starts_with("INSERT INTO plant.t ")
                .then_some((nanos, number));
            if db.sql(&sql, &[]).await.is_err() {
                unanswered = comes;
                break;
            }
            if let Some((nanos, number)) = comes {
                judged.came(nanos, number);
            }
        }
        let _dark = db.shutdown().await;
        drop(db);
        world.disk.crash();
        db = open();
        println!("seed {seed}, cut {cut}, {} taken", taken.len());
        if takes {
            run(&db, REFRESH).await;
            assert!(take(&db, &mut taken, seed).await);
        } else {
            agrees_without(&db).await;
        }
        agrees(&db, "plant.sites", SITES_WITHOUT).await;
        if takes {
            if let Some((nanos, number)) = unanswered {
                let there = format!("SELECT 1 FROM plant.t WHERE v = {number}");
                if !rows(&db, &there).await.is_empty() {
                    judged.came(nanos, number);
                }
            }
            let late = rows(&db, "SELECT v FROM plant.sites_late ORDER BY v").await;
            let wanted: Vec<String> = judged.late.iter().map(u64::to_string).collect();
            assert_eq!(late, wanted, "seed {seed}, cut {cut}");
        }
    }
    db.shutdown().await.unwrap();
}

#[test]
fn each_late_row_goes_into_its_table_once_through_power_cuts() {
    // The last of them is one in which the power goes between two records that late rows are written in.
    for seed in (1..=6).chain([14]) {
        runtime().block_on(play(seed));
    }
}
