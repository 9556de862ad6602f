//! One database, and an edge and a cloud side by side in one process, without a network.

mod aggregates;
mod at_limit;
mod auth;
mod backups;
mod clouds;
mod conflicts;
mod copy;
mod encryption;
mod events;
mod eviction;
mod filters;
mod flowing_down;
mod flowing_down_bounds;
mod lag_by_table;
mod lanes;
mod late_rows;
mod merging;
mod models;
mod outbox_limit;
mod outgoing;
mod partition_keys;
mod prepared;
mod processors;
mod reach;
mod receipts;
mod relays;
mod rollouts;
mod rows;
mod segments;
mod set_aside;
mod shared;
mod shipping;
mod sinks;
mod spared_rows;
mod statements;
mod subscriptions;
mod together;
mod undamaged;
mod verifying;
mod verifying_deletes;
mod verifying_gateways;
mod verifying_others;
mod views;

use std::path::Path;
use std::time::Duration;

use activestore_types::{Error, Result};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;

use crate::{Db, DbOptions, Role, SqlOutcome};

/// A database that seals at once.
pub(crate) fn open(dir: &Path, role: Role) -> Db {
    let mut options = DbOptions::new(dir, role);
    options.seal_after = Duration::ZERO;
    Db::open(options).unwrap()
}

/// Runs statements that answer without rows.
pub(crate) async fn run(db: &Db, sql: &str) -> u64 {
    let mut affected = 0;
    for outcome in db.sql(sql, &[]).await.unwrap() {
        match outcome {
            SqlOutcome::Done { affected: rows, .. } => affected += rows,
            SqlOutcome::Rows(_) => panic!("'{sql}' answered with rows"),
        }
    }
    affected
}

pub(crate) async fn fails(db: &Db, sql: &str) -> Error {
    match db.sql(sql, &[]).await {
        Err(error) => error,
        Ok(outcomes) => {
            for outcome in outcomes {
                if let SqlOutcome::Rows(rows) = outcome
                    && let Err(error) = rows.stream.try_collect::<Vec<RecordBatch>>().await
                {
                    return error;
                }
            }
            panic!("'{sql}' did not fail");
        }
    }
}

/// A query's rows as text, cells separated by '|', NULL as nothing.
pub(crate) async fn rows(db: &Db, sql: &str) -> Vec<String> {
    // On the heap: tests ask often, and each question would take its room on their stack.
    Box::pin(try_rows(db, sql)).await.unwrap()
}

pub(crate) async fn try_rows(db: &Db, sql: &str) -> Result<Vec<String>> {
    let Some(SqlOutcome::Rows(rows)) = db.sql(sql, &[]).await?.pop() else {
        panic!("'{sql}' answered without rows");
    };
    let batches: Vec<RecordBatch> = rows.stream.try_collect().await?;
    let mut lines = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch
                .columns()
                .iter()
                .map(|column| array_value_to_string(column, row).unwrap())
                .collect();
            lines.push(cells.join("|"));
        }
    }
    Ok(lines)
}

/// Waits for what another thread does, for five minutes at most: the machine may be busy.
pub(crate) async fn until(mut done: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(300), waits).await;
    came.expect("it comes to pass in time");
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

const PLANT: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, status TEXT,
      PRIMARY KEY ((device), ts))";
