//! What counts as slow, and what is told of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_env::Clock;
use activestore_query::{BatchStream, Rows, parse};
use activestore_types::Error;
use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use super::watch::Watch;
use super::{KEPT_MAX, Statements};
use crate::sql::SqlOutcome;

/// A clock that is moved by hand, in milliseconds.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn moves(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn wall_ns(&self) -> i64 {
        self.monotonic().as_nanos() as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Room {
    clock: Arc<Hand>,
    statements: Arc<Statements>,
}

impl Room {
    fn new(slow_after: Option<Duration>) -> Self {
        let clock = Arc::new(Hand::default());
        Room {
            statements: Arc::new(Statements::new(clock.clone(), slow_after)),
            clock,
        }
    }

    fn begin(&self, sql: &str) -> Watch {
        Watch::begin(&self.statements, &parse(sql).unwrap()[0], "ann")
    }
}

const SLOW: Option<Duration> = Some(Duration::from_secs(1));

fn done(affected: u64) -> SqlOutcome {
    SqlOutcome::counted("INSERT", affected)
}

#[test]
fn what_is_told_has_no_values() {
    let room = Room::new(SLOW);
    let secrets = "SELECT a, 'hunter2' -- hunter2\n FROM t WHERE b = 4711 AND c IN (1.5, $1) /* hunter2 */ AND d = E'hunter2'";
    for sql in [
        secrets,
        "INSERT INTO k.t (a) VALUES ('hunter2')",
        "UPDATE k.t SET a = 'hunter2' WHERE b = 'hunter2'",
        "DELETE FROM k.t WHERE b = 'hunter2'",
        "CREATE USER ann PASSWORD 'hunter2'",
        "EXPLAIN SELECT 'hunter2'",
    ] {
        let watch = room.begin(sql);
        room.clock.moves(1_000);
        watch.ran(Ok(done(3))).unwrap();
    }
    let told = room.statements.slow();
    let texts: Vec<&str> = told.iter().map(|slow| slow.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "SELECT a, ? FROM t WHERE b = ? AND c IN (?, $1) AND d = ?",
            "INSERT INTO k.t",
            "UPDATE k.t",
            "DELETE FROM k.t",
            "ROLE",
            "EXPLAIN SELECT ?",
        ]
    );
    let kinds: Vec<&str> = told.iter().map(|slow| slow.kind).collect();
    assert_eq!(
        kinds,
        ["select", "insert", "update", "delete", "role", "explain"]
    );
    let first = &told[0];
    assert_eq!(
        (
            first.number,
            first.ended_ms,
            first.rows,
            first.outcome,
            &first.who[..]
        ),
        (1, 1_000, 3, "done", "ann")
    );
}

#[test]
fn only_what_is_slow_is_told_and_the_oldest_go() {
    let room = Room::new(SLOW);
    let run = |ms| {
        let watch = room.begin("SELECT 1");
        room.clock.moves(ms);
        watch.ran(Err(Error::overloaded("no"))).err().unwrap();
    };
    run(999);
    assert!(room.statements.slow().is_empty());
    (0..KEPT_MAX + 3).for_each(|_| run(1_000));
    let told = room.statements.slow();
    assert_eq!((told.len(), told[0].number), (KEPT_MAX, 4));
    assert_eq!(told[0].outcome, "overloaded");

    let never = Room::new(None);
    let watch = never.begin("SELECT 1");
    never.clock.moves(1_000_000);
    drop(watch);
    assert!(never.statements.slow().is_empty());
}

#[tokio::test]
async fn the_time_of_the_reader_is_not_the_statements() {
    let room = Room::new(SLOW);
    let batch = |rows: i64| {
        let column = Arc::new(Int64Array::from_iter_values(0..rows)) as _;
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    };
    let rows = |works_ms: u64| {
        let clock = room.clock.clone();
        let stream: BatchStream = Box::pin(futures::stream::iter([3, 4]).map(move |rows| {
            clock.moves(works_ms);
            Ok(batch(rows))
        }));
        let mut rows = Rows::from_batches(batch(0).schema(), Vec::new());
        rows.stream = stream;
        room.begin("SELECT a FROM t")
            .ran(Ok(SqlOutcome::Rows(rows)))
    };
    // It works for less than a second, and its reader takes a minute.
    let Ok(SqlOutcome::Rows(mut quick)) = rows(400) else {
        panic!("no rows");
    };
    while quick.stream.next().await.is_some() {
        room.clock.moves(30_000);
    }
    drop(quick);
    assert!(room.statements.slow().is_empty());

    let Ok(SqlOutcome::Rows(mut slow)) = rows(600) else {
        panic!("no rows");
    };
    while slow.stream.next().await.is_some() {
        room.clock.moves(30_000);
    }
    drop(slow);
    let Ok(SqlOutcome::Rows(mut left)) = rows(2_000) else {
        panic!("no rows");
    };
    left.stream.next().await.unwrap().unwrap();
    drop(left);
    let told = room.statements.slow();
    let shown: Vec<_> = told
        .iter()
        .map(|slow| (slow.took.as_millis(), slow.first, slow.rows, slow.outcome))
        .collect();
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(
        shown,
        [
            (1_200, ms(600), 7, "done"),
            (2_000, ms(2_000), 3, "abandoned")
        ]
    );
}
