//! Subscriptions against a model: whoever keeps what was told last of each key holds what a SELECT shows, through
//! deletes, restarts and resumed connections; and what ends a subscription, or makes it leave events out.

mod ending;
mod log;
mod model;

use std::collections::BTreeMap;

use activestore_types::ErrorKind;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;
use crate::{Bounds, Changes, Subscription, Told, What};

/// How long a test waits for an event that has to come.
const WAIT_MAX: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE KEYSPACE k WITH (sync = 'up');
    CREATE TABLE k.t (device TEXT, seq BIGINT, temp DOUBLE, note TEXT, PRIMARY KEY ((device), seq))";

type Key = (String, i64);

/// What a subscriber holds: the rows of `SELECT device, seq, temp, note`.
#[derive(Default)]
struct Holder {
    rows: BTreeMap<Key, (Option<f64>, Option<String>)>,
    token: Option<String>,
    live: bool,
    events: u64,
    dropped: u64,
}

fn cell(column: &dyn Array, row: usize) -> Option<i64> {
    let column = column.as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// The first values of a key; those that are not given are not there.
fn key_of(rows: &RecordBatch, row: usize) -> (String, Option<i64>) {
    let device = rows.column(0).as_string::<i32>().value(row).to_owned();
    let seq = (rows.num_columns() > 1).then(|| cell(rows.column(1), row));
    (device, seq.flatten())
}

impl Holder {
    fn put(&mut self, rows: &RecordBatch, row: usize) {
        let (device, seq) = key_of(rows, row);
        let temp = rows.column(2).as_primitive::<Float64Type>();
        let note = rows.column(3).as_string::<i32>();
        let cells = (
            temp.is_valid(row).then(|| temp.value(row)),
            note.is_valid(row).then(|| note.value(row).to_owned()),
        );
        self.rows.insert((device, seq.unwrap()), cells);
    }

    fn erase(&mut self, bounds: &Bounds) {
        assert!(bounds.exact, "{bounds:?}");
        let after_start = |key: &Key| match &bounds.from {
            None => true,
            Some(from) => {
                let (device, seq) = key_of(from, 0);
                key.0 > device || (key.0 == device && seq.is_none_or(|seq| key.1 >= seq))
            }
        };
        let before_end = |key: &Key| match &bounds.to {
            None => true,
            Some(to) => {
                let (device, seq) = key_of(to, 0);
                match seq {
                    _ if key.0 != device => key.0 < device,
                    None => bounds.through,
                    Some(seq) => key.1 < seq || (bounds.through && key.1 == seq),
                }
            }
        };
        self.rows
            .retain(|key, _| !(after_start(key) && before_end(key)));
    }

    fn changes(&mut self, changes: &Changes) {
        for change in &changes.list {
            match change.what {
                What::Upsert(row) => self.put(&changes.rows, row),
                What::Delete(row) => {
                    let (device, seq) = key_of(&changes.keys, row);
                    self.rows.remove(&(device, seq.unwrap()));
                }
                What::Erase(range) => self.erase(&changes.ranges[range]),
            }
            self.token = Some(changes.token(change));
            self.events += 1;
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Snapshot(rows) => (0..rows.num_rows()).for_each(|row| self.put(&rows, row)),
            Told::Live { token } => {
                self.live = true;
                self.token = Some(token);
            }
            Told::Changes(changes) => self.changes(&changes),
            Told::Dropped { events, token } => {
                self.dropped += events.unwrap_or(0);
                self.token = Some(token);
            }
        }
    }

    /// Hears until a key is there with a value.
    async fn until(&mut self, subscription: &mut Subscription, key: &Key, temp: f64) {
        while self.rows.get(key).is_none_or(|row| row.0 != Some(temp)) {
            let told = next(subscription).await;
            self.hear(told.unwrap_or_else(|error| panic!("it ended before {key:?}: {error}")));
        }
    }
}

async fn next(subscription: &mut Subscription) -> Result<Told> {
    let told = tokio::time::timeout(WAIT_MAX, subscription.next()).await;
    told.expect("an event in time").expect("it has not ended")
}

/// Hears until it ends.
async fn end(subscription: &mut Subscription, holder: &mut Holder) -> Error {
    loop {
        match next(subscription).await {
            Ok(told) => holder.hear(told),
            Err(error) => return error,
        }
    }
}

/// What a SELECT shows, in the same form.
async fn shown(db: &Db, filter: &str) -> BTreeMap<Key, (Option<f64>, Option<String>)> {
    let mut holder = Holder::default();
    let sql = format!("SELECT device, seq, temp, note FROM k.t WHERE {filter}");
    let Some(SqlOutcome::Rows(rows)) = db.sql(&sql, &[]).await.unwrap().pop() else {
        panic!("'{sql}' answered without rows");
    };
    for batch in rows.collect().await.unwrap() {
        (0..batch.num_rows()).for_each(|row| holder.put(&batch, row));
    }
    holder.rows
}

async fn subscribe(db: &Db, filter: &str, options: &str, from: Option<&str>) -> Subscription {
    let sql = format!(
        "SUBSCRIBE SELECT device, seq, temp, note FROM k.t WHERE {filter} WITH ({options})"
    );
    db.subscribe(&sql, &[], from).await.unwrap()
}

async fn put(db: &Db, from: i64, rows: i64) {
    let values: Vec<String> = (from..from + rows)
        .map(|n| format!("('d', {n}, {n}, '{}')", "x".repeat(100)))
        .collect();
    run(db, &format!("INSERT INTO k.t VALUES {}", values.join(", "))).await;
}
