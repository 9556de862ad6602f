//! Steps that run on the thread of their scan.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use activestore_types::ErrorKind;

use super::runs::many;
use super::*;

#[tokio::test]
async fn what_makes_little_of_much_runs_where_rows_are_read() {
    let world = World::new();
    many(&world);
    let engine = engine(&world);
    for (sql, step) in [
        (
            "SELECT device, avg(temp) FROM plant.runs GROUP BY device",
            "RunAggregateExec",
        ),
        (
            "SELECT n % 7, avg(temp) FROM plant.runs GROUP BY 1",
            "AggregateExec: mode=Partial",
        ),
        (
            "SELECT count(*), avg(temp) FROM plant.runs WHERE n > 5",
            "RunAggregateExec",
        ),
        (
            "SELECT stddev(temp) FROM plant.runs",
            "AggregateExec: mode=Partial",
        ),
        (
            "SELECT * FROM plant.runs ORDER BY temp, device, ts LIMIT 5",
            "SortExec: TopK",
        ),
        (
            "SELECT time_bucket('1 minute', ts), max(temp) FROM plant.runs GROUP BY 1 ORDER BY 1 DESC LIMIT 2",
            "AggregateExec: mode=Partial",
        ),
    ] {
        let plan = explain(&engine, sql).await;
        let (_, below) = plan
            .split_once("TogetherExec")
            .unwrap_or_else(|| panic!("{plan}"));
        assert!(below.trim_start().starts_with(step), "{plan}");
        assert!(!below.contains("TogetherExec"), "{plan}");
    }
    // Rows that are only passed on, last rows, rows by their keys and rows of two tables are not these.
    for sql in [
        "SELECT device, temp FROM plant.runs WHERE temp > 5",
        "SELECT device, max(ts) FROM plant.runs GROUP BY device",
        "SELECT max(temp) FROM plant.runs WHERE device = 'd1' AND ts = '2026-01-01T00:00:03'",
        "SELECT count(*) FROM plant.runs a JOIN plant.runs b ON a.n = b.n",
    ] {
        let plan = explain(&engine, sql).await;
        assert!(!plan.contains("TogetherExec"), "{plan}");
    }
    let plan = explain(
        &engine,
        "ANALYZE SELECT count(*), avg(temp) FROM plant.runs WHERE n > 5",
    )
    .await;
    assert!(!plan.contains("rows_scanned=0"), "{plan}");
}

/// A function that tells when it is called first, and then waits for a word.
#[derive(Debug)]
struct Gate {
    entered: Sender<()>,
    go: Mutex<Receiver<()>>,
    calls: Arc<AtomicUsize>,
}

impl ColumnFunction for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn args(&self) -> &[DataType] {
        &[DataType::Double]
    }
    fn returns(&self) -> DataType {
        DataType::Double
    }
    fn call(&self, _rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.entered.send(()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
        }
        Ok(args[0].clone())
    }
}

#[tokio::test]
async fn an_answer_that_nobody_wants_is_given_up() {
    let world = World::new();
    many(&world);
    let engine = engine_with(
        &world,
        EngineOptions {
            partitions: 1,
            ..EngineOptions::default()
        },
    );
    let (entered, is_entered) = channel();
    let (open, go) = channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let gate = Gate {
        entered,
        go: Mutex::new(go),
        calls: calls.clone(),
    };
    engine.register(Arc::new(gate)).unwrap();
    let sql = "SELECT max(gate(temp)) FROM plant.runs";
    assert!(explain(&engine, sql).await.contains("TogetherExec"));
    let mut answer = engine.query(sql, &[]).await.unwrap();
    // Whatever is not begun yet begins when rows are asked for.
    assert!(futures::poll!(futures::StreamExt::next(&mut answer.stream)).is_pending());
    is_entered.recv().unwrap();
    drop(answer);
    engine.deregister("gate");
    open.send(()).unwrap();
    // The gate goes away with the plan, and with it its end of the channel.
    let gone = is_entered.recv_timeout(Duration::from_secs(60));
    assert_eq!(gone, Err(RecvTimeoutError::Disconnected));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_and_limits_are_told() {
    let world = World::new();
    many(&world);
    let sql = "SELECT max(1 / (n - n)) FROM plant.runs WHERE n IS NOT NULL";
    let whole = engine(&world);
    assert!(explain(&whole, sql).await.contains("TogetherExec"));
    let error = try_rows(&whole, sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let small = engine_with(
        &world,
        EngineOptions {
            query_memory_bytes: Some(64 << 10),
            ..EngineOptions::default()
        },
    );
    let sql = "SELECT count(*) FROM (SELECT n, ts, max(temp) FROM plant.runs GROUP BY n, ts)";
    let error = try_rows(&small, sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
}
