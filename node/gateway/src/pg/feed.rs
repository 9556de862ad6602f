//! A subscription as rows of a result: what happened, the place behind it, what it is about, and the columns of the row.
//!
//! | op | id | about | columns |
//! |---|---|---|---|
//! | `snapshot` | NULL | NULL | a row that the table held at the beginning |
//! | `live` | place | NULL | NULL: from here on rows are told as they are written |
//! | `upsert` | place | NULL | a row that was written, as it is now |
//! | `delete` | place | its key | NULL: the row is gone |
//! | `erase` | place | a range of keys | NULL: all rows of it are gone |
//! | `dropped` | place | `{"events":12}` | NULL: so many events were left out; null where nobody knows |
//! | `beat` | place | NULL | NULL: nothing happened for a while |

use std::sync::Arc;
use std::time::Duration;

use activestore_db::{Changes, Db, Subscription, Told, What};
use activestore_query::{Param, Subscribe};
use activestore_types::schema::TYPE_METADATA_KEY;
use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Pg;
use crate::encode::{object, range_of};

/// A subscription that is read as rows.
pub(super) struct Feed {
    subscription: Subscription,
    schema: SchemaRef,
    db: Db,
    stopping: watch::Receiver<bool>,
    heartbeat: Duration,
    /// When its reader is told that nothing happened.
    beat_at: Instant,
}

/// The columns of a subscription to rows of these.
pub(super) fn columns(rows: &Schema) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let json = [(TYPE_METADATA_KEY.to_owned(), "JSON".to_owned())];
    let mut fields = vec![
        Arc::new(text("subscribe_op")),
        Arc::new(text("subscribe_id")),
        Arc::new(text("subscribe_about").with_metadata(json.into())),
    ];
    let told = rows.fields().iter();
    fields.extend(told.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
    Arc::new(Schema::new(fields))
}

/// What is told of one event beside the row.
#[derive(Default)]
struct Event {
    op: &'static str,
    id: Option<String>,
    about: Option<String>,
    row: Option<u32>,
}

impl Feed {
    /// # Errors
    /// As [`Db::subscribe`].
    pub(super) async fn begin(
        pg: &Pg,
        db: &Db,
        statement: Subscribe,
        params: &[Param],
    ) -> Result<Feed> {
        let params = params.iter().map(Param::json).collect();
        let subscription = db.subscribe_to(statement, params, None).await?;
        let heartbeat = pg.shared.options.heartbeat;
        Ok(Feed {
            schema: columns(subscription.schema()),
            subscription,
            db: db.clone(),
            stopping: pg.stopping.clone(),
            heartbeat,
            beat_at: Instant::now() + heartbeat,
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it still tells what the table held, which computes where it is asked.
    pub(super) fn reads_table(&self) -> bool {
        self.subscription.reads_table()
    }

    /// What is told next; waits for it. Nothing is lost where the future is dropped before it is done.
    ///
    /// # Errors
    /// As [`Subscription::next`]; `Denied` where who subscribed is let in no more.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let told = tokio::select! {
                _ = self.stopping.wait_for(|stopping| *stopping) => {
                    return Err(Error::closed("the node is shutting down")
                        .with_hint("go on WITH (after = the id of the last row) once it is back"));
                }
                told = timeout_at(self.beat_at, self.subscription.next()) => told,
            };
            self.beat_at = Instant::now() + self.heartbeat;
            let batch = match told {
                Ok(None) => return Ok(None),
                Ok(Some(told)) => self.batch(&told?)?,
                Err(_) => {
                    self.db.check_admitted()?;
                    let Some(id) = self.subscription.position() else {
                        continue;
                    };
                    self.alone("beat", id, None)?
                }
            };
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    fn batch(&self, told: &Told) -> Result<RecordBatch> {
        match told {
            Told::Snapshot(rows) => {
                let event = |row| Event {
                    op: "snapshot",
                    row: Some(row),
                    ..Event::default()
                };
                let count = u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
                self.rows((0..count).map(event).collect(), rows)
            }
            Told::Live { token } => self.alone("live", token.clone(), None),
            Told::Changes(changes) => {
                let events = changes.list.iter().map(|change| {
                    let (op, about, row) = self.change(changes, change.what)?;
                    Ok(Event {
                        op,
                        id: Some(changes.token(change)),
                        about,
                        row,
                    })
                });
                self.rows(events.collect::<Result<_>>()?, &changes.rows)
            }
            Told::Dropped { events, token } => {
                let events = events.map_or("null".to_owned(), |events| events.to_string());
                self.alone(
                    "dropped",
                    token.clone(),
                    Some(format!("{{\"events\":{events}}}")),
                )
            }
        }
    }

    fn change(
        &self,
        changes: &Changes,
        what: What,
    ) -> Result<(&'static str, Option<String>, Option<u32>)> {
        let mut json = Vec::new();
        let op = match what {
            What::Upsert(row) => return Ok(("upsert", None, u32::try_from(row).ok())),
            What::Delete(row) => {
                object(
                    self.subscription.key_schema(),
                    &changes.keys,
                    row,
                    &mut json,
                )?;
                "delete"
            }
            What::Erase(range) => {
                json.push(b'{');
                if let Some(bounds) = changes.ranges.get(range) {
                    // What is written before is looked at there: a brace is nothing yet.
                    let mut members = Vec::new();
                    range_of(bounds, &mut members)?;
                    json.append(&mut members);
                }
                json.push(b'}');
                "erase"
            }
        };
        Ok((op, Some(String::from_utf8_lossy(&json).into_owned()), None))
    }

    /// An event that is about no row.
    fn alone(&self, op: &'static str, id: String, about: Option<String>) -> Result<RecordBatch> {
        let event = Event {
            op,
            id: Some(id),
            about,
            row: None,
        };
        let none = RecordBatch::new_empty(self.subscription.schema().clone());
        self.rows(vec![event], &none)
    }

    fn rows(&self, events: Vec<Event>, rows: &RecordBatch) -> Result<RecordBatch> {
        let ops = events.iter().map(|event| Some(event.op));
        let ops: ArrayRef = Arc::new(ops.collect::<StringArray>());
        let ids = events.iter().map(|event| event.id.as_deref());
        let ids: ArrayRef = Arc::new(ids.collect::<StringArray>());
        let about = events.iter().map(|event| event.about.as_deref());
        let about: ArrayRef = Arc::new(about.collect::<StringArray>());
        let places: UInt32Array = events.iter().map(|event| event.row).collect();
        let mut arrays = vec![ops, ids, about];
        let fields = self.schema.fields().iter().skip(arrays.len());
        for (column, field) in rows.columns().iter().zip(fields) {
            if column.is_empty() {
                arrays.push(new_null_array(field.data_type(), events.len()));
                continue;
            }
            let taken = take(column, &places, None).map_err(wrong)?;
            // What a query reads of the table may be packed in another way.
            arrays.push(if taken.data_type() == field.data_type() {
                taken
            } else {
                cast(&taken, field.data_type()).map_err(wrong)?
            });
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(wrong)
    }
}

fn wrong(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("events do not make rows: {error}"))
}
