//! Spans on their way to a collector that takes them, or does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use super::layer::SpanLayer;
use super::queue::{BATCH_MAX, Queue};
use super::{address, sender};

const PATIENCE: Duration = Duration::from_secs(60);

/// A collector that answers with these statuses, one after the other; what it got.
fn collector(statuses: &'static [u16]) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (got, gets) = channel();
    std::thread::spawn(move || {
        for status in statuses {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            got.send(serde_json::from_slice(&body).unwrap()).unwrap();
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            reader.into_inner().write_all(answer.as_bytes()).unwrap();
        }
    });
    (base, gets)
}

fn spans(message: &Value) -> &Vec<Value> {
    message["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap()
}

fn traced(queue: &Arc<Queue>, work: impl FnOnce()) {
    let layer = SpanLayer::new(queue.clone());
    let layer = layer.with_filter(filter_fn(SpanLayer::follows));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
}

#[test]
fn spans_arrive_with_their_parents_and_what_they_say() {
    let (base, gets) = collector(&[503, 200]);
    let queue = Arc::new(Queue::default());
    sender::start(queue.clone(), address(&base).unwrap(), "pump-7".to_owned()).unwrap();
    traced(&queue, || {
        let outer = tracing::debug_span!(target: "activestore_db", "statement", kind = "select", rows = tracing::field::Empty);
        let _outer = outer.enter();
        let inner =
            tracing::debug_span!(target: "activestore_db", "write", rows = 7_u64, whole = true);
        inner.in_scope(|| {
            tracing::error!(target: "activestore_db", code = 5, "the disk is full");
            tracing::info!(target: "activestore_db", "nobody asks for this");
        });
        outer.record("rows", 3_u64);
        // A library's is not followed.
        let _other = tracing::error_span!(target: "quinn", "drive").entered();
    });
    // Busy at first, so it comes again.
    let first = gets.recv_timeout(PATIENCE).unwrap();
    let message = gets.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first, message);
    queue.close(PATIENCE);
    assert_eq!(queue.counts(), (2, 0));
    let resource = message["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(resource.contains("pump-7"), "{resource}");
    let [inner, outer] = &spans(&message)[..] else {
        panic!("{message}");
    };
    assert_eq!(
        (&inner["name"], &outer["name"]),
        (&"write".into(), &"statement".into())
    );
    assert_eq!(inner["parentSpanId"], outer["spanId"]);
    assert_eq!(inner["traceId"], outer["traceId"]);
    assert!(outer.get("parentSpanId").is_none() && outer.get("status").is_none());
    assert_eq!(inner["status"]["code"], 2);
    assert_eq!(inner["events"].as_array().unwrap().len(), 1);
    assert_eq!(inner["events"][0]["name"], "the disk is full code=5");
    assert_eq!(inner["attributes"][0]["value"]["intValue"], "7");
    assert_eq!(inner["attributes"][1]["value"]["boolValue"], true);
    assert_eq!(outer["attributes"][0]["value"]["stringValue"], "select");
    assert_eq!(outer["attributes"][1]["value"]["intValue"], "3");
    let ns = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(ns(outer, "startTimeUnixNano") <= ns(outer, "endTimeUnixNano"));
    assert_eq!(inner["traceId"].as_str().unwrap().len(), 32);
}

#[test]
fn what_no_collector_takes_is_let_go_and_counted() {
    let (base, gets) = collector(&[400]);
    let queue = Arc::new(Queue::default());
    sender::start(queue.clone(), address(&base).unwrap(), "n".to_owned()).unwrap();
    traced(&queue, || {
        drop(tracing::debug_span!(target: "activestore", "a").entered())
    });
    gets.recv_timeout(PATIENCE).unwrap();
    queue.close(PATIENCE);
    assert_eq!(queue.counts(), (0, 1));

    // Without anybody who sends them they are bounded.
    let queue = Arc::new(Queue::default());
    traced(&queue, || {
        for _ in 0..10_000 {
            drop(tracing::debug_span!(target: "activestore", "a"));
        }
    });
    assert_eq!(queue.counts(), (0, 10_000 - 8_192));
    assert_eq!(queue.next().unwrap().len(), BATCH_MAX);
}

#[test]
fn addresses_of_collectors() {
    for (set, sent) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://otel.example/", "https://otel.example/v1/traces"),
        ("http://h:1/tempo/v1/traces", "http://h:1/tempo/v1/traces"),
    ] {
        assert_eq!(address(set).unwrap(), sent);
    }
    for wrong in [
        "",
        "127.0.0.1:4318",
        "http://",
        "grpc://h:4317",
        "http://a b",
    ] {
        assert!(address(wrong).is_err(), "{wrong}");
    }
}
