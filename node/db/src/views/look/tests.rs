//! What was seen of the log is the same when it is read again after a start.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use activestore_env::SimEnv;

use super::*;
use crate::tests::{run, runtime};
use crate::views::keeper;
use crate::{Db, DbOptions, Role};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_MS: u64 = 1_767_225_600_000;

#[test]
fn a_row_of_a_clock_that_was_ahead_makes_none_late_when_the_log_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::seeded(1);
    world.clock.set_ms(NEW_YEAR_MS);
    runtime().block_on(async {
        let db = Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, PRIMARY KEY ((d), ts))").await;
        run(&db, "CREATE MATERIALIZED VIEW k.v WITH (late = 'drop') AS SELECT d, tumble(ts, '1 s') AS w, count(*) AS n FROM k.t GROUP BY d, w").await;
        run(&db, "REFRESH MATERIALIZED VIEW k.v").await;
        db.shutdown().await.unwrap();
    });
    // As a tool opens it: no thread keeps views.
    let mut options = DbOptions::new(dir.path(), Role::Edge);
    options.evicts = false;
    let db = Db::open_in(options, world.env()).unwrap();
    runtime().block_on(async {
        // Of now, of a device whose clock is an hour ahead, and of a moment ago.
        for ts in [
            "2026-01-01T00:00:00",
            "2026-01-01T01:00:00",
            "2025-12-31T23:59:59.5",
        ] {
            run(
                &db,
                &format!("INSERT INTO k.t (d, ts) VALUES ('a', '{ts}')"),
            )
            .await;
        }
    });
    let of_the_thread = keeper::runtime().unwrap();
    let look = || {
        let state = db.inner.catalog.state();
        let (name, def) = state.views.iter().next().unwrap();
        let mut upkeep = Upkeep::new(&db.inner, state.tables.get(name).unwrap(), def);
        upkeep.begin(&db.inner, &of_the_thread);
        let records = db.inner.store.log(upkeep.next, usize::MAX).unwrap();
        let next = Lsn(db.inner.store.last_lsn().0 + 1);
        let at = Moment {
            now_ns: db.inner.wall_ns(),
            floor_ns: None,
        };
        upkeep.look(&records, next, at, None).unwrap();
        (upkeep.newest_ns, upkeep.late, upkeep.dirty.count())
    };
    let first = look();
    assert_eq!(first.0, i64::try_from(NEW_YEAR_MS).unwrap() * 1_000_000);
    assert_eq!(first.2 as u64 + first.1, 3);
    world.clock.advance(Duration::from_secs(7_200));
    assert_eq!(look(), first);
    runtime().block_on(async { db.shutdown().await.unwrap() });
}
