//! Tables that are dropped under the hands of who writes to them, and tables that do not take every row.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use activestore_db::{DbOptions, Role};
use activestore_types::KeyHint;
use arrow::array::{Float64Array, StringArray};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

/// As long as it takes.
const PATIENCE: Duration = Duration::from_secs(3_600);

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
        let done = store(&tables, &mut parsed, &mut samples, PATIENCE).await;
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

/// A table that takes no row whose value is one of these.
struct Choosy {
    wrong: BTreeSet<u32>,
    taken: Mutex<Vec<u32>>,
    writes: Mutex<usize>,
}

impl Tables for Choosy {
    async fn write(&self, batches: Vec<NamedBatch>) -> Result<()> {
        *self.writes.lock() += 1;
        let values = batches.iter().flat_map(|batch| {
            let values: &Float64Array = batch.columns[1].array.as_any().downcast_ref().unwrap();
            values.values().to_vec()
        });
        let values: Vec<u32> = values.map(|value| value as u32).collect();
        if values.iter().any(|value| self.wrong.contains(value)) {
            return Err(Error::invalid("a value does not fit"));
        }
        self.taken.lock().extend(values);
        Ok(())
    }

    fn definition(&self, _: &TableName) -> Option<Arc<TableSchema>> {
        None
    }
}

/// What a table takes of so many rows; how many samples are told to be stored.
fn chosen(rows: u32, wrong: BTreeSet<u32>) -> (Choosy, RemoteWrite, u64) {
    let mut all = batch("b");
    all.rows = rows as usize;
    let values: Float64Array = (0..rows).map(|row| Some(f64::from(row))).collect();
    all.columns[0].array = Arc::new(StringArray::from(vec!["a"; rows as usize]));
    all.columns[1].array = Arc::new(values);
    let tables = Choosy {
        wrong,
        taken: Mutex::default(),
        writes: Mutex::default(),
    };
    let mut parsed = RemoteWrite {
        batches: vec![all],
        samples: u64::from(rows),
        ..RemoteWrite::default()
    };
    let mut samples = 0;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(store(&tables, &mut parsed, &mut samples, PATIENCE));
    assert_eq!(done.unwrap().is_some(), !tables.wrong.is_empty());
    (tables, parsed, samples)
}

proptest! {
    /// All rows but the wrong ones are stored, in their order.
    #[test]
    fn a_wrong_sample_costs_no_other_of_its_table(
        rows in 1_u32..3_000,
        wrong in prop::collection::btree_set(0_u32..3_000, 0..12),
    ) {
        let wrong: BTreeSet<u32> = wrong.into_iter().filter(|row| *row < rows).collect();
        let right: Vec<u32> = (0..rows).filter(|row| !wrong.contains(row)).collect();
        let count = wrong.len() as u64;
        let (tables, parsed, samples) = chosen(rows, wrong);
        prop_assert_eq!(samples, right.len() as u64);
        prop_assert_eq!(parsed.samples, samples);
        let whole = right.is_empty();
        prop_assert_eq!(tables.taken.into_inner(), right);
        prop_assert_eq!(parsed.refused_samples, if whole { 0 } else { count });
        prop_assert_eq!(parsed.refused_tables.len(), usize::from(whole));
    }
}

#[test]
fn a_table_that_takes_nothing_is_told_so_after_a_bounded_number_of_writes() {
    let (tables, parsed, samples) = chosen(100_000, (0..100_000).collect());
    assert_eq!((samples, parsed.samples, parsed.refused_samples), (0, 0, 0));
    assert_eq!(parsed.refused_tables.len(), 1);
    assert!(*tables.writes.lock() <= 2 * PARTS_MAX + 1);
}

/// Two tables of so many rows each; the first takes nothing, the second all but one row.
fn two_tables(rows: u32, search_max: Duration) -> (Choosy, RemoteWrite, u64) {
    let of = |table, first: u32| {
        let mut all = batch(table);
        all.rows = rows as usize;
        let values: Float64Array = (first..first + rows)
            .map(|row| Some(f64::from(row)))
            .collect();
        all.columns[0].array = Arc::new(StringArray::from(vec!["a"; rows as usize]));
        all.columns[1].array = Arc::new(values);
        all
    };
    let tables = Choosy {
        wrong: (0..=rows).collect(),
        taken: Mutex::default(),
        writes: Mutex::default(),
    };
    let mut parsed = RemoteWrite {
        batches: vec![of("a", 0), of("b", rows)],
        samples: 2 * u64::from(rows),
        ..RemoteWrite::default()
    };
    let mut samples = 0;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(store(&tables, &mut parsed, &mut samples, search_max));
    assert!(done.unwrap().is_some());
    (tables, parsed, samples)
}

#[test]
fn a_table_that_takes_nothing_costs_no_sample_of_another() {
    let (tables, parsed, samples) = two_tables(2_000, PATIENCE);
    assert_eq!((samples, parsed.samples), (1_999, 1_999));
    assert_eq!(
        (parsed.refused_samples, parsed.refused_tables.len()),
        (1, 1)
    );
    assert_eq!(tables.taken.lock().len(), 1_999);
}

#[test]
fn what_is_not_tried_in_time_is_refused_and_said_to_be() {
    let (tables, parsed, samples) = two_tables(2_000, Duration::ZERO);
    assert_eq!((samples, *tables.writes.lock()), (0, 1));
    assert_eq!((parsed.samples, parsed.refused_tables.len()), (0, 2));
    let told = parsed.left_out().unwrap();
    assert!(told.contains("took too long"), "{told}");
}
