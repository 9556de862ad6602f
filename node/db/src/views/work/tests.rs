//! Nobody's hurry makes a view work for long while the log and other views wait.

use std::cell::Cell;

use activestore_env::SimEnv;

use super::*;
use crate::tests::{rows, run, runtime};
use crate::views::keeper;
use crate::views::saved::Region;
use crate::{Db, DbOptions, Role};

#[test]
fn a_region_is_left_after_a_while_in_a_hurry_too() {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::seeded(1);
    world.clock.set_ms(1_767_225_600_000);
    runtime().block_on(async {
        let db = Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, PRIMARY KEY ((d), ts))").await;
        run(&db, "CREATE MATERIALIZED VIEW k.v AS SELECT d, tumble(ts, '1 s') AS w, count(*) AS n FROM k.t GROUP BY d, w").await;
        run(&db, "INSERT INTO k.t (d, ts) SELECT 'a', to_timestamp_nanos(i * 1000000000) FROM generate_series(1, 200) AS s(i)").await;
        db.shutdown().await.unwrap();
    });
    // As a tool opens it: no thread keeps views.
    let mut options = DbOptions::new(dir.path(), Role::Edge);
    options.evicts = false;
    let db = Db::open_in(options, world.env()).unwrap();
    let there = runtime().block_on(rows(&db, "SELECT count(*) FROM k.t"));
    assert_eq!(there, ["200"]);
    let of_the_thread = keeper::runtime().unwrap();
    let state = db.inner.catalog.state();
    let (name, def) = state.views.iter().next().unwrap();
    let mut upkeep = Upkeep::new(&db.inner, state.tables.get(name).unwrap(), def);
    upkeep.begin(&db.inner, &of_the_thread);
    upkeep.dirty.add(Region::all());
    let asked = Cell::new(0);
    let goes_on = || {
        asked.set(asked.get() + 1);
        world.clock.advance(REGIONS_WORK / 2);
        true
    };
    let mut rounds = 0;
    while !upkeep.is_current() {
        let before = asked.get();
        upkeep.work(&db.inner, &of_the_thread, true, &goes_on);
        assert_eq!(upkeep.error, None);
        assert!(asked.get() - before <= 3, "a round is bounded");
        assert!(
            upkeep.is_current() || upkeep.due <= db.inner.env.clock.monotonic(),
            "it does not rest"
        );
        rounds += 1;
        assert!(rounds < 300, "each round comes further");
    }
    // Steps become longer from one to the next.
    assert!(rounds > 5, "{rounds}");
    runtime().block_on(async { db.shutdown().await.unwrap() });
}
