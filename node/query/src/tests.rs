//! The engine against a store on a simulated disk.

mod allowance;
mod covered;
mod filled;
mod functions;
mod json;
mod kept;
mod kept_rights;
mod last;
mod latest;
mod live;
mod model;
mod narrowing;
mod planning;
mod predicate;
mod queries;
mod runs;
mod series;
mod sessions;
mod together;
mod windows;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use activestore_env::Env;
use activestore_store::{Snapshot, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Error, Hlc, NodeId,
    OriginId, Result, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use parking_lot::RwLock;
use serde_json::Value;

use crate::*;

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR_NS: i64 = 1_767_225_600_000_000_000;

pub(crate) struct World {
    pub(crate) store: Arc<Store>,
    tables: RwLock<BTreeMap<TableName, Arc<TableSchema>>>,
    now_ns: AtomicI64,
    hlc: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Arc<World> {
        Arc::new(World {
            store: Store::open(Env::simulated(7), StoreOptions::new(NodeId([1; 16]))).unwrap(),
            tables: RwLock::default(),
            now_ns: AtomicI64::new(NEW_YEAR_NS),
            hlc: AtomicU64::new(1 << 20),
        })
    }

    /// A table in keyspace `plant`; a key column with a minus before it is descending.
    pub(crate) fn create(
        &self,
        name: &str,
        columns: &[(&str, DataType)],
        partition: usize,
        clustering: &[&str],
    ) -> Arc<TableSchema> {
        let id = TableId(self.tables.read().len() as u32 + 1);
        let columns: Vec<Column> = columns
            .iter()
            .zip(0..)
            .map(|((name, data_type), id)| Column {
                id: ColumnId(id),
                name: (*name).into(),
                data_type: *data_type,
            })
            .collect();
        let id_of = |name: &str| {
            columns
                .iter()
                .find(|column| column.name == name)
                .unwrap()
                .id
        };
        let schema = Arc::new(TableSchema {
            id,
            name: TableName::new("plant", name),
            partition_key: columns
                .iter()
                .take(partition)
                .map(|column| column.id)
                .collect(),
            clustering_key: clustering
                .iter()
                .map(|name| ClusteringColumn {
                    id: id_of(name.trim_start_matches('-')),
                    descending: name.starts_with('-'),
                })
                .collect(),
            columns,
            flexible: false,
            ttl_s: None,
            sync: SyncMode::None,
            compaction: CompactionMode::Automatic,
            version: 1,
        });
        schema.validate().unwrap();
        self.store.put_schema(schema.clone()).unwrap();
        self.tables
            .write()
            .insert(schema.name.clone(), schema.clone());
        schema
    }

    pub(crate) fn write(&self, schema: &TableSchema, arrays: Vec<ArrayRef>) {
        let rows = arrays[0].len();
        let first = Hlc(self.hlc.fetch_add(rows as u64, Ordering::Relaxed));
        let columns = schema
            .columns
            .iter()
            .zip(arrays)
            .map(|(column, array)| BatchColumn {
                id: column.id,
                array,
                set: None,
            })
            .collect();
        let batch = RowBatch::upsert(schema.id, rows, columns, first, OriginId(0));
        self.store
            .commit(WriteSet {
                batches: vec![batch],
                ..WriteSet::default()
            })
            .unwrap();
    }
}

impl Tables for World {
    fn keyspaces(&self) -> Vec<String> {
        vec!["plant".into(), "public".into()]
    }

    fn tables(&self, keyspace: &str) -> Vec<String> {
        let tables = self.tables.read();
        tables
            .keys()
            .filter(|name| name.keyspace == keyspace)
            .map(|name| name.table.clone())
            .collect()
    }

    fn snapshot(&self, name: &TableName) -> Result<Option<Snapshot>> {
        match self.tables.read().get(name) {
            Some(schema) => self.store.snapshot(schema.id).map(Some),
            None => Ok(None),
        }
    }

    fn system_table(&self, name: &str) -> Result<Option<RecordBatch>> {
        let name: ArrayRef = match name {
            "tables" => Arc::new(StringArray::from(self.tables("plant"))),
            "broken" => return Err(Error::corrupt("this one is damaged")),
            _ => return Ok(None),
        };
        Ok(Some(RecordBatch::try_from_iter([("name", name)]).unwrap()))
    }

    fn system_tables(&self) -> Vec<String> {
        vec!["tables".into(), "broken".into()]
    }

    fn now_ns(&self) -> i64 {
        self.now_ns.load(Ordering::Relaxed)
    }
}

/// One model, `sum`, of two inputs.
pub(crate) struct Sum;

impl Models for Sum {
    fn model(&self, name: &str, output: Option<&str>) -> Result<(usize, Predict)> {
        if name != "sum" {
            return Err(Error::not_found(format!("there is no model '{name}'")));
        }
        if let Some(output) = output {
            return Err(Error::not_found(format!("there is no output '{output}'")));
        }
        let add: Predict = Arc::new(|args| {
            let [a, b] = args else { panic!("two inputs") };
            let (a, b) = (
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(a),
                arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(b),
            );
            let sums: Float64Array = a.iter().zip(b).map(|(a, b)| Some(a? + b?)).collect();
            Ok(Arc::new(sums) as ArrayRef)
        });
        Ok((2, add))
    }
}

pub(crate) fn engine(world: &Arc<World>) -> Engine {
    engine_with(world, EngineOptions::default())
}

pub(crate) fn engine_with(world: &Arc<World>, options: EngineOptions) -> Engine {
    Engine::new(options, world.clone(), Arc::new(Sum)).unwrap()
}

/// Every cell as text, NULL as `-`.
pub(crate) fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            rows.push(
                batch
                    .columns()
                    .iter()
                    .map(|column| {
                        if column
                            .logical_nulls()
                            .is_some_and(|nulls| nulls.is_null(row))
                        {
                            "-".into()
                        } else {
                            array_value_to_string(column, row).unwrap()
                        }
                    })
                    .collect(),
            );
        }
    }
    rows
}

pub(crate) async fn try_rows(
    engine: &Engine,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<String>>> {
    Ok(cells(
        &engine
            .query(sql, &crate::Param::all(params))
            .await?
            .collect()
            .await?,
    ))
}

pub(crate) async fn rows(engine: &Engine, sql: &str) -> Vec<Vec<String>> {
    try_rows(engine, sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The rows as one text a row, cells joined by a space.
pub(crate) async fn lines(engine: &Engine, sql: &str) -> Vec<String> {
    rows(engine, sql)
        .await
        .into_iter()
        .map(|row| row.join(" "))
        .collect()
}

pub(crate) async fn explain(engine: &Engine, sql: &str) -> String {
    lines(engine, &format!("EXPLAIN {sql}")).await.join("\n")
}

/// `plant.readings`: 3 devices, 100 rows each, a second apart from the new year on, newest first.
pub(crate) fn readings(world: &World) -> Arc<TableSchema> {
    let schema = world.create(
        "readings",
        &[
            ("device", DataType::Text),
            ("ts", DataType::Timestamp),
            ("temp", DataType::Double),
            ("n", DataType::Int),
            ("status", DataType::Text),
            ("id", DataType::Uuid),
            ("body", DataType::Json),
        ],
        1,
        &["-ts"],
    );
    for device in ["p1", "p2", "p3"] {
        let seconds = 0..100_i64;
        let count = 100;
        world.write(
            &schema,
            vec![
                Arc::new(StringArray::from(vec![device; count])),
                Arc::new(arrow::array::TimestampNanosecondArray::from_iter_values(
                    seconds.clone().map(|s| NEW_YEAR_NS + s * 1_000_000_000),
                )),
                Arc::new(Float64Array::from_iter_values(
                    seconds.clone().map(|s| s as f64 / 2.0),
                )),
                Arc::new(arrow::array::Int32Array::from_iter_values(
                    seconds.clone().map(|s| s as i32),
                )),
                Arc::new(
                    seconds
                        .map(|s| (s % 10 == 0).then_some("bad"))
                        .collect::<StringArray>(),
                ),
                arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, count),
                arrow::array::new_null_array(&arrow::datatypes::DataType::Utf8, count),
            ],
        );
        if device == "p2" {
            world.store.flush().unwrap();
        }
    }
    schema
}
