//! What `INSERT`, `UPDATE` and `DELETE` are to write, worked out by the engine: rows under the
//! table's column names and types, keys, or key ranges. Nothing is written here.

use std::sync::Arc;

use activestore_types::{Error, KeyRange, Result, TableSchema};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;

use crate::cast::cast_assigned;
use crate::engine::Engine;
use crate::error::from_datafusion;
use crate::params::Param;
use crate::parse::Update;
use crate::pushdown::push_down;
use crate::rows::Rows;

/// How a `DELETE` is carried out.
#[derive(Clone, Debug)]
pub enum DeletePlan {
    /// The filter names whole keys: these, as columns in key order, existing or not. Each needs a
    /// row tombstone.
    Keys(RecordBatch),
    /// The filter is exactly these ranges of keys, each within one partition (or the whole table):
    /// a range tombstone each. Empty means that nothing can match.
    Ranges(Vec<KeyRange>),
    /// Anything else: select the keys with [`Engine::evaluate_keys`], then delete each row.
    Select,
}

impl Engine {
    /// The rows of `INSERT INTO schema (columns) source`: batches whose columns bear the table's
    /// names and types. `columns` empty means the table's own, in order. A column that the table
    /// does not have is kept as it is where the table is flexible.
    ///
    /// # Errors
    /// As [`Engine::query`]; `Invalid` when the number of columns differs, and, in the stream, for a
    /// value that does not fit, naming the column.
    pub async fn evaluate_source(
        &self,
        schema: &TableSchema,
        columns: &[String],
        source: &str,
        params: &[Param],
    ) -> Result<Rows> {
        let rows = self.query(source, params).await?;
        let given = rows.schema.fields().len();
        let names: Vec<String> = if columns.is_empty() {
            schema
                .columns
                .iter()
                .take(given)
                .map(|column| column.name.clone())
                .collect()
        } else {
            columns.to_vec()
        };
        if names.len() != given {
            return Err(Error::invalid(format!(
                "{} columns are named, {given} values are given",
                if columns.is_empty() {
                    schema.columns.len()
                } else {
                    names.len()
                }
            )));
        }
        target(schema, &names, rows)
    }

    /// The rows of an `UPDATE`: the key columns of every row that matches, and the assigned columns
    /// with their new values.
    ///
    /// # Errors
    /// As [`Engine::evaluate_source`]; `Invalid` for an assignment to a key column.
    pub async fn evaluate_update(
        &self,
        schema: &TableSchema,
        update: &Update,
        params: &[Param],
    ) -> Result<Rows> {
        let sql = self.update_query(schema, update)?;
        let mut names = key_names(schema);
        names.extend(update.assignments.iter().map(|(column, _)| column.clone()));
        let rows = self.query(&sql, params).await?;
        target(schema, &names, rows)
    }

    /// What an `UPDATE` reads.
    pub(crate) fn update_query(&self, schema: &TableSchema, update: &Update) -> Result<String> {
        let names = key_names(schema);
        let mut outputs: Vec<String> = names.iter().map(|name| quote(name)).collect();
        for (column, expression) in &update.assignments {
            if names.contains(column) {
                return Err(Error::invalid(format!(
                    "column '{column}' is part of the primary key and cannot be changed"
                ))
                .with_hint("insert the row under its new key and delete the old one"));
            }
            outputs.push(format!("({expression}\n)"));
        }
        Ok(select(schema, &outputs, update.filter.as_deref()))
    }

    /// What reads the keys that match a filter.
    pub(crate) fn keys_query(&self, schema: &TableSchema, filter: Option<&str>) -> String {
        let outputs: Vec<String> = key_names(schema).iter().map(|name| quote(name)).collect();
        select(schema, &outputs, filter)
    }

    /// The keys of the rows that match a filter: the key columns, in key order.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn evaluate_keys(
        &self,
        schema: &TableSchema,
        filter: Option<&str>,
        params: &[Param],
    ) -> Result<Rows> {
        let rows = self.query(&self.keys_query(schema, filter), params).await?;
        target(schema, &key_names(schema), rows)
    }

    /// Of the rows that match a filter: how many there are, and for how many the condition is true.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn evaluate_condition(
        &self,
        schema: &TableSchema,
        filter: &str,
        condition: &str,
        params: &[Param],
    ) -> Result<(u64, u64)> {
        let outputs = [
            "count(*)".to_owned(),
            format!("count(*) FILTER (WHERE ({condition}\n))"),
        ];
        let mut rows = self
            .query(&select(schema, &outputs, Some(filter)), params)
            .await?;
        let (mut found, mut held) = (0, 0);
        while let Some(batch) = rows.stream.next().await {
            let batch = batch?;
            for (sum, column) in [&mut found, &mut held].into_iter().zip(batch.columns()) {
                let counts = column.as_primitive_opt::<Int64Type>();
                let counts = counts.ok_or_else(|| Error::internal("a count that is no number"))?;
                *sum += counts.iter().flatten().map(i64::unsigned_abs).sum::<u64>();
            }
        }
        Ok((found, held))
    }

    /// How a `DELETE` with this filter is carried out; `None` means every row.
    ///
    /// # Errors
    /// `Invalid` and `NotFound` for the filter.
    pub async fn delete_plan(
        &self,
        schema: &TableSchema,
        filter: Option<&str>,
        params: &[Param],
    ) -> Result<DeletePlan> {
        if filter.is_none() {
            return Ok(DeletePlan::Ranges(vec![KeyRange::all()]));
        }
        let sql = self.keys_query(schema, filter);
        let plan = self.optimized(&sql, params).await?;
        // A filter that the ranges express whole leaves nothing above the scan.
        let mut plan = &plan;
        while let LogicalPlan::Projection(projection) = plan {
            plan = projection.input.as_ref();
        }
        let scan = match plan {
            LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row => {
                return Ok(DeletePlan::Ranges(Vec::new()));
            }
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => scan,
            _ => return Ok(DeletePlan::Select),
        };
        let pushed = push_down(schema, &scan.filters);
        if scan.filters.is_empty() {
            return Ok(DeletePlan::Ranges(vec![KeyRange::all()]));
        }
        match pushed.ranges {
            Some(ranges) if pushed.exact => {
                if pushed.point_columns == schema.key_len() && !pushed.keys.is_empty() {
                    Ok(DeletePlan::Keys(keys(schema, &pushed.keys)?))
                } else if ranges.is_empty() || pushed.point_columns >= schema.partition_key.len() {
                    Ok(DeletePlan::Ranges(ranges))
                } else {
                    Ok(DeletePlan::Select)
                }
            }
            _ => Ok(DeletePlan::Select),
        }
    }
}

/// A name in double quotes, for SQL text.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn key_names(schema: &TableSchema) -> Vec<String> {
    schema
        .key_columns()
        .filter_map(|key| schema.column_by_id(key.id))
        .map(|column| column.name.clone())
        .collect()
}

/// A comment at the end of a filter must not swallow what follows: hence the line breaks.
fn select(schema: &TableSchema, outputs: &[String], filter: Option<&str>) -> String {
    let from = format!(
        "{}.{}",
        quote(&schema.name.keyspace),
        quote(&schema.name.table)
    );
    match filter {
        Some(filter) => format!(
            "SELECT {} FROM {from} WHERE ({filter}\n)",
            outputs.join(", ")
        ),
        None => format!("SELECT {} FROM {from}", outputs.join(", ")),
    }
}

/// The rows under the table's names and types.
pub(crate) fn target(schema: &TableSchema, names: &[String], rows: Rows) -> Result<Rows> {
    let mut fields = Vec::with_capacity(names.len());
    let mut types = Vec::with_capacity(names.len());
    for (name, given) in names.iter().zip(rows.schema.fields()) {
        match schema.column(name) {
            Some(column) => {
                // Whether a key value is there is for the write to check, with its own words.
                fields.push(schema.arrow_field(column).with_nullable(true));
                types.push(Some(column.data_type));
            }
            None if schema.flexible => {
                fields.push(
                    Field::new(name, given.data_type().clone(), true)
                        .with_metadata(given.metadata().clone()),
                );
                types.push(None);
            }
            None => {
                let known = schema.columns.iter().map(|column| column.name.as_str());
                let error = Error::not_found(format!("{} has no column '{name}'", schema.name));
                return Err(match activestore_catalog::nearest(name, known) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(
                        "add it with ALTER TABLE … ADD COLUMN, or make the table flexible",
                    ),
                });
            }
        }
    }
    let to: SchemaRef = Arc::new(Schema::new(fields));
    let names: Vec<String> = names.to_vec();
    let schema = to.clone();
    let stream = rows.stream.map(move |batch| {
        let batch = batch?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(names.len());
        for ((name, data_type), array) in names.iter().zip(&types).zip(batch.columns()) {
            columns.push(match data_type {
                Some(data_type) => cast_assigned(name, *data_type, array)?,
                None => array.clone(),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            to.clone(),
            columns,
            &options,
        )?)
    });
    Ok(Rows {
        schema,
        stream: Box::pin(stream),
        stats: rows.stats,
    })
}

fn keys(schema: &TableSchema, keys: &[Vec<ScalarValue>]) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (place, key) in schema.key_columns().enumerate() {
        let Some(column) = schema.column_by_id(key.id) else {
            continue;
        };
        let values = keys.iter().filter_map(|key| key.get(place).cloned());
        columns.push(ScalarValue::iter_to_array(values).map_err(from_datafusion)?);
        fields.push(schema.arrow_field(column));
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
