//! Slow subscribers, logs that do not reach back, rights that are taken away, tables that change.

use super::super::auth::role;
use super::super::processors::component;
use super::*;
use crate::Principal;
use activestore_catalog::Change;

fn with_buffers(dir: &Path, bytes: usize, subscribers: usize) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.subscriber_bytes_max = bytes;
    options.subscribers_max = subscribers;
    Db::open(options).unwrap()
}

fn figure(db: &Db, name: &str) -> f64 {
    let all = db.counters();
    all.iter().find(|one| one.name == name).unwrap().value
}

/// Waits until something is so.
async fn wait(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(WAIT_MAX, waiting).await;
    waited.expect("it is so in time");
}

#[test]
fn who_does_not_keep_up_ends_and_goes_on_from_its_token() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_buffers(dir.path(), 64 << 10, 8);
        run(&db, TABLE).await;
        let mut subscription = subscribe(&db, "true", "on_slow = 'disconnect'", None).await;
        let mut holder = Holder::default();
        holder.hear(next(&mut subscription).await.unwrap());
        // Others are unharmed.
        let mut other = subscribe(&db, "seq % 1000 = 999", "on_slow = 'disconnect'", None).await;
        // Live before the first write: reading the log by itself nobody is slow.
        let idle = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
        assert!(idle.is_err());
        for n in 0..20 {
            put(&db, n * 100, 100).await;
        }
        wait(|| figure(&db, "activestore_subscribe_slow_total") == 1.0).await;
        let error = end(&mut subscription, &mut holder).await;
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        assert!(
            error.hint().unwrap().contains("id of the last event"),
            "{error}"
        );
        assert!(subscription.next().await.is_none());
        assert!(holder.rows.len() < 2000);
        let token = holder.token.clone();
        let mut subscription = subscribe(&db, "true", "", token.as_deref()).await;
        holder
            .until(&mut subscription, &("d".into(), 1999), 1999.0)
            .await;
        assert_eq!(holder.rows, shown(&db, "true").await);
        assert_eq!(holder.events, 2000, "nothing came twice");
        let mut few = Holder::default();
        few.until(&mut other, &("d".into(), 1999), 1999.0).await;
        assert_eq!(few.rows.len(), 2);
        drop((subscription, other));
        assert_eq!(figure(&db, "activestore_subscribers"), 0.0);
        assert_eq!(figure(&db, "activestore_subscribe_buffered_bytes"), 0.0);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_left_out_is_told_and_counted() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_buffers(dir.path(), 64 << 10, 8);
        run(&db, TABLE).await;
        let mut subscription = subscribe(&db, "true", "on_slow = 'drop'", None).await;
        let mut holder = Holder::default();
        holder.hear(next(&mut subscription).await.unwrap());
        let idle = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
        assert!(idle.is_err());
        for n in 0..20 {
            put(&db, n * 100, 100).await;
        }
        let told = || {
            figure(&db, "activestore_subscribe_events_total")
                + figure(&db, "activestore_subscribe_dropped_total")
        };
        wait(|| told() == 2000.0).await;
        assert!(figure(&db, "activestore_subscribe_buffered_bytes") <= 128.0 * 1024.0);
        // It goes on behind the gap.
        while holder.dropped == 0 {
            holder.hear(next(&mut subscription).await.unwrap());
        }
        put(&db, 5000, 1).await;
        holder
            .until(&mut subscription, &("d".into(), 5000), 5000.0)
            .await;
        assert_eq!(holder.events + holder.dropped, 2001);
        let dropped = figure(&db, "activestore_subscribe_dropped_total");
        assert_eq!(holder.dropped as f64, dropped);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rights_are_asked_for_at_the_beginning_and_as_long_as_it_lasts() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, TABLE).await;
        run(&db, "CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'; CREATE ROLE reader WITH LOGIN PASSWORD 'let me read'").await;
        let reader = role(&db, "reader");
        for who in [&reader, &db.acting_as(Principal::Anybody)] {
            let error = who.subscribe("SELECT * FROM k.t", &[], None).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
        run(&db, "GRANT SELECT ON k.t TO reader").await;
        let mut subscription = subscribe(&reader, "true", "", None).await;
        let mut holder = Holder::default();
        put(&db, 0, 3).await;
        holder.until(&mut subscription, &("d".into(), 2), 2.0).await;
        run(&db, "REVOKE SELECT ON k.t FROM reader").await;
        put(&db, 3, 3).await;
        let error = end(&mut subscription, &mut holder).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert_eq!(holder.rows.len(), 3, "nothing was told after the grant was taken away");
        // A role that is dropped.
        run(&db, "GRANT SELECT ON k.t TO reader").await;
        let mut subscription = subscribe(&reader, "true", "", None).await;
        holder.hear(next(&mut subscription).await.unwrap());
        run(&db, "DROP ROLE reader").await;
        let error = end(&mut subscription, &mut holder).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_table_may_grow_and_its_end_is_the_end() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let sql = "SUBSCRIBE SELECT * FROM k.t";
        let mut all = db.subscribe(sql, &[], None).await.unwrap();
        let mut holder = Holder::default();
        put(&db, 0, 1).await;
        run(&db, "ALTER TABLE k.t ADD COLUMN more DOUBLE").await;
        run(
            &db,
            "INSERT INTO k.t (device, seq, temp, more) VALUES ('d', 7, 7, 8)",
        )
        .await;
        holder.until(&mut all, &("d".into(), 7), 7.0).await;
        assert_eq!(
            all.schema().fields().len(),
            4,
            "the columns of the beginning"
        );
        let again = db.subscribe(sql, &[], None).await.unwrap();
        assert_eq!(again.schema().fields().len(), 5);
        run(&db, "DROP TABLE k.t").await;
        let error = end(&mut all, &mut holder).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.message().contains("was dropped"), "{error}");
        db.shutdown().await.unwrap();
        drop(again);
    });
}

#[test]
fn plugins_functions_are_called_and_followed_through_their_changes() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        db.put_plugin("units", Some("1"), component("units")).await.unwrap();
        run(&db, "CREATE FUNCTION c_to_f USING PLUGIN 'units' WITH (function = 'c_to_f')").await;
        let sql = "SUBSCRIBE SELECT device, seq, c_to_f(temp) AS temp, note FROM k.t WHERE c_to_f(temp) > $1";
        let mut subscription = db.subscribe(sql, &[serde_json::json!(50.0)], None).await.unwrap();
        let mut holder = Holder::default();
        run(&db, "INSERT INTO k.t VALUES ('d', 1, 0, 'x'), ('d', 2, 100, 'y')").await;
        holder.until(&mut subscription, &("d".into(), 2), 212.0).await;
        assert_eq!(holder.rows.len(), 1);
        run(&db, "DROP FUNCTION c_to_f").await;
        let error = end(&mut subscription, &mut holder).await;
        assert!(error.message().contains("c_to_f"), "{error}");
        db.shutdown().await.unwrap();
    });
}

/// A definition is known for a while before what it names is loaded or let go.
#[test]
fn a_function_that_is_let_go_after_its_definition_ends_who_calls_it() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let units = component("units");
        db.put_plugin("units", Some("1"), units).await.unwrap();
        run(
            &db,
            "CREATE FUNCTION c_to_f USING PLUGIN 'units' WITH (function = 'c_to_f')",
        )
        .await;
        let sql = "SUBSCRIBE SELECT device, seq, c_to_f(temp) AS temp, note FROM k.t";
        let mut subscription = db.subscribe(sql, &[], None).await.unwrap();
        let mut holder = Holder::default();
        put(&db, 0, 1).await;
        let key = ("d".into(), 0);
        holder.until(&mut subscription, &key, 32.0).await;
        let state = db.inner.catalog.apply(Change::DropFunction {
            name: "c_to_f".into(),
            if_exists: false,
        });
        // Who is told of a row has been looked at under the definitions of now.
        put(&db, 1, 1).await;
        let key = ("d".into(), 1);
        holder.until(&mut subscription, &key, 33.8).await;
        db.inner.plugins.refresh(&state.unwrap(), &db.inner.engine);
        let error = end(&mut subscription, &mut holder).await;
        assert!(error.message().contains("c_to_f"), "{error}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn deletes_are_judged_by_their_key_where_the_query_asks_for_no_more() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, TABLE).await;
        let mut of_key = subscribe(&db, "device = 'a'", "", None).await;
        let mut of_cell = subscribe(&db, "temp > 0", "", None).await;
        for device in ["a", "b"] {
            run(
                &db,
                &format!("INSERT INTO k.t VALUES ('{device}', 1, -1, 'x')"),
            )
            .await;
            run(
                &db,
                &format!("DELETE FROM k.t WHERE device = '{device}' AND seq = 1"),
            )
            .await;
        }
        run(&db, "INSERT INTO k.t VALUES ('a', 9, 9, 'end')").await;
        for (subscription, events) in [(&mut of_key, 3), (&mut of_cell, 3)] {
            let mut holder = Holder::default();
            holder.until(subscription, &("a".into(), 9), 9.0).await;
            assert_eq!(holder.events, events);
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn there_are_so_many_subscribers_and_a_stopping_node_tells_them() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_buffers(dir.path(), 64 << 10, 40);
        run(&db, TABLE).await;
        let mut all = Vec::new();
        for _ in 0..40 {
            all.push(subscribe(&db, "true", "", None).await);
        }
        let error = db
            .subscribe("SELECT * FROM k.t", &[], None)
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        put(&db, 0, 10).await;
        for subscription in &mut all {
            let mut holder = Holder::default();
            holder.until(subscription, &("d".into(), 9), 9.0).await;
            assert_eq!(holder.events, 10);
        }
        all.pop();
        all.push(subscribe(&db, "true", "", None).await);
        db.shutdown().await.unwrap();
        for subscription in &mut all {
            let error = end(subscription, &mut Holder::default()).await;
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
    });
}
