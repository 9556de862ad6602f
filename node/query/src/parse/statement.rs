//! What a parsed statement carries: names and SQL text, nothing looked up.

use std::collections::BTreeMap;

use activestore_catalog::{Change, PluginReference, ViewOptions};
use activestore_types::TableName;

use super::copy::CopyStatement;
use super::roles::RoleStatement;
use super::sink::SinkStatement;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`, `WITH`, `VALUES`, `TABLE`: for [`crate::Engine::query`].
    Query {
        /// The statement as written.
        sql: String,
    },
    /// `EXPLAIN [ANALYZE] [VERBOSE]` of a query: for [`crate::Engine::query`].
    Explain {
        /// The statement as written, `EXPLAIN` included.
        sql: String,
        /// Whether the query is run.
        analyze: bool,
    },
    /// `SUBSCRIBE`: for [`crate::Engine::live`].
    Subscribe(Subscribe),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Update),
    /// `DELETE FROM`.
    Delete(Delete),
    /// `BEGIN BATCH …; APPLY BATCH`: inserts, updates and deletes that are written as one.
    Batch(Vec<Statement>),
    /// `ALTER TABLE … COMPACT`.
    Compact {
        /// The table.
        table: TableName,
    },
    /// `ALTER TABLE … SEAL PARTITION` and `… ERASE PARTITION`.
    Partition(PartitionStatement),
    /// Every `CREATE`, `ALTER` and `DROP` that the catalog can apply as it stands.
    Change {
        /// What to apply.
        change: Change,
        /// What the answer says: `CREATE TABLE`.
        tag: &'static str,
    },
    /// Roles, tokens and grants.
    Role(RoleStatement),
    /// `CREATE MATERIALIZED VIEW`: its query has to be planned before the catalog can take it.
    CreateView(ViewStatement),
    /// `CREATE SINK`: its query has to be understood before the catalog can take it.
    CreateSink(SinkStatement),
    /// `REFRESH MATERIALIZED VIEW`: waits until it holds what its table does.
    RefreshView {
        /// The view.
        name: TableName,
    },
    /// `CREATE MODEL`: its artifact has to be found and hashed before the catalog can take it.
    CreateModel(ModelStatement),
    /// `ALTER` of what a plugin makes.
    Redefine(Redefinition),
    /// `SHOW`.
    Show(Show),
    /// `COPY`: rows to a file of the node's machine and back.
    Copy(CopyStatement),
    /// `DESCRIBE`.
    Describe {
        /// The table.
        name: TableName,
    },
}

/// `SUBSCRIBE query [WITH (snapshot = …, on_slow = …, leaving = …)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The query as written.
    pub sql: String,
    /// Whether it begins with the rows that the table holds.
    pub snapshot: bool,
    /// Whether a written row that does not fit the query is told as one that is not among its rows any more.
    pub leaving: bool,
    /// What becomes of a subscriber that does not keep up.
    pub when_slow: WhenSlow,
    /// The id of the event that it goes on behind, where the wire has no word of its own for it.
    pub after: Option<String>,
}

/// What is done where a subscriber's buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenSlow {
    /// The subscription ends, and says where to go on.
    #[default]
    Disconnect,
    /// Events are left out, and their number is told.
    Drop,
}

/// `ALTER FUNCTION | AGGREGATE | TABLE FUNCTION | MERGE FUNCTION | PROCESSOR | MODEL | FILTER name
/// [USING PLUGIN '…'] [SET (…)] [RESET (…)]`: what is not named stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redefinition {
    /// What it changes.
    pub what: Redefined,
    /// Its name.
    pub name: String,
    /// The plugin that takes over.
    pub plugin: Option<PluginReference>,
    /// Options that are set.
    pub set: BTreeMap<String, String>,
    /// Options that are set no more.
    pub reset: Vec<String>,
}

/// What an `ALTER` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redefined {
    /// A function, an aggregate or a table function.
    Function,
    /// A processor.
    Processor,
    /// A model.
    Model,
    /// A merge function.
    Merge,
    /// A sync filter.
    Filter,
}

/// What is to be done with the data key of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionStep {
    /// `SEAL`: it gets one of its own.
    Seal,
    /// `ERASE`: its rows go, and the key that they were under.
    Erase,
}

/// `ALTER TABLE table SEAL | ERASE PARTITION (column = value, …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatement {
    /// The table.
    pub table: TableName,
    /// What to do.
    pub step: PartitionStep,
    /// The columns of the partition key, each with its value (SQL text).
    pub values: Vec<(String, String)>,
}

/// What an `INSERT` does where a row of its key is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Its cells are written over the row's.
    #[default]
    Merge,
    /// `IF NOT EXISTS`: nothing of the statement is written.
    Fail,
    /// `ON CONFLICT DO NOTHING`: that row is left as it is, the others are written.
    Keep,
}

/// What has to hold of every row that a statement names, or nothing of it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `IF EXISTS`.
    Exists,
    /// `IF expression` (SQL text) over the row's columns. A row that does not exist fails it.
    Holds(String),
}

/// `INSERT INTO table (columns) source [USING TTL n] [IF NOT EXISTS | ON CONFLICT DO NOTHING]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// The table.
    pub table: TableName,
    /// The named columns; empty means the table's own, in order.
    pub columns: Vec<String>,
    /// `VALUES …` or a query, for [`crate::Engine::evaluate_source`].
    pub source: String,
    /// How long the rows live, in seconds.
    pub ttl_s: Option<u64>,
    /// What happens to rows that are there.
    pub existing: Existing,
}

/// `UPDATE table SET column = expression, … [USING TTL n] [WHERE filter] [IF …]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The table.
    pub table: TableName,
    /// Column and expression (SQL text), in order.
    pub assignments: Vec<(String, String)>,
    /// The filter (SQL text); `None` means every row.
    pub filter: Option<String>,
    /// How long the written cells' rows live, in seconds.
    pub ttl_s: Option<u64>,
    /// What the rows must fulfil; the filter then names whole keys.
    pub condition: Option<Condition>,
}

/// `DELETE FROM table [WHERE filter] [IF …]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The table.
    pub table: TableName,
    /// The filter (SQL text), for [`crate::Engine::delete_plan`]; `None` means every row.
    pub filter: Option<String>,
    /// What the rows must fulfil; the filter then names whole keys.
    pub condition: Option<Condition>,
}

/// `CREATE MATERIALIZED VIEW [IF NOT EXISTS] name [WITH (…)] AS query [WITH (…)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewStatement {
    /// The view's name.
    pub name: TableName,
    /// The query as written.
    pub query: String,
    /// What stands in `WITH`.
    pub options: ViewOptions,
    /// No error when it exists.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] MODEL name USING PLUGIN 'p' WITH (file = '…', …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatement {
    /// The model's name.
    pub name: String,
    /// The plugin that runs it.
    pub plugin: PluginReference,
    /// The artifact's path, as given.
    pub file: String,
    /// The other options.
    pub options: BTreeMap<String, String>,
    /// Replace one of the same name.
    pub or_replace: bool,
}

/// What `SHOW` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `SHOW TABLES [FROM keyspace]`.
    Tables {
        /// Only this keyspace's.
        keyspace: Option<String>,
    },
    /// `SHOW KEYSPACES`.
    Keyspaces,
    /// `SHOW FUNCTIONS`: those of plugins.
    Functions,
    /// `SHOW PROCESSORS`.
    Processors,
    /// `SHOW MODELS`.
    Models,
    /// `SHOW PLUGINS`.
    Plugins,
    /// `SHOW MERGE FUNCTIONS`.
    MergeFunctions,
    /// `SHOW FILTERS`.
    Filters,
    /// `SHOW SINKS`.
    Sinks,
    /// `SHOW ROLES`.
    Roles,
    /// `SHOW TOKENS`.
    Tokens,
    /// `SHOW GRANTS [FOR role]`: what a role was granted itself or has by membership.
    Grants {
        /// Only of this role.
        role: Option<String>,
    },
}
