//! What the node lends to plugins that were granted it: its clock, random bytes, rows of its tables.

use std::sync::{Arc, Weak};

use activestore_plugin_host::{Services, TableReader};
use activestore_types::{Column, DataType, Error, Result, TableName, TableSchema, encode_keys};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, concat, filter, take};

use crate::tables::Relations;

/// The database as plugins may reach it.
pub(crate) fn services(relations: &Arc<Relations>) -> Services {
    let env = relations.env.clone();
    let (clock, weak) = (env.clock, Arc::downgrade(relations));
    Services {
        now_ns: Box::new(move || match weak.upgrade() {
            Some(relations) => ms_to_ns(relations.wall_ms()),
            None => clock.wall_ns(),
        }),
        random: Box::new(move |bytes| env.rng.fill(bytes)),
        tables: Arc::new(Lent(Arc::downgrade(relations))),
    }
}

/// Milliseconds since 1970 as nanoseconds.
pub(crate) fn ms_to_ns(ms: u64) -> i64 {
    i64::try_from(ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
}

/// Holds on to nothing: the database holds its plugins.
struct Lent(Weak<Relations>);

impl Lent {
    fn relations(&self) -> Result<Arc<Relations>> {
        self.0
            .upgrade()
            .ok_or_else(|| Error::closed("the node is shutting down"))
    }
}

fn schema(relations: &Relations, table: &str) -> Result<Arc<TableSchema>> {
    let name: TableName = table.parse()?;
    relations.catalog.state().table(&name).cloned()
}

fn column<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a Column> {
    schema
        .column(name)
        .ok_or_else(|| Error::not_found(format!("table {} has no column '{name}'", schema.name)))
}

impl TableReader for Lent {
    fn key(&self, table: &str) -> Result<Vec<DataType>> {
        let relations = self.relations()?;
        let schema = schema(&relations, table)?;
        Ok(schema
            .key_columns()
            .filter_map(|key| schema.column_by_id(key.id))
            .map(|column| column.data_type)
            .collect())
    }

    fn get(&self, table: &str, keys: &[ArrayRef], columns: &[String]) -> Result<Vec<ArrayRef>> {
        let relations = self.relations()?;
        let schema = schema(&relations, table)?;
        let wanted = columns
            .iter()
            .map(|name| column(&schema, name))
            .collect::<Result<Vec<_>>>()?;
        let ids: Vec<_> = wanted.iter().map(|column| column.id).collect();
        let rows = keys.first().map_or(0, |array| array.len());
        // No row has a key with a null in it.
        let nulls = keys.iter().fold(None, |nulls, array| {
            NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref())
        });
        let whole = nulls.map(|nulls| BooleanArray::new(nulls.into_inner(), None));
        let parts = schema
            .key_columns()
            .zip(keys)
            .filter_map(|(key, array)| Some((key, schema.column_by_id(key.id)?, array)))
            .map(|(key, column, array)| {
                let array = match &whole {
                    Some(whole) => filter(array, whole)?,
                    None => array.clone(),
                };
                Ok((cast(&array, &column.data_type.arrow())?, key.descending))
            })
            .collect::<Result<Vec<_>>>()?;
        let keys = encode_keys(&parts)?;
        let mut keys = keys.iter();
        let snapshot = relations.store.snapshot(schema.id)?;
        let now_ms = relations.wall_ms();
        // The rows that are found, behind one of nulls for those that are not.
        let mut found: Vec<Vec<ArrayRef>> = wanted
            .iter()
            .map(|column| vec![new_null_array(&column.data_type.arrow(), 1)])
            .collect();
        let mut places: Vec<u32> = vec![0; rows];
        let mut count = 0;
        for (row, place) in places.iter_mut().enumerate() {
            if whole.as_ref().is_some_and(|whole| !whole.value(row)) {
                continue;
            }
            let Some(key) = keys.next() else { break };
            if let Some(batch) = snapshot.get(key, &ids, now_ms)? {
                for (found, array) in found.iter_mut().zip(batch.columns()) {
                    found.push(array.clone());
                }
                count += 1;
                *place = count;
            }
        }
        let places = UInt32Array::from(places);
        found
            .iter()
            .map(|parts| {
                let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
                Ok(take(&concat(&parts)?, &places, None)?)
            })
            .collect()
    }
}
