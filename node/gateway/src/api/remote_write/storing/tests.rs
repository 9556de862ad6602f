//! Tables that are dropped under the hands of who writes to them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use activestore_db::{DbOptions, Role};
use activestore_types::{KeyHint, NamedColumn};
use arrow::array::{Float64Array, StringArray};
use parking_lot::Mutex;

use super::*;

/// A database that is told to have lost a table so many times, after the table was dropped indeed.
struct Dropping {
    db: Db,
    table: TableName,
    /// What is said, how many more times, and whether the table is dropped before.
    told: Mutex<(ErrorKind, usize)>,
    drops: bool,
}

impl Dropping {
    fn turn(&self, batches: &[NamedBatch]) -> Option<Error> {
        let mut told = self.told.lock();
        if told.1 == 0 || batches.iter().all(|batch| batch.table != self.table) {
            return None;
        }
        told.1 -= 1;
        Some(match told.0 {
            ErrorKind::NotFound => Error::not_found("there is no table with the id 7"),
            _ => Error::conflict("the table was dropped by somebody else"),
        })
    }
}

impl Tables for Dropping {
    async fn write(&self, batches: Vec<NamedBatch>) -> Result<()> {
        let Some(error) = self.turn(&batches) else {
            return Tables::write(&self.db, batches).await;
        };
        if self.drops {
            let drop = format!("DROP TABLE IF EXISTS {}", self.table);
            self.db.sql(&drop, &[]).await.unwrap();
        }
        Err(error)
    }

    fn definition(&self, table: &TableName) -> Option<Arc<TableSchema>> {
        self.db.definition(table)
    }
}

fn batch(table: &str) -> NamedBatch {
    let column = |name: &str, array| NamedColumn {
        name: name.to_owned(),
        array,
        set: None,
        declared: None,
    };
    NamedBatch {
        table: TableName::new("prometheus", table),
        rows: 1,
        columns: vec![
            column("_series", Arc::new(StringArray::from(vec!["a"])) as _),
            column("value", Arc::new(Float64Array::from(vec![0.5])) as _),
        ],
        ttl_s: None,
        create: Some(KeyHint {
            partition: vec!["_series".to_owned()],
            clustering: Vec::new(),
        }),
    }
}

/// What comes of three tables, one of which is said to be lost so many times.
fn written(
    kind: ErrorKind,
    times: usize,
    drops: bool,
) -> (Result<Option<Error>>, RemoteWrite, u64) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = Db::open(DbOptions::new(dir.path(), Role::Edge)).unwrap();
        let all = ["a", "b", "c"].map(batch);
        db.write(all.to_vec()).await.unwrap();
        let tables = Dropping {
            table: TableName::new("prometheus", "b"),
            told: Mutex::new((kind, times)),
            drops,
            db,
        };
        let mut parsed = RemoteWrite {
            batches: all.to_vec(),
            samples: 3,
            ..RemoteWrite::default()
        };
        let mut samples = 0;
        let done = store(&tables, &mut parsed, &mut samples).await;
        tables.db.shutdown().await.unwrap();
        (done, parsed, samples)
    })
}

#[test]
fn a_table_that_is_dropped_meanwhile_is_made_anew() {
    for kind in [ErrorKind::NotFound, ErrorKind::Conflict] {
        // With the others, and then alone.
        for times in 1..=3 {
            let (done, parsed, samples) = written(kind, times, true);
            assert_eq!((done, samples), (Ok(None), 3), "{kind:?} {times}");
            assert!(parsed.refused_tables.is_empty());
        }
    }
}

#[test]
fn a_table_that_is_dropped_again_and_again_is_told_as_what_passes() {
    let (done, ..) = written(ErrorKind::NotFound, usize::MAX, true);
    let error = done.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
}

#[test]
fn a_conflict_that_no_change_explains_is_a_refusal() {
    let (done, parsed, samples) = written(ErrorKind::Conflict, usize::MAX, false);
    assert_eq!(done.unwrap().unwrap().kind(), ErrorKind::Conflict);
    assert_eq!(
        (samples, parsed.samples, parsed.refused_tables.len()),
        (2, 2, 1)
    );
}
