//! What others feel while a plugin misbehaves: one task writes to a table whose processor breaks a rule, two
//! others write and ask beside it as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use activestore_db::Db;

use crate::{run, verdict};

/// What the plugin does, by its setting `mode`.
const MODES: [&str; 10] = [
    "loop",
    "memory",
    "recursion",
    "panic",
    "many-rows",
    "many-outputs",
    "validity",
    "text",
    "log",
    "state-flood",
];
/// Calls with each mode.
const CALLS: u64 = 3;
/// How much later than its deadline a call may end, and how long others may wait.
const GOAL_MS: f64 = 100.0;

pub(crate) async fn hostile(db: &Db, deadline: Duration) {
    run(
        db,
        "CREATE TABLE bench.calm (device TEXT, n BIGINT, PRIMARY KEY ((device), n))",
    )
    .await;
    println!(
        "others while a plugin misbehaves, which has {deadline:?} a call: the worst of {CALLS} calls"
    );
    for mode in MODES {
        let table = format!("hostile_{}", mode.replace('-', "_"));
        run(
            db,
            &format!(
                "CREATE TABLE bench.{table} (device TEXT, n BIGINT, PRIMARY KEY ((device), n));
                 CREATE PROCESSOR of_{table} ON bench.{table} USING PLUGIN 'hostile' WITH (mode = '{mode}')"
            ),
        )
        .await;
        let over = Arc::new(AtomicBool::new(false));
        let writes = worst(db, over.clone(), |n| {
            format!("INSERT INTO bench.calm VALUES ('a', {n})")
        });
        let queries = worst(db, over.clone(), |n| {
            format!("SELECT n FROM bench.calm WHERE device = 'a' AND n = {n}")
        });
        let mut longest = Duration::ZERO;
        for call in 0..CALLS {
            let begun = Instant::now();
            // Refused or kept without its processor: either way the call is over.
            let _outcome = db
                .sql(
                    &format!("INSERT INTO bench.{table} VALUES ('a', {call})"),
                    &[],
                )
                .await;
            longest = longest.max(begun.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        let (writes, queries) = (writes.await.unwrap(), queries.await.unwrap());
        let beyond = longest.saturating_sub(deadline).as_secs_f64() * 1e3;
        let worst = beyond.max(writes).max(queries);
        verdict(
            &format!(
                "{mode}: over after {:.0} ms, another write took {writes:.1} ms, a query {queries:.1} ms; the worst beyond",
                longest.as_secs_f64() * 1e3
            ),
            worst,
            worst <= GOAL_MS,
            &format!("ms (≤ {GOAL_MS})"),
        );
        run(
            db,
            &format!("DROP PROCESSOR of_{table}; DROP TABLE bench.{table}"),
        )
        .await;
    }
}

/// Runs a statement over and over until it is over, and gives the longest that one took, in milliseconds.
fn worst(
    db: &Db,
    over: Arc<AtomicBool>,
    statement: impl Fn(u64) -> String + Send + 'static,
) -> tokio::task::JoinHandle<f64> {
    let db = db.clone();
    tokio::spawn(async move {
        let mut worst = 0.0_f64;
        let mut turn = 0;
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            run(&db, &statement(turn)).await;
            worst = worst.max(begun.elapsed().as_secs_f64() * 1e3);
            turn += 1;
        }
        worst
    })
}
