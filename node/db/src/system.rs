//! The keyspace `system`: what the node knows of itself, as tables. Each is made when it is asked
//! for and holds no more than the definitions and counters it shows.

mod at_limit;
mod clouds;
mod conflicts;
mod events;
mod files;
mod kept;
mod lags;
mod peers;
mod plugins;
mod receipts;
mod rejected;
mod roles;
mod rollouts;
mod sharing;
mod slow;
mod views;

use std::collections::HashMap;
use std::sync::Arc;

use activestore_store::OwnState;
use activestore_types::Result;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use crate::compaction::compactions;
use crate::tables::Relations;

/// The tables of the keyspace.
pub(crate) const NAMES: &[&str] = &[
    "columns",
    "compactions",
    "conflicts",
    "edge_plugins",
    "filters",
    "functions",
    "grants",
    "merge_functions",
    "models",
    "outgoing",
    "partition_keys",
    "plugins",
    "processors",
    "rejected_writes",
    "roles",
    "rollouts",
    "settings",
    "shared_tables",
    "sinks",
    "slow_queries",
    "sstables",
    "sync_clouds",
    "sync_events",
    "sync_peers",
    "sync_receipts",
    "sync_tables",
    "tables",
    "tokens",
    "views",
];

/// The table with this name as it is now.
pub(crate) fn table(relations: &Relations, name: &str) -> Result<Option<RecordBatch>> {
    Ok(Some(match name {
        "columns" => columns(relations)?,
        "compactions" => compactions(relations)?,
        "conflicts" => conflicts::conflicts(relations)?,
        "edge_plugins" => rollouts::edge_plugins(relations)?,
        "filters" => sharing::filters(relations)?,
        "functions" => plugins::functions(relations)?,
        "grants" => roles::grants(relations)?,
        "merge_functions" => sharing::merge_functions(relations)?,
        "models" => plugins::models(relations)?,
        "partition_keys" => partition_keys(relations)?,
        "plugins" => plugins::plugins(relations)?,
        "processors" => plugins::processors(relations)?,
        "outgoing" => crate::outgoing::outgoing(relations)?,
        "rejected_writes" => rejected::rejected_writes(relations)?,
        "roles" => roles::roles(relations)?,
        "rollouts" => rollouts::rollouts(relations)?,
        "settings" => settings(relations)?,
        "shared_tables" => sharing::shared_tables(relations)?,
        "sinks" => crate::sinks::sinks(relations)?,
        "slow_queries" => slow::slow_queries(relations)?,
        "sstables" => files::sstables(relations)?,
        "sync_clouds" => clouds::sync_clouds(relations)?,
        "sync_events" => events::sync_events(relations)?,
        "sync_peers" => peers::sync_peers(relations)?,
        "sync_receipts" => receipts::sync_receipts(relations)?,
        "sync_tables" => lags::sync_tables(relations)?,
        "tables" => tables(relations)?,
        "tokens" => roles::tokens(relations)?,
        "views" => views::views(relations)?,
        _ => return Ok(None),
    }))
}

pub(crate) fn text<T: Into<String>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(
        values.into_iter().map(Into::into),
    ))
}

pub(crate) fn optional(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub(crate) fn count(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(
        values
            .into_iter()
            .map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
    ))
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )?)
}

fn tables(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for table in state.tables.values() {
        if let Some(snapshot) = relations.snapshot_of(table)? {
            all.push(table);
            rows.push(snapshot.row_count_estimate());
        }
    }
    let name = |table: &activestore_types::TableSchema, id| {
        table
            .column_by_id(id)
            .map_or_else(String::new, |column| column.name.clone())
    };
    let mut columns = vec![
        (
            "keyspace",
            text(all.iter().map(|t| t.name.keyspace.as_str())),
        ),
        ("name", text(all.iter().map(|t| t.name.table.as_str()))),
        ("id", count(all.iter().map(|t| u64::from(t.id.0)))),
        (
            "partition_key",
            text(all.iter().map(|t| {
                let names: Vec<_> = t.partition_key.iter().map(|id| name(t, *id)).collect();
                names.join(", ")
            })),
        ),
        (
            "clustering_key",
            text(all.iter().map(|t| {
                let names: Vec<_> = t
                    .clustering_key
                    .iter()
                    .map(|key| {
                        let direction = if key.descending { " DESC" } else { "" };
                        format!("{}{direction}", name(t, key.id))
                    })
                    .collect();
                names.join(", ")
            })),
        ),
        (
            "flexible",
            Arc::new(BooleanArray::from_iter(
                all.iter().map(|t| Some(t.flexible)),
            )),
        ),
        (
            "ttl_s",
            Arc::new(
                all.iter()
                    .map(|t| t.ttl_s.and_then(|ttl_s| i64::try_from(ttl_s).ok()))
                    .collect::<Int64Array>(),
            ),
        ),
        ("sync", text(all.iter().map(|t| t.sync.name()))),
        (
            "sync_class",
            text(all.iter().map(|t| state.class(&t.name).name())),
        ),
        ("compaction", text(all.iter().map(|t| t.compaction.name()))),
        ("columns", count(all.iter().map(|t| t.columns.len() as u64))),
        ("row_fragments", count(rows)),
        ("version", count(all.iter().map(|t| u64::from(t.version)))),
    ];
    columns.extend(kept::columns(relations, &state, &all));
    columns.extend(at_limit::columns(relations, &state, &all));
    batch(columns)
}

fn columns(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let all: Vec<_> = state
        .tables
        .values()
        .flat_map(|table| {
            (1_u64..)
                .zip(&table.columns)
                .map(move |(position, column)| (table, position, column))
        })
        .collect();
    batch(vec![
        (
            "keyspace",
            text(all.iter().map(|(t, ..)| t.name.keyspace.as_str())),
        ),
        (
            "table",
            text(all.iter().map(|(t, ..)| t.name.table.as_str())),
        ),
        ("name", text(all.iter().map(|(_, _, c)| c.name.as_str()))),
        (
            "type",
            text(all.iter().map(|(_, _, c)| c.data_type.to_string())),
        ),
        (
            "position",
            count(all.iter().map(|(_, position, _)| *position)),
        ),
        (
            "kind",
            text(all.iter().map(|(t, _, c)| {
                if t.partition_key.contains(&c.id) {
                    "partition_key"
                } else if t.is_key(c.id) {
                    "clustering_key"
                } else {
                    "regular"
                }
            })),
        ),
    ])
}

fn settings(relations: &Relations) -> Result<RecordBatch> {
    let options = &relations.options;
    let all = [
        ("node.id", relations.node.to_string()),
        ("node.name", options.name.clone()),
        ("node.role", options.role.name().to_owned()),
        ("node.data_dir", options.data_dir.display().to_string()),
        ("limits.memory_bytes", options.memory_bytes.to_string()),
        (
            "limits.disk_bytes",
            options
                .disk_bytes_max
                .map_or_else(|| "none".to_owned(), |bytes| bytes.to_string()),
        ),
        (
            "limits.query_memory_bytes",
            options.query_memory_bytes.to_string(),
        ),
        (
            "limits.query_memory_each_bytes",
            options
                .query_memory_each_bytes
                .map_or_else(|| "all".to_owned(), |bytes| bytes.to_string()),
        ),
        (
            "limits.query_time_ms",
            options
                .query_time
                .map_or_else(|| "none".to_owned(), |time| time.as_millis().to_string()),
        ),
        (
            "storage.copy_dir",
            options
                .copy_dir
                .as_ref()
                .map_or_else(|| "none".to_owned(), |dir| dir.display().to_string()),
        ),
        (
            "plugins.memory_bytes",
            options.plugin_memory_bytes.to_string(),
        ),
        (
            "plugins.deadline_ms",
            options.plugin_deadline.as_millis().to_string(),
        ),
        (
            "storage.wal_sync",
            format!("{:?}", options.wal_sync).to_lowercase(),
        ),
        (
            "sync.seal_after_ms",
            options.seal_after.as_millis().to_string(),
        ),
        (
            "sync.max_offline_ms",
            options.down_keep.as_millis().to_string(),
        ),
        ("sync.down_bytes", options.down_keep_bytes.to_string()),
        (
            "sync.outbox_bytes",
            options
                .outbox_bytes_max
                .map_or_else(|| "none".to_owned(), |bytes| bytes.to_string()),
        ),
    ];
    batch(vec![
        ("name", text(all.iter().map(|(name, _)| *name))),
        ("value", text(all.iter().map(|(_, value)| value.as_str()))),
    ])
}

/// The partitions that have data keys of their own.
fn partition_keys(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let mut files: HashMap<u32, (u64, u64)> = HashMap::new();
    for table in relations.store.table_stats() {
        for group in table.groups {
            if let Some(key) = group.own_key {
                let (count, bytes) = files.entry(key).or_default();
                *count += group.files;
                *bytes += group.bytes;
            }
        }
    }
    let all: Vec<_> = state
        .tables
        .values()
        .flat_map(|table| {
            let own = relations.store.own_keys(table.id).into_iter();
            own.map(move |own| (table, own.state))
        })
        .collect();
    let of = |own: &OwnState| files.get(&own.key).copied().unwrap_or_default();
    batch(vec![
        (
            "keyspace",
            text(all.iter().map(|(t, _)| t.name.keyspace.as_str())),
        ),
        (
            "table",
            text(all.iter().map(|(t, _)| t.name.table.as_str())),
        ),
        (
            "partition",
            text(all.iter().map(|(_, own)| own.name.as_str())),
        ),
        (
            "state",
            text(all.iter().map(|(_, own)| match own {
                own if !own.whole => "sealing",
                own if !own.past.is_empty() => "erasing",
                _ => "sealed",
            })),
        ),
        (
            "key",
            text(all.iter().map(|(_, own)| format!("{:08x}", own.key))),
        ),
        ("files", count(all.iter().map(|(_, own)| of(own).0))),
        ("bytes", count(all.iter().map(|(_, own)| of(own).1))),
        (
            "sealed_at",
            Arc::new(TimestampNanosecondArray::from_iter_values(all.iter().map(
                |(_, own)| {
                    i64::try_from(own.made_ms)
                        .unwrap_or(0)
                        .saturating_mul(1_000_000)
                },
            ))),
        ),
    ])
}
