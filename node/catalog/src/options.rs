//! The options of keyspaces and tables: `WITH (flexible = true, ttl = '30d', sync = 'up')`.
//! An unknown option is an error that names the nearest known one.

use std::collections::BTreeMap;

use activestore_types::{CompactionMode, Error, Result, SyncMode};
use serde::{Deserialize, Serialize};

use crate::conflicts;
use crate::duration::parse_duration;
use crate::keeping::KeepingOptions;
use crate::names::nearest;
use crate::sharing::SharingOptions;

/// What `CREATE KEYSPACE … WITH` may say; tables inherit it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceOptions {
    /// How long rows live, in seconds; 0 means for ever; `None` leaves it as it is.
    pub ttl_s: Option<u64>,
    /// Which way rows travel; `None` leaves it as it is.
    pub sync: Option<SyncMode>,
}

/// What `CREATE TABLE … WITH` and `ALTER TABLE … SET` may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOptions {
    /// Whether writes may add columns; `None` leaves it as it is (false for a new table).
    pub flexible: Option<bool>,
    /// How long rows live, in seconds; 0 means for ever; `None` leaves it as it is (a new table
    /// takes its keyspace's).
    pub ttl_s: Option<u64>,
    /// Which way rows travel; `None` leaves it as it is (a new table takes its keyspace's).
    pub sync: Option<SyncMode>,
    /// How files are merged; `None` leaves it as it is (automatic for a new table).
    pub compaction: Option<CompactionMode>,
    /// How its rows are shared with other nodes.
    pub sharing: SharingOptions,
    /// How long edges keep its rows.
    pub keeping: KeepingOptions,
    /// Whether the values are kept that lose a conflict. A bundle has it beside its tables.
    #[serde(skip)]
    pub keep_conflicts: Option<bool>,
}

impl KeyspaceOptions {
    /// Reads the options by name: `ttl`, `sync`.
    ///
    /// # Errors
    /// `Invalid` for an unknown name or a value that does not fit.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = KeyspaceOptions::default();
        for (name, value) in options {
            match name.as_str() {
                "ttl" => parsed.ttl_s = Some(ttl(value)?),
                "sync" => parsed.sync = Some(sync(value)?),
                _ => return Err(unknown(name, "keyspace", &["ttl", "sync"])),
            }
        }
        Ok(parsed)
    }
}

impl TableOptions {
    /// Reads the options by name: `flexible`, `ttl`, `sync`, `compaction`, `sync_class`, `sync_where`,
    /// `sync_columns`, `sync_filter`, `sync_at_limit`, `sync_at_limit_filter`, `keep_conflicts`, `merge_` with a column's
    /// name, `keep_local` and `evict_after_receipt`.
    ///
    /// # Errors
    /// `Invalid` for an unknown name or a value that does not fit.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = TableOptions::default();
        for (name, value) in options {
            match name.as_str() {
                "flexible" => parsed.flexible = Some(boolean("flexible", value)?),
                "ttl" => parsed.ttl_s = Some(ttl(value)?),
                "sync" => parsed.sync = Some(sync(value)?),
                "compaction" => parsed.compaction = Some(value.to_ascii_lowercase().parse()?),
                conflicts::NAME => parsed.keep_conflicts = Some(boolean(name, value)?),
                _ if parsed.sharing.take(name, value)? => {}
                _ if parsed.keeping.take(name, value)? => {}
                _ => {
                    let mut known = vec!["flexible", "ttl", "sync", "compaction"];
                    known.push(conflicts::NAME);
                    known.extend(SharingOptions::NAMES);
                    known.extend(KeepingOptions::NAMES);
                    return Err(unknown(name, "table", &known));
                }
            }
        }
        Ok(parsed)
    }
}

fn unknown(name: &str, what: &str, known: &[&'static str]) -> Error {
    let error = Error::invalid(format!("a {what} has no option '{name}'"));
    match nearest(name, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint(format!("its options are {}", known.join(", "))),
    }
}

fn ttl(value: &str) -> Result<u64> {
    if value.eq_ignore_ascii_case("none") {
        return Ok(0);
    }
    let duration = parse_duration(value).map_err(|error| error.context("option ttl"))?;
    if duration.as_secs() == 0 && !duration.is_zero() {
        return Err(
            Error::invalid(format!("option ttl: '{value}' is shorter than a second"))
                .with_hint("rows live whole seconds; 'none' means for ever"),
        );
    }
    Ok(duration.as_secs())
}

fn sync(value: &str) -> Result<SyncMode> {
    value.to_ascii_lowercase().parse()
}

pub(crate) fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(Error::invalid(format!(
            "option {name}: '{value}' is neither true nor false"
        ))),
    }
}
