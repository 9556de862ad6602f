//! The thread of the views ends whole, and goes on where its work panics.

use activestore_env::SimEnv;

use super::*;
use crate::Role;
use crate::tests::{open, run, runtime};

fn views(world: &SimEnv) -> Views {
    let views = Views::new(world.env().clock);
    views.state.lock().running = true;
    views.followed.store(true, Ordering::Release);
    views
}

#[test]
fn work_that_panics_begins_anew() {
    let world = SimEnv::seeded(1);
    let views = views(&world);
    let done = AtomicBool::new(false);
    let mut rounds = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                world.clock.advance(Duration::from_secs(1));
                views.woken.notify_all();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        views.outlive_panics(|| {
            rounds += 1;
            let redefined = std::mem::take(&mut views.state.lock().redefined);
            // It looks for its views again.
            assert!(redefined != (rounds > 1) || rounds >= 3, "of a test");
            assert!(views.ends());
            Ok(())
        });
        done.store(true, Ordering::Release);
    });
    assert_eq!(rounds, 3);
    assert!(!views.state.lock().running);
}

#[test]
fn with_the_thread_goes_what_it_told() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let db = open(dir.path(), Role::Edge);
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, PRIMARY KEY ((d), ts))").await;
        run(&db, "CREATE MATERIALIZED VIEW k.v AS SELECT d, tumble(ts, '1 s') AS w, count(*) AS n FROM k.t GROUP BY d, w").await;
        run(&db, "REFRESH MATERIALIZED VIEW k.v").await;
        let views = &db.inner.views;
        assert_eq!(views.reports().len(), 1);
        views.state.lock().redefined = false;
        assert!(views.ends());
        // Before anybody else can start a thread, which tells of other views.
        assert!(views.reports().is_empty() && !views.state.lock().running);
        db.shutdown().await.unwrap();
    });
}
