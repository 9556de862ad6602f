//! Statements that are written as one: those of a batch, and those with a condition. Each is worked
//! out against the rows as they were before any of them, under the gates of their tables; then one
//! log record holds what all of them say, later ones stamped later. If a condition fails, nothing is
//! written.

use std::collections::HashSet;
use std::sync::Arc;

use activestore_query::{
    Condition, Delete, DeletePlan, Existing, Insert, Param, Rows, Statement, Update,
};
use activestore_types::{
    BatchColumn, Error, NamedBatch, Result, TableName, TableSchema, encode_keys,
};
use arrow::array::BooleanArray;
use arrow::compute::filter;
use arrow::util::display::array_value_to_string;
use futures::StreamExt;

use super::SqlOutcome;
use crate::db::{Db, Inner};
use crate::write::effect::{Effects, Erasure};
use crate::write::gates::Way;
use crate::write::resolve::Staged;

/// Rows that statements written as one may touch: all of them are held in memory.
const ROWS_MAX: u64 = 1 << 18;

impl Db {
    /// One statement with a condition.
    pub(super) async fn one(
        &self,
        verb: &str,
        statement: Statement,
        params: &[Param],
    ) -> Result<SqlOutcome> {
        let affected = self.together(vec![statement], params).await?;
        Ok(SqlOutcome::counted(verb, affected))
    }

    /// Rows written and erased; ranges that are erased without being read count nothing.
    pub(super) async fn together(
        &self,
        statements: Vec<Statement>,
        params: &[Param],
    ) -> Result<u64> {
        let mut ways = Vec::with_capacity(statements.len());
        for statement in &statements {
            let (table, way) = way(statement)?;
            let state = self.inner.catalog.state();
            ways.push((state.table(table)?.clone(), way));
        }
        let schemas: Vec<Arc<TableSchema>> =
            ways.iter().map(|(schema, _)| schema.clone()).collect();
        let gates = self.inner.gates_of(ways);
        let passage = self.inner.gates.pass(gates).await;
        let mut effects = Effects::default();
        let mut affected = 0;
        for (place, (statement, schema)) in statements.into_iter().zip(&schemas).enumerate() {
            let mut gathered = match &statement {
                Statement::Insert(insert) => self.gather_insert(schema, insert, params).await?,
                Statement::Update(update) => self.gather_update(schema, update, params).await?,
                Statement::Delete(delete) => self.gather_delete(schema, delete, params).await?,
                _ => return Err(Error::internal("a statement that writes no rows")),
            };
            for (at, erasure) in &mut gathered.erasures {
                *at = place;
                if let Erasure::Rows { keys, .. } = erasure {
                    affected += keys.num_rows() as u64;
                }
            }
            for batch in &mut gathered.upserts {
                batch.place = place;
                affected += batch.rows as u64;
            }
            effects.upserts.append(&mut gathered.upserts);
            effects.erasures.append(&mut gathered.erasures);
            if effects.rows() > ROWS_MAX {
                return Err(too_many());
            }
        }
        let inner = self.inner.clone();
        Self::unqueued(move || {
            let applied = inner.apply(effects);
            drop(passage);
            applied
        })
        .await?;
        Ok(affected)
    }

    async fn gather_insert(
        &self,
        schema: &Arc<TableSchema>,
        insert: &Insert,
        params: &[Param],
    ) -> Result<Effects> {
        let engine = self.engine();
        let rows = engine
            .evaluate_source(schema, &insert.columns, &insert.source, params)
            .await?;
        self.gather_upserts(&insert.table, rows, insert.ttl_s, insert.existing)
            .await
    }

    async fn gather_update(
        &self,
        schema: &Arc<TableSchema>,
        update: &Update,
        params: &[Param],
    ) -> Result<Effects> {
        self.require(
            schema,
            update.filter.as_deref(),
            update.condition.as_ref(),
            params,
        )
        .await?;
        let engine = self.engine();
        let rows = engine.evaluate_update(schema, update, params).await?;
        self.gather_upserts(&update.table, rows, update.ttl_s, Existing::Merge)
            .await
    }

    async fn gather_delete(
        &self,
        schema: &Arc<TableSchema>,
        delete: &Delete,
        params: &[Param],
    ) -> Result<Effects> {
        let filter = delete.filter.as_deref();
        self.require(schema, filter, delete.condition.as_ref(), params)
            .await?;
        let engine = self.engine();
        let mut effects = Effects::default();
        let mut erase = |erasure| effects.erasures.push((0, erasure));
        let schema = schema.clone();
        match engine.delete_plan(&schema, filter, params).await? {
            DeletePlan::Keys(keys) => erase(Erasure::Rows { schema, keys }),
            DeletePlan::Ranges(ranges) => erase(Erasure::Ranges { schema, ranges }),
            DeletePlan::Select => {
                let mut rows = engine.evaluate_keys(&schema, filter, params).await?;
                let mut erased = 0;
                while let Some(keys) = rows.stream.next().await {
                    let (keys, schema) = (keys?, schema.clone());
                    erased += keys.num_rows() as u64;
                    if erased > ROWS_MAX {
                        return Err(too_many());
                    }
                    erase(Erasure::Rows { schema, keys });
                }
            }
        }
        Ok(effects)
    }

    async fn gather_upserts(
        &self,
        table: &TableName,
        mut rows: Rows,
        ttl_s: Option<u64>,
        existing: Existing,
    ) -> Result<Effects> {
        let mut effects = Effects::default();
        let mut seen = HashSet::new();
        while let Some(batch) = rows.stream.next().await {
            let mut batch = NamedBatch::from_record_batch(table.clone(), &batch?);
            batch.ttl_s = ttl_s;
            if batch.rows == 0 {
                continue;
            }
            let inner = self.inner.clone();
            let (staged, seen_now) = Self::unqueued(move || {
                inner.refuse_view(&batch.table)?;
                let staged = inner.resolve_one(&batch)?;
                let staged = inner.absent(staged, existing, &mut seen)?;
                Ok((staged, seen))
            })
            .await?;
            seen = seen_now;
            effects
                .upserts
                .extend(Some(staged).filter(|staged| staged.rows > 0));
            if effects.rows() > ROWS_MAX {
                return Err(too_many());
            }
        }
        Ok(effects)
    }

    /// Checks a condition on the rows that a filter names.
    async fn require(
        &self,
        schema: &TableSchema,
        filter: Option<&str>,
        condition: Option<&Condition>,
        params: &[Param],
    ) -> Result<()> {
        let Some(condition) = condition else {
            return Ok(());
        };
        let engine = self.engine();
        let named = match (filter, engine.delete_plan(schema, filter, params).await?) {
            (Some(filter), DeletePlan::Keys(keys)) => Some((filter, keys.num_rows() as u64)),
            _ => None,
        };
        let Some((filter, named)) = named else {
            return Err(Error::invalid(format!(
                "a condition needs the whole primary key of {} in WHERE",
                schema.name
            ))
            .with_hint("name each key column with = or IN, and put the rest after IF"));
        };
        let text = match condition {
            Condition::Exists => "TRUE",
            Condition::Holds(text) => text,
        };
        let (found, held) = engine
            .evaluate_condition(schema, filter, text, params)
            .await?;
        let refused = |what: String| {
            Err(Error::conflict(what)
                .with_hint("nothing was written; read the row and decide anew"))
        };
        if found < named {
            return refused(match named {
                1 => format!("the row of {} does not exist", schema.name),
                _ => format!(
                    "{} of the {named} rows of {} do not exist",
                    named - found,
                    schema.name
                ),
            });
        }
        if held < named {
            return refused(format!("the condition does not hold: {text}"));
        }
        Ok(())
    }
}

impl Inner {
    /// The rows of a batch whose key has no row yet; those of `seen` count as there.
    fn absent(
        &self,
        staged: Staged,
        existing: Existing,
        seen: &mut HashSet<Vec<u8>>,
    ) -> Result<Staged> {
        if existing == Existing::Merge {
            return Ok(staged);
        }
        let arrays: Vec<_> = staged
            .schema
            .key_columns()
            .filter_map(|key| {
                let column = staged.columns.iter().find(|column| column.id == key.id)?;
                Some((column.array.clone(), key.descending))
            })
            .collect();
        let keys = encode_keys(&arrays)?;
        let snapshot = self.store.snapshot(staged.schema.id)?;
        let now_ms = self.wall_ms();
        let mut fresh = Vec::with_capacity(staged.rows);
        for (row, key) in keys.iter().enumerate() {
            let there = !seen.insert(key.to_vec()) || snapshot.get(key, &[], now_ms)?.is_some();
            if there && existing == Existing::Fail {
                let values = arrays
                    .iter()
                    .map(|(array, _)| array_value_to_string(array, row));
                let values: Vec<String> = values.collect::<Result<_, _>>()?;
                return Err(Error::conflict(format!(
                    "a row of {} with the key ({}) exists",
                    staged.schema.name,
                    values.join(", ")
                ))
                .with_hint("nothing was written; leave IF NOT EXISTS out to write over it"));
            }
            fresh.push(!there);
        }
        let rows = fresh.iter().filter(|fresh| **fresh).count();
        if rows == staged.rows {
            return Ok(staged);
        }
        let fresh = BooleanArray::from(fresh);
        let columns = staged
            .columns
            .iter()
            .map(|column| {
                let set = column.set.as_ref().map(|set| {
                    let kept = filter(&BooleanArray::new(set.clone(), None), &fresh)?;
                    Ok::<_, Error>(arrow::array::AsArray::as_boolean(&kept).values().clone())
                });
                Ok(BatchColumn {
                    id: column.id,
                    array: filter(&column.array, &fresh)?,
                    set: set.transpose()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Staged {
            rows,
            columns,
            ..staged
        })
    }
}

/// The table that a statement writes to and how it passes the gate.
fn way(statement: &Statement) -> Result<(&TableName, Way)> {
    let (table, conditional) = match statement {
        Statement::Insert(insert) => (&insert.table, insert.existing != Existing::Merge),
        Statement::Update(update) => (&update.table, update.condition.is_some()),
        Statement::Delete(delete) => (&delete.table, delete.condition.is_some()),
        _ => return Err(Error::internal("a statement that writes no rows")),
    };
    let way = if conditional {
        Way::Alone
    } else {
        Way::Together
    };
    Ok((table, way))
}

fn too_many() -> Error {
    Error::invalid(format!(
        "statements that are written as one touch more than {ROWS_MAX} rows"
    ))
    .with_hint("cut them into several batches, or leave the batch and the conditions out")
}
