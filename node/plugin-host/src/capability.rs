//! What a plugin may reach beside the columns that it is given: nothing, unless it was granted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef};
use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::abi::{GuestError, OwnedColumn, ScalarType};
use crate::column::{lift, owned};
use crate::contract;
use crate::http::{HttpHosts, HttpTarget};
use crate::instance::HostState;
use crate::plugin::ROWS_PER_CALL_MAX;

/// Bytes that one call for random bytes gives.
const RANDOM_BYTES_MAX: u32 = 65_536;
/// Columns that one read of a table may ask for.
const READ_COLUMNS_MAX: usize = 256;
/// Bytes that one read of a table may bring back.
const READ_BYTES_MAX: usize = 16 << 20;

/// What a plugin was granted. As text: `clock`, `random`, `read:KEYSPACE.TABLE`,
/// `http:HOST` and `http:HOST:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grants {
    clock: bool,
    random: bool,
    any_table: bool,
    tables: BTreeSet<String>,
    http: HttpHosts,
}

impl Grants {
    /// Reads grants, one text each.
    ///
    /// # Errors
    /// `Invalid`, naming what can be granted.
    pub fn parse<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut grants = Grants::default();
        for item in items {
            let item = item.as_ref();
            match item.split_once(':') {
                None if item == "clock" => grants.clock = true,
                None if item == "random" => grants.random = true,
                Some(("read", table)) if is_table(table) => {
                    grants.tables.insert(table.to_owned());
                }
                Some(("http", host)) if grants.http.add(host) => {}
                _ => {
                    return Err(
                        Error::invalid(format!("'{item}' cannot be granted")).with_hint(
                            "grants are clock, random, read:KEYSPACE.TABLE for each table and http:HOST or http:HOST:PORT for each host",
                        ),
                    );
                }
            }
        }
        Ok(grants)
    }

    /// Everything that can be granted, for a trial where [`Services::alone`] serves it.
    pub fn trial() -> Self {
        Grants {
            clock: true,
            random: true,
            any_table: true,
            tables: BTreeSet::new(),
            http: HttpHosts::any(),
        }
    }

    /// Whether requests may go there.
    pub fn reach(&self, target: &HttpTarget) -> bool {
        self.http.admit(target)
    }

    pub(crate) fn http(&self) -> &HttpHosts {
        &self.http
    }

    /// Each grant as its text, in order.
    pub fn items(&self) -> Vec<String> {
        let clock = self.clock.then(|| "clock".to_owned());
        let random = self.random.then(|| "random".to_owned());
        let tables = self.tables.iter().map(|table| format!("read:{table}"));
        let plain = clock.into_iter().chain(random).chain(tables);
        plain.chain(self.http.items()).collect()
    }

    /// Refuses what is wanted and not granted.
    pub(crate) fn admit(&self, wants: Wants) -> Result<()> {
        for (wanted, granted, what, grant) in [
            (wants.clock, self.clock, "the clock", "clock"),
            (wants.random, self.random, "random bytes", "random"),
            (
                wants.tables,
                self.any_table || !self.tables.is_empty(),
                "rows of tables",
                "read:KEYSPACE.TABLE",
            ),
            (
                wants.http,
                !self.http.is_empty(),
                "requests over HTTP",
                "http:HOST",
            ),
        ] {
            if wanted && !granted {
                return Err(
                    Error::denied(format!("it asks for {what}, which it was not granted"))
                        .with_hint(format!("deploy it with --grant {grant}, if you trust it")),
                );
            }
        }
        Ok(())
    }
}

fn is_table(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(keyspace, table)| !keyspace.is_empty() && !table.is_empty())
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.items().join(", "))
    }
}

/// Which of these a component imports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) clock: bool,
    pub(crate) random: bool,
    pub(crate) tables: bool,
    pub(crate) http: bool,
}

impl Wants {
    /// Whether its results depend on more than its arguments.
    pub(crate) fn any(self) -> bool {
        self.clock || self.random || self.tables || self.http
    }
}

/// The node's tables, read by whole primary keys.
pub trait TableReader: Send + Sync {
    /// The types of a table's key columns, in their order.
    ///
    /// # Errors
    /// `NotFound`.
    fn key(&self, table: &str) -> Result<Vec<DataType>>;

    /// The named columns of the rows with these keys, null where there is none.
    ///
    /// # Errors
    /// `NotFound` for a table or a column, and what the store says.
    fn get(&self, table: &str, keys: &[ArrayRef], columns: &[String]) -> Result<Vec<ArrayRef>>;
}

/// Fills a buffer with random bytes.
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// What the node lends to plugins that were granted it.
pub struct Services {
    /// Nanoseconds since 1970.
    pub now_ns: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Fills a buffer with random bytes.
    pub random: Box<Random>,
    /// Reads tables.
    pub tables: Arc<dyn TableReader>,
}

impl Services {
    /// What there is without a node: this machine's clock and its random bytes, and no table.
    pub fn alone() -> Self {
        let random = SystemRandom::new();
        Services {
            now_ns: Box::new(|| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
            }),
            random: Box::new(move |bytes| {
                if random.fill(bytes).is_err() {
                    tracing::error!("the machine has no random bytes");
                }
            }),
            tables: Arc::new(NoTables),
        }
    }
}

struct NoTables;

impl TableReader for NoTables {
    fn key(&self, table: &str) -> Result<Vec<DataType>> {
        Err(Error::not_found(format!(
            "{table} cannot be read here: there are tables on a node only"
        )))
    }

    fn get(&self, table: &str, _keys: &[ArrayRef], _columns: &[String]) -> Result<Vec<ArrayRef>> {
        self.key(table).map(|_| Vec::new())
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// A plugin's grants and who serves them.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) grants: Arc<Grants>,
    pub(crate) services: Arc<OnceLock<Services>>,
}

impl Granted {
    fn services(&self) -> wasmtime::Result<&Services> {
        self.services
            .get()
            .ok_or_else(|| wasmtime::Error::msg("nobody serves it here"))
    }

    fn read(
        &self,
        table: &str,
        rows: usize,
        keys: Vec<OwnedColumn>,
        columns: &[String],
    ) -> Result<Vec<OwnedColumn>> {
        if !self.grants.any_table && !self.grants.tables.contains(table) {
            return Err(Error::denied(format!(
                "the plugin was not granted read:{table}"
            )));
        }
        if columns.is_empty() || columns.len() > READ_COLUMNS_MAX {
            return Err(Error::invalid(format!(
                "a read names {} columns where 1 to {READ_COLUMNS_MAX} are allowed",
                columns.len()
            )));
        }
        let services = self
            .services
            .get()
            .ok_or_else(|| Error::invalid("no tables can be read here"))?;
        let kinds: Vec<ScalarType> = services
            .tables
            .key(table)?
            .into_iter()
            .map(ScalarType::of)
            .collect();
        if kinds.len() != keys.len() {
            return Err(Error::invalid(format!(
                "the key of {table} has {} columns, {} were given",
                kinds.len(),
                keys.len()
            )));
        }
        if rows > ROWS_PER_CALL_MAX {
            return Err(Error::invalid(format!(
                "a read asks for {rows} rows where {ROWS_PER_CALL_MAX} are allowed"
            )));
        }
        let keys = keys
            .into_iter()
            .zip(kinds)
            .map(|(column, kind)| lift(column, kind, rows))
            .collect::<std::result::Result<Vec<ArrayRef>, String>>()
            .map_err(|error| Error::invalid(format!("the key of {table}: {error}")))?;
        let found = services.tables.get(table, &keys, columns)?;
        let bytes: usize = found
            .iter()
            .map(|array| array.get_array_memory_size())
            .sum();
        if bytes > READ_BYTES_MAX {
            return Err(Error::invalid(format!(
                "one read of a table brings more than {READ_BYTES_MAX} bytes"
            )));
        }
        found.iter().map(owned).collect()
    }
}

type ReadParams = (String, u32, Vec<OwnedColumn>, Vec<String>);
type ReadResult = (std::result::Result<Vec<OwnedColumn>, GuestError>,);

/// Offers what can be granted; which component imports it is decided before it is loaded.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(contract::CLOCK)?.func_wrap(
        "now",
        |mut store: StoreContextMut<'_, HostState>, (): ()| {
            let state = store.data_mut();
            let now = match state.now_ns {
                Some(now) => now,
                None => (state.granted.services()?.now_ns)(),
            };
            state.now_ns = Some(now);
            Ok((now,))
        },
    )?;
    linker.instance(contract::RANDOM)?.func_wrap(
        "bytes",
        |store: StoreContextMut<'_, HostState>, (count,): (u32,)| {
            if count > RANDOM_BYTES_MAX {
                return Err(wasmtime::Error::msg(format!(
                    "{count} random bytes were asked for where {RANDOM_BYTES_MAX} are allowed"
                )));
            }
            let mut bytes = vec![0; count as usize];
            (store.data().granted.services()?.random)(&mut bytes);
            Ok((bytes,))
        },
    )?;
    linker.instance(contract::TABLES)?.func_wrap(
        "get",
        |store: StoreContextMut<'_, HostState>, (table, rows, keys, columns): ReadParams| {
            let granted = &store.data().granted;
            let found = granted.read(&table, rows as usize, keys, &columns);
            let found: ReadResult =
                (found.map_err(|error| GuestError::Invalid(error.message().to_owned())),);
            Ok(found)
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
