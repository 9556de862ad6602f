//! Places in the log: tokens that are none, and a log that has gone on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_query::ColumnFunction;
use activestore_types::DataType;
use arrow::array::ArrayRef;

use std::collections::BTreeSet;

use super::super::flowing_down::adopt;
use super::super::shipping::ship;
use super::*;

/// Writes until the log has given back what was in it at first.
async fn until_the_log_goes_on(db: &Db) {
    for n in 0..4000 {
        put(db, 1000 + n * 200, 200).await;
        if n % 20 == 19 {
            db.inner.store.flush().unwrap();
            if db.inner.store.first_log_lsn().0 > 6 {
                return;
            }
        }
    }
    panic!("the log was held");
}

#[test]
fn a_token_that_the_log_does_not_reach_is_refused_or_begins_with_the_table() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.outbox = false;
        options.memory_bytes = 16 << 20;
        let db = Db::open(options).unwrap();
        run(&db, TABLE).await;
        put(&db, 0, 10).await;
        let mut subscription = subscribe(&db, "true", "", None).await;
        let mut holder = Holder::default();
        holder.hear(next(&mut subscription).await.unwrap());
        // These two hear nothing until the log has gone on without them.
        let mut late = subscribe(&db, "seq < 20", "on_slow = 'disconnect'", None).await;
        let mut lossy = subscribe(&db, "seq < 20", "on_slow = 'drop'", None).await;
        put(&db, 10, 10).await;
        holder
            .until(&mut subscription, &("d".into(), 19), 19.0)
            .await;
        drop(subscription);
        let token = holder.token.clone().unwrap();
        run(&db, "DELETE FROM k.t WHERE device = 'd' AND seq < 15").await;
        until_the_log_goes_on(&db).await;
        let error = end(&mut late, &mut Holder::default()).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(matches!(next(&mut lossy).await.unwrap(), Told::Live { .. }));
        let Told::Dropped { events: None, .. } = next(&mut lossy).await.unwrap() else {
            panic!("nobody knows what it missed");
        };
        put(&db, 19, 1).await;
        let mut rest = Holder::default();
        rest.until(&mut lossy, &("d".into(), 19), 19.0).await;
        let again = db.subscribe("SELECT * FROM k.t", &[], Some(&token)).await;
        let error = again.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.hint().unwrap().contains("snapshot = true"), "{error}");
        let filter = "seq < 1010";
        let mut subscription = subscribe(&db, filter, "snapshot = true", Some(&token)).await;
        let mut holder = Holder::default();
        while !holder.live {
            holder.hear(next(&mut subscription).await.unwrap());
        }
        assert_eq!(holder.rows, shown(&db, filter).await);
        put(&db, 900, 1).await;
        holder
            .until(&mut subscription, &("d".into(), 900), 900.0)
            .await;
        assert_eq!(holder.rows, shown(&db, filter).await);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn tokens_that_are_none_are_refused() {
    runtime().block_on(async {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (db, other) = (
            open(dirs[0].path(), Role::Edge),
            open(dirs[1].path(), Role::Edge),
        );
        run(&db, TABLE).await;
        put(&db, 0, 10).await;
        let mut subscription = subscribe(&db, "true", "", None).await;
        let Told::Live { token } = next(&mut subscription).await.unwrap() else {
            panic!("it begins with its place");
        };
        let (node, place) = token.split_once('.').unwrap();
        for wrong in [
            "",
            ".",
            "...",
            "x",
            "0.0.0.0",
            &format!("{node}.1.2"),
            &format!("{node}.1.2.3.4"),
            &format!("{node}.+1.0.0"),
            &format!("{node}.1.100000000.0"),
            &format!("{node}.-1.0.0"),
            &format!("{node}.fffffffffffffffff.0.0"),
            &format!("{}.{place}", &other.node_id().to_string()[..8]),
            &"f".repeat(10_000),
            &format!("{node}.1.0.é"),
        ] {
            let error = db
                .subscribe("SELECT * FROM k.t", &[], Some(wrong))
                .await
                .err();
            assert_eq!(error.expect(wrong).kind(), ErrorKind::Invalid, "{wrong}");
        }
        // A place that is yet to come, the highest there may be, and a record that another has replaced.
        for wrong in [
            format!("{node}.ff.0.1"),
            format!("{node}.ffffffffffffffff.ffffffff.0"),
        ] {
            let error = db
                .subscribe("SELECT * FROM k.t", &[], Some(&wrong))
                .await
                .err();
            assert_eq!(error.expect(&wrong).kind(), ErrorKind::Conflict, "{wrong}");
        }
        let replaced = format!("{node}.1.3.1");
        let mut subscription = db
            .subscribe("SELECT * FROM k.t", &[], Some(&replaced))
            .await
            .unwrap();
        let error = end(&mut subscription, &mut Holder::default()).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        for node in [db, other] {
            node.shutdown().await.unwrap();
        }
    });
}

/// A function that waits until it may go on.
#[derive(Debug)]
struct Waits {
    args: [DataType; 1],
    held: Arc<AtomicBool>,
}

impl ColumnFunction for Waits {
    fn name(&self) -> &str {
        "waits"
    }
    fn args(&self) -> &[DataType] {
        &self.args
    }
    fn returns(&self) -> DataType {
        DataType::Double
    }
    fn call(&self, _rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        while self.held.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(args[0].clone())
    }
}

#[test]
fn a_thread_that_falls_behind_the_log_holds_nothing_and_says_what_is_missing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.outbox = false;
        options.memory_bytes = 16 << 20;
        let db = Db::open(options).unwrap();
        run(&db, TABLE).await;
        let held = Arc::new(AtomicBool::new(false));
        let waits = Waits {
            args: [DataType::Double],
            held: held.clone(),
        };
        db.inner.engine.register(Arc::new(waits)).unwrap();
        let filter = "waits(temp) >= 0 AND seq < 10";
        let mut ends = subscribe(&db, filter, "on_slow = 'disconnect'", None).await;
        let mut drops = subscribe(&db, filter, "on_slow = 'drop'", None).await;
        let (mut one, mut other) = (Holder::default(), Holder::default());
        put(&db, 0, 1).await;
        one.until(&mut ends, &("d".into(), 0), 0.0).await;
        other.until(&mut drops, &("d".into(), 0), 0.0).await;
        held.store(true, Ordering::Release);
        put(&db, 1, 1).await;
        until_the_log_goes_on(&db).await;
        held.store(false, Ordering::Release);
        let error = end(&mut ends, &mut one).await;
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        loop {
            let told = next(&mut drops).await.unwrap();
            if let Told::Dropped { events, .. } = &told {
                assert_eq!(*events, None);
                break;
            }
            other.hear(told);
        }
        put(&db, 2, 1).await;
        other.until(&mut drops, &("d".into(), 2), 2.0).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn every_event_of_another_nodes_range_delete_has_an_id_of_its_own() {
    runtime().block_on(async {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let cloud = open(dirs[0].path(), Role::Cloud);
        run(&cloud, &TABLE.replace("'up'", "'both'")).await;
        let edge = open(dirs[1].path(), Role::Edge);
        adopt(&edge, &cloud);
        // Older than the rows that it meets.
        run(&edge, "DELETE FROM k.t WHERE device = 'd'").await;
        put(&cloud, 0, 50).await;
        let subscription = subscribe(&cloud, "true", "leaving = true", None).await;
        ship(&edge, &cloud);
        run(&cloud, "INSERT INTO k.t (device, seq) VALUES ('zz', 0)").await;
        let ids = ids_through_zz(subscription).await;
        assert_eq!(ids.len(), 52);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 52);
        // Whoever was cut off in the middle is told of all of them once more.
        let again = subscribe(&cloud, "true", "leaving = true", Some(&ids[20])).await;
        assert_eq!(ids_through_zz(again).await.len(), 52);
        let rest = subscribe(&cloud, "true", "leaving = true", Some(&ids[50])).await;
        assert_eq!(ids_through_zz(rest).await, ids[51..]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

/// The ids of what is told up to the row 'zz'.
async fn ids_through_zz(mut subscription: Subscription) -> Vec<String> {
    let mut holder = Holder::default();
    let mut ids = Vec::new();
    while !holder.rows.contains_key(&("zz".to_owned(), 0)) {
        let told = next(&mut subscription).await.unwrap();
        if let Told::Changes(changes) = &told {
            ids.extend(changes.list.iter().map(|change| changes.token(change)));
        }
        holder.hear(told);
    }
    ids
}
