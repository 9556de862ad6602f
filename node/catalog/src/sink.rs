//! Sinks: what is written to a table, sent on to a web hook or an MQTT broker as it comes.
//!
//! A sink runs where it was made and reaches what that node reaches, so its definition does not travel.

mod address;
mod options;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use activestore_types::{Error, Result, TableName};
use serde::{Deserialize, Serialize};

pub use address::SinkAddress;
pub use options::{OnBehind, SinkOptions};
pub(crate) use refused::check_after;

use crate::apply::{exists, remove};
use crate::names::check_identifier;
use crate::state::{CatalogState, missing};

/// Sinks that one node runs: each has a thread of its own.
pub const MAX_SINKS: usize = 32;

/// A sink.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkDef {
    /// Its name.
    pub name: String,
    /// Drawn when it was made: another sink of the same name later has another one, and begins anew.
    pub id: [u8; 16],
    /// The query, as written.
    pub query: String,
    /// The table whose rows it is about.
    pub base: TableName,
    /// Where to, as written. It may hold a secret, as many hooks have one in their path.
    pub address: String,
    /// Its options as given, secrets among them.
    pub options: BTreeMap<String, String>,
    /// Whether nothing is sent for now.
    pub paused: bool,
}

impl SinkDef {
    /// What its address and its options say.
    ///
    /// # Errors
    /// `Invalid` for what does not fit.
    pub fn parsed(&self) -> Result<(SinkAddress, SinkOptions)> {
        let address = SinkAddress::parse(&self.address)?;
        let options = SinkOptions::parse(&self.options, &address)?;
        Ok((address, options))
    }
}

impl fmt::Debug for SinkDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the address nor the options: both hold secrets.
        f.debug_struct("SinkDef")
            .field("name", &self.name)
            .field("query", &self.query)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

/// What happens to sinks.
#[derive(Clone, PartialEq)]
pub enum SinkChange {
    /// `CREATE SINK`.
    Create {
        /// The sink.
        def: SinkDef,
        /// No error when it exists.
        if_not_exists: bool,
    },
    /// `ALTER SINK … SET (…) | RESET (…)`: what is not named stays as it is.
    Alter {
        /// The sink.
        name: String,
        /// Options that are set.
        set: BTreeMap<String, String>,
        /// Options that are set no more.
        reset: BTreeSet<String>,
    },
    /// `ALTER SINK … PAUSE | RESUME`.
    Pause {
        /// The sink.
        name: String,
        /// Whether it is paused from now on.
        paused: bool,
    },
    /// `DROP SINK`.
    Drop {
        /// The sink.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
}

impl fmt::Debug for SinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match self {
            SinkChange::Create { def, .. } => ("Create", &def.name),
            SinkChange::Alter { name, .. } => ("Alter", name),
            SinkChange::Pause { name, .. } => ("Pause", name),
            SinkChange::Drop { name, .. } => ("Drop", name),
        };
        f.debug_tuple(what).field(name).finish()
    }
}

impl CatalogState {
    /// The sink with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn sink(&self, name: &str) -> Result<&SinkDef> {
        self.sinks
            .get(name)
            .ok_or_else(|| missing("sink", name, self.sinks.keys().map(String::as_str)))
    }
}

pub(crate) fn change(state: &mut CatalogState, change: SinkChange) -> Result<()> {
    match change {
        SinkChange::Create { def, if_not_exists } => create(state, def, if_not_exists),
        SinkChange::Alter { name, set, reset } => {
            let mut def = state.sink(&name)?.clone();
            let names_table = set.contains_key("refused_into");
            for option in reset {
                if def.options.remove(&option).is_none() {
                    return Err(Error::not_found(format!(
                        "the option '{option}' of sink '{name}' is not set"
                    )));
                }
            }
            def.options.extend(set);
            def.parsed()?;
            // One that earlier releases took keeps nobody from changing a secret.
            if names_table {
                state.check_refused_into(&def)?;
            }
            state.sinks.insert(name, def);
            Ok(())
        }
        SinkChange::Pause { name, paused } => {
            let mut def = state.sink(&name)?.clone();
            def.paused = paused;
            state.sinks.insert(name, def);
            Ok(())
        }
        SinkChange::Drop { name, if_exists } => remove("sink", &mut state.sinks, &name, if_exists),
    }
}

fn create(state: &mut CatalogState, def: SinkDef, if_not_exists: bool) -> Result<()> {
    check_identifier("sink", &def.name)?;
    if state.sinks.contains_key(&def.name) {
        return if if_not_exists {
            Ok(())
        } else {
            Err(exists("sink", &def.name))
        };
    }
    state.table(&def.base)?;
    state.check_refused_into(&def)?;
    if state.sinks.len() >= MAX_SINKS {
        return Err(
            Error::invalid(format!("a node runs at most {MAX_SINKS} sinks"))
                .with_hint("drop one that nobody needs: SHOW SINKS lists them"),
        );
    }
    state.sinks.insert(def.name.clone(), def);
    Ok(())
}

/// Refuses to drop a table that sinks read.
pub(crate) fn check_drop(state: &CatalogState, table: &TableName) -> Result<()> {
    let mut readers = state.sinks.values().filter(|sink| sink.base == *table);
    match readers.next() {
        None => Ok(()),
        Some(sink) => Err(Error::conflict(format!(
            "sink '{}' sends on what is written to {table}",
            sink.name
        ))
        .with_hint(format!("drop it first: DROP SINK {}", sink.name))),
    }
}
