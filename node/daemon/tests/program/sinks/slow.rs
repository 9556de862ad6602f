//! Receivers behind links that are so slow that a batch takes longer than a try may.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

/// What a link takes for each event.
const EACH: Duration = Duration::from_millis(100);

#[test]
fn a_batch_that_is_never_done_in_time_becomes_smaller_ones() {
    let dir = tempfile::tempdir().unwrap();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let kept = batches.clone();
    let address = hook(move |events| {
        let events = events.as_array().unwrap();
        std::thread::sleep(EACH * u32::try_from(events.len()).unwrap());
        let numbers = events.iter().map(|event| event["row"]["n"].as_u64());
        kept.lock().unwrap().push(numbers.collect::<Vec<_>>());
        true
    });
    let node = Node::start(dir.path(), &[]);
    node.execute(TABLE);
    node.execute(&format!(
        "CREATE SINK hot TO 'http://{address}/' WITH (batch = 32, timeout = '1500 ms', max_retry = '1 s') AS SELECT n FROM k.t"
    ));
    let rows: Vec<String> = (0..64).map(|n| format!("('a', {n}, 1)")).collect();
    node.execute(&format!(
        "INSERT INTO k.t (device, n, temp) VALUES {}",
        rows.join(", ")
    ));
    eventually("all events", || {
        let stands = node.rows("SELECT state, sent, refused, skipped FROM system.sinks");
        (stands == ["current,64,0,0"]).then_some(())
    });
    let batches = batches.lock().unwrap().clone();
    // The first of them twice under its key, and what arrived in the end is in order.
    assert_eq!(batches[0].len(), 32);
    assert_eq!(batches[1], batches[0]);
    assert!(batches[2].len() < 32, "{batches:?}");
    let mut seen = Vec::new();
    for n in batches.into_iter().flatten() {
        if !seen.contains(&n) {
            seen.push(n);
        }
    }
    assert_eq!(seen, (0..64).map(Some).collect::<Vec<_>>());
    assert_eq!(node.stop(), Some(0));
}
