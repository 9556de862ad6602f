//! Sinks, with receivers that fail: what is written arrives in order, over restarts and refusals, or is counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::ErrorKind;
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;

use super::auth::role;
use super::reach::eventually;
use super::*;
use crate::{Carried, Carrier, Change, Changes, Parcel, SinkAddress, SinkLine, SinkOptions, What};

mod bounds;
mod trouble;

const TABLE: &str = "CREATE KEYSPACE plant;
    CREATE TABLE plant.t (device TEXT, n BIGINT, temp DOUBLE, more TEXT, PRIMARY KEY ((device), n))";
const SINK: &str = "CREATE SINK hot TO 'https://h.example/s3cret?k=s3cret'
    WITH (header_authorization = 'Bearer s3cret', batch = 8, max_retry = '1 s', attempts = 2)
    AS SELECT device, n, temp FROM plant.t WHERE temp > 80";
const STANDS: &str = "SELECT state, sent, refused, skipped FROM system.sinks";

/// What a receiver does with a batch.
type Fate = Box<dyn FnMut(&[Parcel]) -> Carried + Send>;

/// Receivers that do what they are told, then take everything; and what they got.
#[derive(Clone, Default)]
struct Receivers {
    got: Arc<Mutex<Vec<Parcel>>>,
    /// What each try was given.
    tried: Arc<Mutex<Vec<Vec<Parcel>>>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
}

impl Receivers {
    fn then(&self, fate: impl FnMut(&[Parcel]) -> Carried + Send + 'static) {
        self.fates.lock().push_back(Box::new(fate));
    }

    /// A row's columns, for each event that was taken.
    fn bodies(&self) -> Vec<String> {
        let got = self.got.lock();
        let bodies = got.iter();
        bodies
            .map(|parcel| String::from_utf8(parcel.body.clone()).unwrap())
            .collect()
    }
}

impl Carrier for Receivers {
    fn line(
        &self,
        _sink: &str,
        address: &SinkAddress,
        _options: &SinkOptions,
    ) -> Result<Box<dyn SinkLine>> {
        Ok(Box::new(Line(self.clone(), address.clone())))
    }
}

struct Line(Receivers, SinkAddress);

impl SinkLine for Line {
    fn parcel(&self, changes: &Changes, change: &Change) -> Result<Parcel> {
        let (rows, row) = match change.what {
            What::Upsert(row) => (&changes.rows, row),
            What::Delete(row) => (&changes.keys, row),
            What::Erase(_) => (&changes.keys, usize::MAX),
        };
        let cells = rows.columns().iter().filter(|_| row < rows.num_rows());
        let cells: Vec<String> = cells
            .map(|column| array_value_to_string(column, row).unwrap())
            .collect();
        if cells.first().is_some_and(|cell| cell == "wordless") {
            return Err(Error::internal("a value has no JSON form"));
        }
        let op = match change.what {
            What::Upsert(_) => "",
            What::Delete(_) => "delete ",
            What::Erase(_) => "erase ",
        };
        Ok(Parcel {
            id: changes.token(change),
            topic: self.1.topic(|column| {
                let column = rows.column_by_name(column).unwrap();
                array_value_to_string(column, row).unwrap()
            }),
            body: format!("{op}{}", cells.join("|")).into_bytes(),
        })
    }

    fn carry(&mut self, parcels: &[Parcel]) -> Carried {
        self.0.tried.lock().push(parcels.to_vec());
        let fate = self.0.fates.lock().pop_front();
        let carried = fate.map_or_else(|| Carried::all(parcels.len()), |mut fate| fate(parcels));
        let taken = parcels.get(..carried.taken).unwrap().iter().cloned();
        self.0.got.lock().extend(taken);
        carried
    }
}

async fn with_sink(dir: &Path, sink: &str) -> (Db, Receivers) {
    let db = open(dir, Role::Edge);
    if db.definitions().sinks.is_empty() {
        run(&db, TABLE).await;
        run(&db, sink).await;
    }
    (db, Receivers::default())
}

async fn write(db: &Db, device: &str, n: std::ops::Range<u32>, temp: u32) {
    let values: Vec<String> = n.map(|n| format!("('{device}', {n}, {temp})")).collect();
    let sql = format!(
        "INSERT INTO plant.t (device, n, temp) VALUES {}",
        values.join(", ")
    );
    run(db, &sql).await;
}

fn kinds(db: &Db) -> Vec<&'static str> {
    let events = db.sync_events(0).events.into_iter();
    events.map(|event| event.kind).collect()
}

#[test]
fn what_is_written_arrives_in_order_over_failures_and_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        // Nobody carries yet: it waits, and the log is held.
        write(&db, "a", 0..3, 90).await;
        write(&db, "cold", 0..3, 20).await;
        assert_eq!(rows(&db, STANDS).await, ["waiting|0|0|0"]);
        db.shutdown().await.unwrap();
        drop(db);
        let (db, _) = with_sink(dir.path(), SINK).await;
        write(&db, "b", 0..1, 91).await;
        receivers.then(|_| Carried::later(0, "no way there"));
        receivers.then(|_| Carried::later(2, "it broke off"));
        receivers.then(|_| Carried::by_status(401, Some(Duration::from_millis(1)), 9));
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        eventually(&db, STANDS, &["current|4|0|0"]).await;
        assert_eq!(
            receivers.bodies(),
            ["a|0|90.0", "a|1|90.0", "a|2|90.0", "b|0|91.0"]
        );
        assert_eq!(kinds(&db), ["sink_failing", "sink_recovered"]);
        // A row that comes to fit, one that leaves, and one that goes: only the first is told.
        run(
            &db,
            "UPDATE plant.t SET temp = 95 WHERE device = 'cold' AND n = 1",
        )
        .await;
        run(
            &db,
            "UPDATE plant.t SET temp = 5 WHERE device = 'a' AND n = 1",
        )
        .await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        eventually(&db, STANDS, &["current|5|0|0"]).await;
        assert_eq!(receivers.bodies()[4], "cold|1|95.0");
        // An orderly end loses no place: nothing is told twice.
        db.shutdown().await.unwrap();
        drop(db);
        let (db, _) = with_sink(dir.path(), SINK).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        write(&db, "c", 0..1, 99).await;
        eventually(&db, STANDS, &["current|6|0|0"]).await;
        assert_eq!(receivers.bodies()[5..], ["c|0|99.0"]);
        let mut ids: Vec<String> = receivers
            .got
            .lock()
            .iter()
            .map(|one| one.id.clone())
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn an_event_that_is_not_wanted_goes_alone() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        let error = fails(&db, "ALTER SINK hot SET (refused_into = 'plant.t')").await;
        assert!(error.to_string().contains("come back"), "{error}");
        run(&db, "ALTER SINK hot SET (refused_into = 'plant.refused')").await;
        for _ in 0..40 {
            receivers.then(|parcels| {
                match parcels.iter().any(|one| one.body.starts_with(b"a|5|")) {
                    true => Carried::by_status(422, None, parcels.len()),
                    false => Carried::all(parcels.len()),
                }
            });
        }
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        write(&db, "a", 0..20, 90).await;
        eventually(&db, STANDS, &["current|19|1|0"]).await;
        let wanted: Vec<String> = (0..20)
            .filter(|n| *n != 5)
            .map(|n| format!("a|{n}|90.0"))
            .collect();
        assert_eq!(receivers.bodies(), wanted);
        assert_eq!(kinds(&db), ["sink_refused"]);
        assert_eq!(
            rows(&db, "SELECT sink, reason, event FROM plant.refused").await,
            ["hot|it was answered 422|a|5|90.0"]
        );
        let counted = db.counters();
        let refused = counted
            .iter()
            .find(|counter| counter.name == "activestore_sink_events_refused_total");
        assert_eq!(refused.map(|counter| counter.value), Some(1.0));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_that_are_gone_are_told_where_it_is_asked_for() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sink = "CREATE SINK all_of_it TO 'mqtt://h/plant' WITH (leaving = true) AS
            SELECT device, n FROM plant.t WHERE temp > 80";
        let (db, receivers) = with_sink(dir.path(), sink).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        // One after the other: what is told is what a row is when it is told.
        for (told, sql) in [
            "INSERT INTO plant.t (device, n, temp) VALUES ('a', 1, 90)",
            "INSERT INTO plant.t (device, n, temp) VALUES ('a', 1, 20)",
            "DELETE FROM plant.t WHERE device = 'a' AND n = 1",
            "DELETE FROM plant.t WHERE device = 'a'",
        ]
        .into_iter()
        .enumerate()
        {
            run(&db, sql).await;
            let stands = format!("current|{}|0|0", told + 1);
            eventually(&db, STANDS, &[stands.as_str()]).await;
        }
        assert_eq!(
            receivers.bodies(),
            ["a|1", "delete a|1", "delete a|1", "erase "]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_topic_names_the_row_and_no_value_makes_a_level_of_its_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sink =
            "CREATE SINK s TO 'mqtts://h/plant/{device}/hot' AS SELECT device, n FROM plant.t";
        let (db, receivers) = with_sink(dir.path(), sink).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        write(&db, "line/1+#%é", 1..2, 1).await;
        eventually(&db, STANDS, &["current|1|0|0"]).await;
        assert_eq!(
            receivers.got.lock()[0].topic,
            "plant/line%2F1%2B%23%25é/hot"
        );
        let error = fails(
            &db,
            "CREATE SINK t TO 'mqtt://h/{line}' AS SELECT device FROM plant.t",
        )
        .await;
        assert!(error.to_string().contains("'line'"), "{error}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_sink_is_paused_changed_and_dropped_and_shows_no_secret() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, receivers) = with_sink(dir.path(), SINK).await;
        db.carry_by(Arc::new(receivers.clone())).unwrap();
        run(
            &db,
            "CREATE SINK IF NOT EXISTS hot TO 'https://other.example/' AS SELECT n FROM plant.t",
        )
        .await;
        let error = fails(&db, SINK).await;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        run(&db, "ALTER SINK hot PAUSE").await;
        eventually(&db, "SELECT state FROM system.sinks", &["paused"]).await;
        write(&db, "a", 0..1, 90).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(receivers.bodies().is_empty());
        run(&db, "ALTER SINK hot RESUME").await;
        eventually(&db, STANDS, &["current|1|0|0"]).await;
        // A key that is not valid any more is changed without a loss.
        receivers.then(|_| Carried::by_status(403, Some(Duration::from_secs(900)), 1));
        write(&db, "a", 1..2, 90).await;
        eventually(
            &db,
            "SELECT state, last_error FROM system.sinks",
            &["failing|it was answered 403"],
        )
        .await;
        run(
            &db,
            "ALTER SINK hot SET (header_authorization = 'Bearer s3cret2', batch = 1)",
        )
        .await;
        eventually(&db, STANDS, &["current|2|0|0"]).await;
        let error = fails(&db, "ALTER SINK hot SET (batch = 'many')").await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let shown = rows(&db, "SHOW SINKS").await.join("\n");
        assert!(shown.contains("https://h.example"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(!format!("{:?}", db.definitions()).contains("s3cret"));
        let error = fails(&db, "DROP TABLE plant.t").await;
        assert!(error.to_string().contains("DROP SINK hot"), "{error}");
        run(&db, "DROP SINK hot").await;
        run(&db, "DROP SINK IF EXISTS hot").await;
        assert_eq!(
            fails(&db, "DROP SINK hot").await.kind(),
            ErrorKind::NotFound
        );
        run(&db, "DROP TABLE plant.t").await;
        for _ in 0..500 {
            if db.inner.store.notes(b"sink/").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(db.inner.store.notes(b"sink/").is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn only_a_superuser_makes_one() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = with_sink(dir.path(), SINK).await;
        run(
            &db,
            "CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'x';
             CREATE ROLE worker WITH LOGIN PASSWORD 'x';
             GRANT ALL ON ALL KEYSPACES TO worker",
        )
        .await;
        let worker = role(&db, "worker");
        for sql in [
            "CREATE SINK s TO 'https://h/' AS SELECT device FROM plant.t",
            "ALTER SINK hot PAUSE",
            "ALTER SINK hot SET (batch = 2)",
            "DROP SINK hot",
        ] {
            assert_eq!(fails(&worker, sql).await.kind(), ErrorKind::Denied, "{sql}");
        }
        run(&role(&db, "admin"), "DROP SINK hot").await;
        db.shutdown().await.unwrap();
    });
}
