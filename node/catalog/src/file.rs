//! The catalog's file: one redb table, one entry per definition, one transaction per change.
//! A reader never waits for a writer.
//!
//! Entries: `format` → version of this layout, `meta` → counters, and `keyspace/…`, `table/…`,
//! `function/…`, `processor/…`, `model/…`, `plugin/…`, `merge/…`, `filter/…`, `sharing/…`, `class/…`,
//! `keeping/…`, `conflicts/…`, `at-limit/…`, `rollout/…`, `view/…`, `joined/…`, `role/…` → the definition in postcard. In an encrypted
//! directory all but `format` pass through [`EntrySealer`].

mod entries;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use activestore_env::Keyring;
use activestore_types::{Error, ErrorKind, Result, TableId, TableSchema};
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use entries::entries;

use crate::apply::apply;
use crate::change::Change;
use crate::definition::ModelDef;
use crate::plugin::PluginDef;
use crate::seal::EntrySealer;
use crate::state::CatalogState;

const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("catalog");
/// Raised when the layout of the entries changes.
const FORMAT: u8 = 1;
/// Follows it in the entry of an encrypted catalog.
const SEALED: u8 = 1;

/// The definitions of one node, durable. Shared between threads.
pub struct Catalog {
    database: Database,
    sealer: EntrySealer,
    state: RwLock<Arc<CatalogState>>,
    writer: Mutex<()>,
}

impl Catalog {
    /// Opens the plain file at `path`, made with its folder where it is missing.
    ///
    /// # Errors
    /// As [`Catalog::open_with`].
    pub fn open(path: &Path) -> Result<Catalog> {
        Catalog::open_with(path, None)
    }

    /// Opens the file at `path`, encrypted with the keys if there are any; made with its folder
    /// where it is missing.
    ///
    /// # Errors
    /// `Denied` when it is encrypted and there are no keys, `Conflict` the other way round and when
    /// another process holds it, `Corrupt` when it is not what was written,
    /// `Invalid` when a newer release wrote it, and what the disk says.
    pub fn open_with(path: &Path, keyring: Option<&Arc<Keyring>>) -> Result<Catalog> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::from(error).context(folder.display()))?;
        }
        let database = Database::create(path)
            .map_err(|error| storage(error.into()).context(path.display()))?;
        Catalog::load(database, EntrySealer::new(keyring))
            .map_err(|error| error.context(path.display()))
    }

    /// A catalog in memory, gone when it is dropped.
    ///
    /// # Errors
    /// None in practice.
    pub fn in_memory() -> Result<Catalog> {
        let database = Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .map_err(|error| storage(error.into()))?;
        Catalog::load(database, EntrySealer::new(None))
    }

    /// The newest state. Cheap; holds still while others change the catalog.
    pub fn state(&self) -> Arc<CatalogState> {
        self.state.read().clone()
    }

    /// Checks a change against the newest state, makes it durable and publishes it. Returns the
    /// state that holds it; a change that changes nothing writes nothing.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Conflict` or `Denied` by the statement, or what the disk says; the
    /// state is then as before.
    pub fn apply(&self, change: Change) -> Result<Arc<CatalogState>> {
        let is_foreign = matches!(change, Change::AdoptBundle(_));
        self.made(change, is_foreign)
    }

    /// As [`Catalog::apply`], of a table or a column that rows of another node need. They are not refused for what the
    /// sinks of this one do with the table.
    ///
    /// # Errors
    /// As [`Catalog::apply`].
    pub fn apply_for_others(&self, change: Change) -> Result<Arc<CatalogState>> {
        self.made(change, true)
    }

    fn made(&self, change: Change, is_foreign: bool) -> Result<Arc<CatalogState>> {
        let _writer = self.writer.lock();
        let before = self.state();
        let next = apply(&before, change, is_foreign)?;
        if next == *before {
            return Ok(before);
        }
        self.write(&entries(&before)?, &entries(&next)?)?;
        let next = Arc::new(next);
        *self.state.write() = next.clone();
        Ok(next)
    }

    /// The state that a change would make of the newest one; nothing is changed.
    ///
    /// # Errors
    /// As [`Catalog::apply`], but for the disk's.
    pub fn preview(&self, change: Change) -> Result<CatalogState> {
        apply(&self.state(), change, false)
    }

    /// Writes the newest state to a new file, which must not exist; durable on return. It is
    /// encrypted where this one is.
    ///
    /// # Errors
    /// What the disk says.
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let database = Database::create(path)
            .map_err(|error| storage(error.into()).context(path.display()))?;
        let copy = Catalog::load(database, self.sealer.clone())?;
        copy.write(&BTreeMap::new(), &entries(&self.state())?)
            .map_err(|error| error.context(path.display()))
    }

    fn load(database: Database, sealer: EntrySealer) -> Result<Catalog> {
        let stored = read(&database)?;
        let state = match (stored.get("format").map(Vec::as_slice), sealer.is_on()) {
            (None, _) if stored.is_empty() => CatalogState::default(),
            (Some([FORMAT]), false) | (Some([FORMAT, SEALED]), true) => {
                decode(&opened(&sealer, &stored)?)?
            }
            (Some([FORMAT]), true) => {
                return Err(Error::conflict(
                    "a key was given, but the catalog is not encrypted",
                ));
            }
            (Some([FORMAT, SEALED]), false) => {
                return Err(Error::denied(
                    "the catalog is encrypted, and no key was given",
                ));
            }
            (Some([format, ..]), _) if *format > FORMAT => {
                return Err(Error::invalid(format!(
                    "the catalog has format {format}, this program knows up to {FORMAT}"
                ))
                .with_hint("start the release that wrote it, or a newer one"));
            }
            _ => return Err(Error::corrupt("the catalog's format entry is damaged")),
        };
        Ok(Catalog {
            database,
            sealer,
            state: RwLock::new(Arc::new(state)),
            writer: Mutex::new(()),
        })
    }

    fn write(
        &self,
        before: &BTreeMap<String, Vec<u8>>,
        after: &BTreeMap<String, Vec<u8>>,
    ) -> Result<()> {
        let transaction = self
            .database
            .begin_write()
            .map_err(|error| storage(error.into()))?;
        {
            let mut table = transaction
                .open_table(ENTRIES)
                .map_err(|error| storage(error.into()))?;
            let failed = |error: redb::StorageError| storage(error.into());
            let format: &[u8] = if self.sealer.is_on() {
                &[FORMAT, SEALED]
            } else {
                &[FORMAT]
            };
            table.insert("format", format).map_err(failed)?;
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                let stored_name = self.sealer.name(name)?;
                table.remove(stored_name.as_str()).map_err(failed)?;
            }
            for (name, value) in after {
                // On a fresh file nothing of the initial state is stored yet, so unchanged entries
                // are looked up in the file rather than in the state before.
                let stored_name = self.sealer.name(name)?;
                let same = match table.get(stored_name.as_str()).map_err(failed)? {
                    Some(stored) => self.sealer.open(&stored_name, stored.value())?.1 == *value,
                    None => false,
                };
                if !same {
                    let value = self.sealer.seal(&stored_name, name, value)?;
                    table
                        .insert(stored_name.as_str(), value.as_slice())
                        .map_err(failed)?;
                }
            }
        }
        transaction.commit().map_err(|error| storage(error.into()))
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalog at version {}", self.state().version)
    }
}

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u64,
    next_table: TableId,
    disagreements: Vec<String>,
}

/// The entries beside `format`, by their own names.
fn opened(
    sealer: &EntrySealer,
    stored: &BTreeMap<String, Vec<u8>>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    stored
        .iter()
        .filter(|(name, _)| *name != "format")
        .map(|(name, value)| sealer.open(name, value))
        .collect()
}

fn decode(stored: &BTreeMap<String, Vec<u8>>) -> Result<CatalogState> {
    let mut state = CatalogState {
        keyspaces: BTreeMap::new(),
        ..CatalogState::default()
    };
    for (entry, bytes) in stored {
        match entry.split_once('/') {
            None if entry == "meta" => {
                let meta: Meta = value(entry, bytes)?;
                state.version = meta.version;
                state.next_table = meta.next_table;
                state.disagreements = meta.disagreements;
            }
            Some(("keyspace", name)) => {
                state
                    .keyspaces
                    .insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("table", _)) => {
                let table: TableSchema = value(entry, bytes)?;
                table.validate().map_err(|error| {
                    Error::new(ErrorKind::Corrupt, error.message()).context(entry)
                })?;
                state.tables.insert(table.name.clone(), Arc::new(table));
            }
            Some(("function", name)) => {
                state
                    .functions
                    .insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("processor", name)) => {
                state
                    .processors
                    .insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("model", name)) => {
                state.models.insert(name.to_owned(), model(entry, bytes)?);
            }
            Some(("plugin", name)) => {
                state.plugins.insert(name.to_owned(), plugin(entry, bytes)?);
            }
            Some(("merge", name)) => {
                state.merges.insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("filter", name)) => {
                state.filters.insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("sharing", table)) => {
                state.sharing.insert(table.parse()?, value(entry, bytes)?);
            }
            Some(("class", table)) => {
                state.classes.insert(table.parse()?, value(entry, bytes)?);
            }
            Some(("keeping", table)) => {
                state.keeping.insert(table.parse()?, value(entry, bytes)?);
            }
            Some(("conflicts", table)) => {
                state.keep_conflicts.insert(table.parse()?);
            }
            Some(("at-limit", table)) => {
                state.at_limit.insert(table.parse()?, value(entry, bytes)?);
            }
            Some(("rollout", name)) => {
                state.rollouts.insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("view", table)) => {
                state.views.insert(table.parse()?, value(entry, bytes)?);
            }
            Some(("joined", view)) => {
                state.joined.insert(view.parse()?, value(entry, bytes)?);
            }
            Some(("sink", name)) => {
                state.sinks.insert(name.to_owned(), value(entry, bytes)?);
            }
            Some(("role", name)) => {
                state.roles.insert(name.to_owned(), value(entry, bytes)?);
            }
            _ => {
                return Err(Error::corrupt(format!(
                    "the catalog holds an entry '{entry}' of an unknown kind"
                )));
            }
        }
    }
    Ok(state)
}

/// A plugin's entry; one that was written before there were grants ends where they begin.
fn plugin(entry: &str, bytes: &[u8]) -> Result<PluginDef> {
    value(entry, bytes).or_else(|error| {
        let none = postcard::to_stdvec(&Vec::<String>::new()).unwrap_or_default();
        value(entry, &[bytes, &none].concat()).map_err(|_| error)
    })
}

/// A model's entry; one that was written before there were versions ends where they begin.
pub(crate) fn model(entry: &str, bytes: &[u8]) -> Result<ModelDef> {
    value(entry, bytes).or_else(|error| {
        let first = postcard::to_stdvec(&1_u64).unwrap_or_default();
        value(entry, &[bytes, &first].concat()).map_err(|_| error)
    })
}

fn value<T: DeserializeOwned>(entry: &str, bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes)
        .map_err(|error| Error::corrupt(format!("catalog entry '{entry}' cannot be read: {error}")))
}

fn read(database: &Database) -> Result<BTreeMap<String, Vec<u8>>> {
    let transaction = database
        .begin_read()
        .map_err(|error| storage(error.into()))?;
    let table = match transaction.open_table(ENTRIES) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(storage(error.into())),
    };
    let mut stored = BTreeMap::new();
    for entry in table.iter().map_err(|error| storage(error.into()))? {
        let (name, bytes) = entry.map_err(|error| storage(error.into()))?;
        stored.insert(name.value().to_owned(), bytes.value().to_vec());
    }
    Ok(stored)
}

fn storage(error: redb::Error) -> Error {
    match error {
        redb::Error::DatabaseAlreadyOpen => {
            Error::conflict("the catalog is held by another process")
                .with_hint("stop the node that runs on this data directory")
        }
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Error::corrupt(format!("this is not a catalog file: {error}"))
        }
        redb::Error::Io(error) => error.into(),
        redb::Error::Corrupted(what) => Error::corrupt(format!("the catalog is damaged: {what}")),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => Error::new(
            ErrorKind::Poisoned,
            "the catalog's file failed earlier and takes no more changes",
        )
        .with_hint("start the node again"),
        other => Error::internal(format!("the catalog's file: {other}")),
    }
}
