//! Views that look something up in other tables: what is taken, what a change of a row that is looked up costs, and when
//! rows expire.

use activestore_types::ErrorKind;

use super::*;
use crate::tests::auth::role;

const PLACES: &str =
    "CREATE TABLE plant.places (device TEXT PRIMARY KEY, site TEXT, seen TIMESTAMP)";
const SITES: &str = "SELECT p.site, tumble(t.ts, '1 minute') AS w, count(*) AS n, sum(t.v) AS total FROM plant.t t JOIN plant.places p ON p.device = t.device GROUP BY p.site, w";
const NAMED: &str = "SELECT t.device, tumble(t.ts, '1 minute') AS w, count(*) AS n, max(p.site) AS site FROM plant.t t LEFT JOIN plant.places p ON p.device = t.device GROUP BY t.device, w";

pub(super) fn figure(db: &Db, name: &str, view: &str) -> f64 {
    let mut all = db.counters().into_iter();
    let found = all.find(|one| one.name == name && one.labels[0].1 == view);
    found.unwrap().value
}

#[test]
fn rows_go_from_group_to_group_with_what_is_looked_up() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', 'north'), ('b', 'north')").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1), ('a', '2026-01-01T05:00:00', 2), ('b', '2026-01-01', 4), ('c', '2026-01-01', 8)").await;
        let views = [("plant.sites", SITES), ("plant.named", NAMED)];
        for (name, query) in views {
            run(&db, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
            agrees(&db, name, query).await;
        }
        for (sql, held) in [
            ("UPDATE plant.places SET site = 'south' WHERE device = 'a'", "north|4,south|1,south|2"),
            ("INSERT INTO plant.places (device, site) VALUES ('c', 'south')", "north|4,south|2,south|9"),
            ("DELETE FROM plant.places WHERE device = 'b'", "south|2,south|9"),
            ("INSERT INTO plant.t (device, ts, v) VALUES ('c', '2026-01-01T05:00:01', 16)", "south|18,south|9"),
            ("DELETE FROM plant.places WHERE device >= 'a' AND device < 'c'", "south|16,south|8"),
            ("DELETE FROM plant.places", ""),
        ] {
            run(&db, sql).await;
            for (name, query) in views {
                agrees(&db, name, query).await;
            }
            let mut sums = rows(&db, "SELECT site, total FROM plant.sites").await;
            sums.sort();
            assert_eq!(sums.join(","), held, "{sql}");
        }
        // Many at once, which are looked for in the table.
        let all: Vec<String> = (0..700).map(|one| format!("('d{one}', 's{}')", one % 7)).collect();
        run(&db, "INSERT INTO plant.t (device, ts, v) SELECT 'd' || i, to_timestamp_nanos(i * 1000000000), i FROM generate_series(0, 699) AS s(i)").await;
        run(&db, &format!("INSERT INTO plant.places (device, site) VALUES {}", all.join(", "))).await;
        for (name, query) in views {
            agrees(&db, name, query).await;
            assert!(figure(&db, "activestore_view_reference_rows_total", name) >= 700.0);
            assert!(figure(&db, "activestore_view_reference_found_rows_total", name) >= 700.0);
        }
        let joined = rows(&db, "SELECT name, base, joined, state FROM system.views ORDER BY name").await;
        assert_eq!(joined, ["named|plant.t|plant.places|current", "sites|plant.t|plant.places|current"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_write_of_what_no_view_reads_computes_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', 'north')").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1), ('b', '2026-01-01', 2)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.named AS {NAMED}")).await;
        let counted = "SELECT tumble(t.ts, '1 minute') AS w, count(*) AS n FROM plant.t t JOIN plant.places p ON p.device = t.device GROUP BY w";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.counted AS {counted}")).await;
        let views = [("plant.named", NAMED), ("plant.counted", counted)];
        for (name, query) in views {
            agrees(&db, name, query).await;
        }
        let followed = |name| figure(&db, "activestore_view_reference_rows_total", name);
        let before: Vec<f64> = views.iter().map(|(name, _)| followed(name)).collect();
        for minute in 0..5 {
            run(&db, &format!("UPDATE plant.places SET seen = '2026-01-01T00:0{minute}:00' WHERE device = 'a'")).await;
            for (name, query) in views {
                agrees(&db, name, query).await;
            }
        }
        let after: Vec<f64> = views.iter().map(|(name, _)| followed(name)).collect();
        assert_eq!(before, after);
        // Nor do many at once, which are more than are looked at together.
        let many = |columns: &str, value: &str| format!("INSERT INTO plant.places ({columns}) SELECT 'd' || i, {value} FROM generate_series(1, 9000) AS s(i)");
        run(&db, &many("device, site", "'far'")).await;
        for (name, query) in views {
            agrees(&db, name, query).await;
        }
        let computed = |name| figure(&db, "activestore_view_recomputed_rows_total", name);
        let before: Vec<(f64, f64)> = views.iter().map(|(name, _)| (followed(name), computed(name))).collect();
        run(&db, &many("device, seen", "TIMESTAMP '2026-01-01T00:00:00'")).await;
        for (name, query) in views {
            agrees(&db, name, query).await;
        }
        let after: Vec<(f64, f64)> = views.iter().map(|(name, _)| (followed(name), computed(name))).collect();
        assert_eq!(before, after);
        // The same write makes a row where there was none.
        run(&db, "INSERT INTO plant.places (device, seen) VALUES ('b', '2026-01-01')").await;
        for (name, query) in views {
            agrees(&db, name, query).await;
        }
        assert_eq!(rows(&db, "SELECT n FROM plant.counted").await, ["2"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_write_of_what_no_view_reads_brings_a_row_back_that_had_expired() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)").await;
        let counted = "SELECT tumble(t.ts, '1 minute') AS w, count(*) AS n FROM plant.t t JOIN plant.places p ON p.device = t.device GROUP BY w";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.counted AS {counted}")).await;
        // The older cell is there and says nothing of the row: it is NULL.
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', NULL)").await;
        run(&db, "INSERT INTO plant.places (device, seen) VALUES ('a', '2026-01-01') USING TTL 5").await;
        agrees(&db, "plant.counted", counted).await;
        world.clock.advance(Duration::from_secs(6));
        agrees(&db, "plant.counted", counted).await;
        assert!(rows(&db, "SELECT n FROM plant.counted").await.is_empty());
        run(&db, "INSERT INTO plant.places (device, seen) VALUES ('a', '2026-01-02')").await;
        agrees(&db, "plant.counted", counted).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.counted").await, ["1"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_that_expire_are_no_longer_looked_up_also_where_the_node_was_down() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        let open = || Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "ALTER TABLE plant.places SET (ttl = '1 h')").await;
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', 'north'), ('b', 'south') USING TTL 60; INSERT INTO plant.places (device, site) VALUES ('c', 'east')").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1), ('b', '2026-01-01', 2), ('c', '2026-01-01', 4)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.sites AS {SITES}")).await;
        let sums = async |db: &Db| {
            agrees(db, "plant.sites", SITES).await;
            let mut sums = rows(db, "SELECT site, total FROM plant.sites").await;
            sums.sort();
            sums.join(",")
        };
        assert_eq!(sums(&db).await, "east|4,north|1,south|2");
        world.clock.advance(Duration::from_secs(59));
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('b', 'west')").await;
        assert_eq!(sums(&db).await, "east|4,north|1,west|2");
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(sums(&db).await, "east|4,west|2");
        db.shutdown().await.unwrap();
        drop(db);
        world.clock.advance(Duration::from_secs(3_540));
        let db = open();
        assert_eq!(sums(&db).await, "west|2");
        assert_eq!(rows(&db, "SELECT device FROM plant.places").await, ["b"]);
        // It expires while nobody waits.
        world.clock.advance(Duration::from_secs(60));
        until(async || {
            world.clock.advance(Duration::from_millis(100));
            db.inner.views.redefined();
            rows(&db, "SELECT * FROM plant.sites").await.is_empty()
        })
        .await;
        run(&db, "ALTER TABLE plant.places SET (ttl = 'none'); INSERT INTO plant.places (device, site) VALUES ('c', 'east')").await;
        assert_eq!(sums(&db).await, "east|4");
        db.shutdown().await.unwrap();
        drop(db);
        assert_eq!(sums(&open()).await, "east|4");
    });
}

#[test]
fn rows_beyond_those_that_are_remembered_expire_one_by_one() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, PLACES).await;
        // In the order of their keys those that expire last come first, and there is room for two in a test.
        for place in 0..9 {
            let lasts = 90 - place * 10;
            run(&db, &format!("INSERT INTO plant.places (device, site) VALUES ('d{place}', 'north') USING TTL {lasts}; INSERT INTO plant.t (device, ts, v) VALUES ('d{place}', '2026-01-01', 1)")).await;
        }
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.named AS {NAMED}")).await;
        agrees(&db, "plant.named", NAMED).await;
        world.clock.advance(Duration::from_secs(1));
        for gone in 1..=9 {
            world.clock.advance(Duration::from_secs(10));
            agrees(&db, "plant.named", NAMED).await;
            // Each by itself: nothing was computed for all rows.
            assert_eq!(figure(&db, "activestore_view_reference_rows_total", "plant.named"), f64::from(gone));
            assert_eq!(rows(&db, "SELECT count(site) FROM plant.named").await, [(9 - gone).to_string()]);
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn names_stay_what_they_were_when_another_table_gets_a_column_of_them() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        let bare = "SELECT site, tumble(ts, '1 minute') AS w, sum(v) AS total FROM plant.t JOIN plant.places USING (device) WHERE v > 0 GROUP BY site, w HAVING sum(v) > 1";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {bare}")).await;
        run(&db, "INSERT INTO plant.places (device, site) VALUES ('a', 'north'); ALTER TABLE plant.places ADD COLUMN v BIGINT; ALTER TABLE plant.t ADD COLUMN site TEXT").await;
        run(&db, "INSERT INTO plant.t (device, ts, v, site) VALUES ('a', '2026-01-01', 2, 'odd')").await;
        let meant = "SELECT p.site, tumble(t.ts, '1 minute') AS w, sum(t.v) AS total FROM plant.t t JOIN plant.places p ON p.device = t.device WHERE t.v > 0 GROUP BY p.site, w HAVING sum(t.v) > 1";
        agrees(&db, "plant.v", meant).await;
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Edge);
        run(&db, "UPDATE plant.places SET site = 'south', v = 7 WHERE device = 'a'").await;
        agrees(&db, "plant.v", meant).await;
        assert_eq!(rows(&db, "SELECT site, total FROM plant.v").await, ["south|2"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn joins_that_no_view_can_follow_are_refused_with_what_to_write() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "CREATE TABLE plant.limits (site TEXT, kind TEXT, high DOUBLE, PRIMARY KEY ((site), kind))").await;
        let from = |from: &str| format!("CREATE MATERIALIZED VIEW plant.v AS SELECT tumble(t.ts, '1 s') AS w, count(*) AS n FROM {from} GROUP BY w");
        for (joins, says) in [
            ("plant.t t RIGHT JOIN plant.places p ON p.device = t.device", "right join"),
            ("plant.t t FULL JOIN plant.places p ON p.device = t.device", "full join"),
            ("plant.places p LEFT JOIN plant.t t ON p.device = t.device", "stands behind LEFT JOIN"),
            ("plant.t t, plant.places p", "without a condition"),
            ("plant.t t CROSS JOIN plant.places p", "without a condition"),
            ("plant.t t NATURAL JOIN plant.places p", "NATURAL JOIN"),
            ("plant.t t JOIN plant.places p ON p.site = t.line", "'device' of the primary key of plant.places"),
            ("plant.t t JOIN plant.places p ON p.device = t.device OR p.site = t.line", "'device' of the primary key of plant.places"),
            ("plant.t t JOIN plant.places p ON p.device = upper(t.device)", "'device' of the primary key of plant.places"),
            ("plant.t t JOIN plant.limits l ON l.site = t.line", "'kind' of the primary key of plant.limits"),
            ("plant.t t JOIN plant.places p ON p.device = t.device JOIN plant.limits l ON l.site = p.site AND l.kind = t.line", "'site' of the primary key of plant.limits"),
            ("plant.t t JOIN plant.t u ON u.device = t.device AND u.ts = t.ts", "joined with itself"),
            ("plant.t t JOIN (SELECT device FROM plant.places) p ON p.device = t.device", "another query"),
            ("plant.t t JOIN system.tables s ON s.name = t.device", "made when it is asked for"),
        ] {
            let told = told(&db, &from(joins)).await;
            assert!(told.contains(says), "{joins}: {told}");
        }
        let by_session = from("plant.t t LEFT JOIN plant.places p ON p.device = t.device");
        let told_of = told(&db, &by_session.replace("tumble", "session")).await;
        assert!(told_of.contains("make the view by session() of plant.t alone"), "{told_of}");
        // Rows that find nothing would be in no group.
        let named = "CREATE MATERIALIZED VIEW plant.v AS SELECT NAMED AS place, tumble(t.ts, '1 s') AS w, count(*) AS n FROM plant.t t LEFT JOIN plant.places p ON p.device = t.device GROUP BY NAMED, w";
        for column in ["p.site", "p.device"] {
            let told = told(&db, &named.replace("NAMED", column)).await;
            assert!(told.contains("behind LEFT JOIN") && told.contains(&format!("coalesce({column}, 'unknown')")), "{told}");
        }
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1); INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-01', 1); INSERT INTO plant.places (device, site) VALUES ('a', 'north')").await;
        run(&db, &named.replace("NAMED", "coalesce(p.site, 'unknown')")).await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        assert_eq!(rows(&db, "SELECT place, n FROM plant.v ORDER BY place").await, ["north|1", "unknown|1"]);
        run(&db, "DROP MATERIALIZED VIEW plant.v").await;
        // A part of the key may be a constant.
        run(&db, &from("plant.t t JOIN plant.limits l ON l.site = t.line AND l.kind = 'hot' AND t.v > l.high")).await;
        for sql in ["DROP TABLE plant.limits", "DROP TABLE plant.t"] {
            assert!(told(&db, sql).await.contains("DROP MATERIALIZED VIEW plant.v"), "{sql}");
        }
        // Of which old rows go from an edge.
        run(&db, "CREATE TABLE plant.marks (device TEXT, ts TIMESTAMP, mark TEXT, PRIMARY KEY ((device), ts))").await;
        let marked = from("plant.t t JOIN plant.marks m USING (device, ts)").replace("plant.v", "plant.u");
        run(&db, &marked).await;
        let told = told(&db, "ALTER TABLE plant.marks SET (keep_local = '1 h')").await;
        assert!(told.contains("plant.u looks rows of plant.marks up"), "{told}");
        run(&db, "DROP MATERIALIZED VIEW plant.u; ALTER TABLE plant.marks SET (keep_local = '1 h')").await;
        assert!(fails(&db, &marked).await.to_string().contains("keep_local"));
        run(&db, "DROP MATERIALIZED VIEW plant.v; DROP TABLE plant.limits").await;
        until(async || db.inner.store.notes(b"view").is_empty()).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn who_makes_a_view_may_read_all_of_its_tables() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "CREATE KEYSPACE mine; CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'; CREATE ROLE maker WITH LOGIN PASSWORD 'a long secret'; GRANT CREATE ON KEYSPACE mine TO maker; GRANT SELECT ON plant.t TO maker").await;
        let maker = role(&db, "maker");
        let make = format!("CREATE MATERIALIZED VIEW mine.v AS {SITES}");
        let error = fails(&maker, &make).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        run(&db, "GRANT SELECT ON plant.places TO maker").await;
        run(&maker, &make).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn windows_that_the_table_has_lost_keep_what_was_looked_up_then() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, PLACES).await;
        run(&db, "ALTER TABLE plant.t SET (ttl = '1 h'); INSERT INTO plant.places (device, site) VALUES ('a', 'north')").await;
        let by_line = "SELECT t.line, tumble(t.ts, '1 minute') AS w, max(p.site) AS site, sum(t.v) AS total FROM plant.t t LEFT JOIN plant.places p ON p.device = t.device GROUP BY t.line, w";
        for (name, query) in [("sites", SITES), ("lines", by_line)] {
            run(&db, &format!("CREATE MATERIALIZED VIEW plant.{name} WITH (ttl = 'none') AS {query}")).await;
        }
        run(&db, "INSERT INTO plant.t (device, ts, v, line) VALUES ('a', '2026-01-01T00:00:00', 1, 'x')").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.sites; REFRESH MATERIALIZED VIEW plant.lines").await;
        world.clock.advance(Duration::from_secs(2 * 3600));
        run(&db, "INSERT INTO plant.t (device, ts, v, line) VALUES ('a', '2026-01-01T01:59:00', 8, 'x'); UPDATE plant.places SET site = 'south' WHERE device = 'a'").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.sites; REFRESH MATERIALIZED VIEW plant.lines").await;
        for name in ["sites", "lines"] {
            let held = rows(&db, &format!("SELECT site, total FROM plant.{name} ORDER BY w")).await;
            assert_eq!(held, ["north|1", "south|8"], "{name}");
        }
        assert_eq!(rows(&db, "SELECT sum(late_rows) FROM system.views").await, ["0"]);
        db.shutdown().await.unwrap();
    });
}
