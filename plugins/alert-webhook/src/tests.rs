//! Messages are grouped and held back, whatever the batches; settings are checked.

use std::time::Duration;

use activestore_plugin::fixture::{batch, config, readings};
use activestore_plugin::http::{Method, take_sent};
use activestore_plugin::scalar::Timestamp;
use activestore_plugin::{Batch, MemoryState, Processor, Timer};

use crate::AlertWebhook;

fn webhook(settings: &[(&str, &str)]) -> (AlertWebhook, Vec<u32>) {
    let mut all = vec![
        ("url", "https://hooks.example.com/x"),
        ("columns", "device, temp"),
    ];
    all.extend(settings);
    let (webhook, spec) = AlertWebhook::init(&config(&all), &readings()).unwrap();
    assert!(spec.outputs.is_empty());
    (webhook, spec.columns)
}

/// Rows as this processor asks for them.
fn rows(rows: &[(&str, f64)]) -> Batch {
    let rows: Vec<_> = rows
        .iter()
        .map(|(device, temp)| (*device, 0, *temp, 0))
        .collect();
    let mut batch = batch(&rows);
    batch.columns.truncate(3);
    batch.columns.remove(1);
    batch
}

/// The bodies sent since the last call.
fn sent() -> Vec<String> {
    let all = take_sent().into_iter();
    all.map(|request| String::from_utf8(request.body).unwrap())
        .collect()
}

/// Lets all timers go off.
fn fire(webhook: &mut AlertWebhook, state: &mut MemoryState) {
    let due: Vec<Timer> = std::mem::take(&mut state.timers)
        .into_keys()
        .map(|key| Timer {
            key,
            at: Timestamp(0),
        })
        .collect();
    assert!(webhook.on_timer(&due, state).unwrap().is_empty());
}

#[test]
fn without_settings_each_batch_of_a_device_is_a_message() {
    let (mut webhook, columns) = webhook(&[]);
    assert_eq!(columns, [0, 2]);
    let mut state = MemoryState::default();
    let batch = rows(&[("a", 1.0), ("b", 2.0), ("a", 3.0)]);
    assert!(
        webhook
            .process(&batch, &mut state)
            .unwrap()
            .rejected
            .is_empty()
    );
    let all = take_sent();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].method, Method::Post);
    assert_eq!(all[0].url, "https://hooks.example.com/x");
    let content = ("content-type".to_owned(), "application/json".to_owned());
    assert_eq!(all[0].headers, [content]);
    assert_eq!(
        String::from_utf8(all[0].body.clone()).unwrap(),
        r#"{"count":2,"rows":[{"device":"a","temp":1},{"device":"a","temp":3}]}"#
    );
    assert!(state.values.is_empty() && state.timers.is_empty());
    webhook.replay(&batch, &mut state).unwrap();
    assert!(sent().is_empty());
}

#[test]
fn a_group_has_one_message_in_an_interval() {
    let settings = [
        ("interval", "5m"),
        ("template", "${device} ${temp} ${count}"),
    ];
    let (mut webhook, _) = webhook(&settings);
    let mut state = MemoryState::default();
    for temp in [1.0, 2.0, 3.0] {
        webhook.process(&rows(&[("a", temp)]), &mut state).unwrap();
    }
    assert_eq!(sent(), ["a 1 1"]);
    assert_eq!(
        state.timers.values().copied().collect::<Vec<_>>(),
        [Duration::from_secs(300)]
    );
    // Others are told meanwhile.
    webhook.process(&rows(&[("b", 9.0)]), &mut state).unwrap();
    assert_eq!(sent(), ["b 9 1"]);
    fire(&mut webhook, &mut state);
    assert_eq!(sent(), ["a 3 2"]);
    assert_eq!(state.timers.len(), 1);
    fire(&mut webhook, &mut state);
    assert!(sent().is_empty() && state.values.is_empty() && state.timers.is_empty());
    webhook.process(&rows(&[("a", 4.0)]), &mut state).unwrap();
    assert_eq!(sent(), ["a 4 1"]);
}

#[test]
fn rows_wait_for_others_and_what_is_too_much_is_counted() {
    let settings = [("wait", "10s"), ("by", ""), ("rows", "2")];
    let (mut first, columns) = webhook(&settings);
    assert_eq!(columns, [0, 2]);
    let mut state = MemoryState::default();
    first
        .process(&rows(&[("a", 1.0), ("b", 2.0)]), &mut state)
        .unwrap();
    // Another instance goes on from what is durable.
    let (mut second, _) = webhook(&settings);
    second.process(&rows(&[("c", 3.0)]), &mut state).unwrap();
    assert!(sent().is_empty());
    assert_eq!(
        state.timers.values().copied().collect::<Vec<_>>(),
        [Duration::from_secs(10)]
    );
    fire(&mut second, &mut state);
    assert_eq!(
        sent(),
        [r#"{"count":3,"rows":[{"device":"a","temp":1},{"device":"b","temp":2}]}"#]
    );
    assert!(state.values.is_empty() && state.timers.is_empty());
}

#[test]
fn columns_may_only_tell_groups_apart() {
    let all = [
        ("url", "http://a/"),
        ("columns", "temp"),
        ("by", "device"),
        ("method", "PUT"),
        ("authorization", "Bearer x"),
    ];
    let (mut webhook, spec) = AlertWebhook::init(&config(&all), &readings()).unwrap();
    assert_eq!(spec.columns, [2, 0]);
    let mut batch = rows(&[("a", 1.0)]);
    batch.columns.reverse();
    webhook
        .process(&batch, &mut MemoryState::default())
        .unwrap();
    let all = take_sent();
    assert_eq!(all[0].method, Method::Put);
    assert_eq!(
        all[0].headers[1],
        ("authorization".to_owned(), "Bearer x".to_owned())
    );
    assert_eq!(all[0].body, br#"{"count":1,"rows":[{"temp":1}]}"#);
}

#[test]
fn settings_are_checked() {
    for (settings, message) in [
        (&[][..], "url = "),
        (&[("url", "ftp://a")], "url = "),
        (
            &[("url", "http://a"), ("method", "GET")],
            "POST, PUT and PATCH",
        ),
        (&[("url", "http://a"), ("rows", "0")], "between 1 and 1000"),
        (
            &[("url", "http://a"), ("columns", "host")],
            "no column 'host'",
        ),
        (&[("url", "http://a"), ("wait", "soon")], "wait = 'soon'"),
        (&[("url", "http://a"), ("template", "${x}")], "names 'x'"),
        (&[("url", "http://a"), ("to", "b")], "no setting 'to'"),
    ] {
        let Err(error) = AlertWebhook::init(&config(settings), &readings()) else {
            panic!("{settings:?} is taken")
        };
        assert!(error.to_string().contains(message), "{error}");
    }
}
