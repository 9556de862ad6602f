//! Requests of a processor, with the plugin `alert-webhook`: durable with its rows, delivered at least once under one
//! key, and not sent without a grant.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::processors::component;
use super::reach::eventually;
use super::*;
use crate::outgoing::tests::{Scripted, Told};

const GRANT: &str = "http:hooks.example.com";
const FIGURES: &str = "SELECT requests_waiting, requests_delivered, requests_failed, requests_dead FROM system.processors";

async fn with_webhook(dir: &Path) -> Db {
    let db = Db::open(DbOptions::new(dir, Role::Edge)).unwrap();
    if db.plugins().is_empty() {
        run(&db, PLANT).await;
        grant(&db, "1", &[GRANT]).await;
        run(
            &db,
            "CREATE PROCESSOR tell ON plant.readings USING PLUGIN 'alert-webhook'
             WITH (url = 'https://hooks.example.com/x', template = '${temp}', on_error = 'fail')",
        )
        .await;
    }
    db
}

async fn grant(db: &Db, version: &str, grants: &[&str]) {
    let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
    db.put_granted_plugin(
        "alert-webhook",
        Some(version),
        Some(grants),
        component("alert-webhook"),
    )
    .await
    .unwrap();
}

async fn write(db: &Db, temp: u32) {
    let sql = format!("INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), {temp})");
    run(db, &sql).await;
}

/// A receiver that gives these answers, and what it is told.
fn receiver(answers: &[Result<u16, &str>]) -> (Arc<Scripted>, Told) {
    let told = Told::default();
    let answers: VecDeque<_> = answers
        .iter()
        .map(|answer| answer.map_err(str::to_owned))
        .collect();
    let receiver = Scripted {
        told: told.clone(),
        answers: Mutex::new(answers),
    };
    (Arc::new(receiver), told)
}

fn bodies(told: &Told) -> Vec<String> {
    let told = told.lock();
    told.iter()
        .map(|(_, body)| String::from_utf8(body.clone()).unwrap())
        .collect()
}

#[test]
fn requests_survive_a_restart_and_are_delivered_in_order_under_one_key() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_webhook(dir.path()).await;
        for temp in [1, 2, 3] {
            write(&db, temp).await;
        }
        // Nobody carries them yet.
        eventually(&db, FIGURES, &["3|0|0|0"]).await;
        db.shutdown().await.unwrap();
        drop(db);
        let db = with_webhook(dir.path()).await;
        eventually(&db, FIGURES, &["3|0|0|0"]).await;
        assert_eq!(
            rows(
                &db,
                "SELECT processor, state, method, host, tries FROM system.outgoing"
            )
            .await,
            ["tell|waiting|POST|hooks.example.com:443|0"; 3]
        );
        let (courier, told) = receiver(&[Err("no way there"), Ok(503), Ok(204)]);
        db.deliver_by(courier).unwrap();
        eventually(&db, FIGURES, &["0|3|2|0"]).await;
        assert_eq!(bodies(&told), ["1", "1", "1", "2", "3"]);
        let keys: Vec<String> = told.lock().iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys[0], keys[1]);
        assert_eq!(keys[1], keys[2]);
        assert_ne!(keys[2], keys[3]);
        assert_ne!(keys[3], keys[4]);
        assert!(db.inner.store.notes(b"http/").is_empty());
        write(&db, 4).await;
        eventually(&db, FIGURES, &["0|4|2|0"]).await;
        let counted = db.counters();
        let delivered = counted
            .iter()
            .find(|counter| counter.name == "activestore_requests_delivered_total");
        assert_eq!(delivered.map(|counter| counter.value), Some(4.0));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_refused_is_kept_with_its_reason_and_goes_with_its_processor() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_webhook(dir.path()).await;
        let (courier, told) = receiver(&[Ok(404), Ok(302), Ok(200)]);
        db.deliver_by(courier).unwrap();
        for temp in [1, 2, 3] {
            write(&db, temp).await;
        }
        eventually(&db, FIGURES, &["0|1|2|2"]).await;
        assert_eq!(bodies(&told), ["1", "2", "3"]);
        assert_eq!(
            rows(&db, "SELECT state, error FROM system.outgoing").await,
            [
                "dead|it was answered 404",
                "dead|it was answered 302, and no redirect is followed"
            ]
        );
        run(&db, "DROP PROCESSOR tell").await;
        assert!(rows(&db, "SELECT * FROM system.outgoing").await.is_empty());
        assert!(db.inner.store.notes(b"http/").is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_grant_is_asked_for_when_a_request_is_made_and_when_it_is_sent() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_webhook(dir.path()).await;
        write(&db, 1).await;
        // The grant is taken away before anybody carries it.
        grant(&db, "2", &["http:other.example.com"]).await;
        let (courier, told) = receiver(&[Ok(200)]);
        db.deliver_by(courier).unwrap();
        eventually(&db, FIGURES, &["0|0|1|1"]).await;
        assert!(told.lock().is_empty());
        assert_eq!(
            rows(&db, "SELECT error FROM system.outgoing").await,
            ["the plugin is not granted http:hooks.example.com:443 any more"]
        );
        let error = fails(
            &db,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), 2)",
        )
        .await;
        assert!(
            error
                .to_string()
                .contains("was not granted http:hooks.example.com:443"),
            "{error}"
        );
        // A write that failed has sent nothing.
        assert_eq!(rows(&db, FIGURES).await, ["0|0|1|1"]);
        let wasm = component("alert-webhook");
        let error = db.put_plugin("other", None, wasm).await.unwrap_err();
        assert!(error.to_string().contains("--grant http:HOST"), "{error}");
        db.shutdown().await.unwrap();
    });
}

/// A write whose request finds no room is refused, as its processor says, and rows and requests stay together.
#[test]
fn a_full_queue_fails_the_call() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_webhook(dir.path()).await;
        let many = |from: u32, to: u32| {
            format!("INSERT INTO plant.readings (device, ts, temp) SELECT 'd' || n, now(), n FROM (SELECT unnest(range({from}, {to})) AS n)")
        };
        run(&db, &many(0, 1_000)).await;
        let error = fails(&db, &many(1_000, 1_001)).await;
        assert!(error.to_string().contains("would wait to be sent"), "{error}");
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, ["1000"]);
        assert_eq!(rows(&db, FIGURES).await, ["1000|0|0|0"]);
        db.shutdown().await.unwrap();
    });
}
