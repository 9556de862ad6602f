//! The command line: every command, its flags, and an example in each help text. It parses and
//! checks nothing beyond the form of its arguments.

mod load;
mod plugin;
mod receipt;
mod role;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use activestore_types::TableName;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::config::{RoleSetting, Span};
#[cfg(all(feature = "line-protocol", feature = "mqtt"))]
use crate::demo::DemoArgs;

pub use load::{FileFormat, LoadArgs};
pub use plugin::{
    BenchArgs, DeployArgs, LineLevel, ListFormat, PluginCommand, PluginLanguage, PluginTemplate,
    RolloutCommand, RowsArgs, SelectArgs, TestArgs, UseArgs,
};
pub use receipt::ReceiptCommand;
pub use role::{AuthCommand, AuthTokenCommand, RoleCommand};

/// Where a node listens for HTTP unless told otherwise.
pub const DEFAULT_HTTP: &str = "127.0.0.1:7480";

/// Where a node listens for PostgreSQL clients unless told otherwise.
#[cfg(feature = "pgwire")]
pub const DEFAULT_PG: &str = "127.0.0.1:7432";

/// Where a node listens for Arrow Flight SQL clients unless told otherwise.
#[cfg(feature = "flight")]
pub const DEFAULT_FLIGHT: &str = "127.0.0.1:32010";

/// Where a cloud node listens for edges unless told otherwise.
pub const DEFAULT_QUIC: &str = "0.0.0.0:7490";

/// A small time-series database with SQL, sandboxed plugins and sync to the cloud.
#[derive(Debug, Parser)]
#[command(
    name = "activestore",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  activestore start --data-dir ./data &\n  activestore sql -c \"SHOW TABLES\"\n\nExit codes: 0 done, 1 the request failed, 2 wrong usage."
)]
pub struct Cli {
    /// How log lines are written to stderr [env: ACTIVESTORE_LOG_FORMAT].
    #[arg(
        long,
        global = true,
        value_enum,
        env = "ACTIVESTORE_LOG_FORMAT",
        default_value = "text",
        hide_env = true,
        hide_default_value = true
    )]
    pub log_format: LogFormat,
    /// The role to log in as; the password is that of ACTIVESTORE_PASSWORD or asked for. A token in
    /// ACTIVESTORE_AUTH_TOKEN needs no name [env: ACTIVESTORE_USER].
    #[arg(long, global = true, value_name = "ROLE")]
    pub user: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node in the foreground.
    #[command(
        after_help = "Examples:\n  activestore start --data-dir ./data\n  activestore start --data-dir ./data --pg 127.0.0.1:5432 --flight 127.0.0.1:0\n  activestore start --role cloud --data-dir ./cloud --quic 0.0.0.0:7490\n  activestore start --config edge.toml --peer cloud.example:7490 --token TOKEN\n  activestore start --role gateway --quic 0.0.0.0:7490 --peer cloud.example:7490\n\nSettings come from flags, then ACTIVESTORE_* variables, then the file, then defaults."
    )]
    Start(Box<StartArgs>),
    /// Run one statement, a script from stdin, or an interactive session.
    #[command(
        after_help = "Examples:\n  activestore sql\n  activestore sql -c \"SELECT count(*) FROM plant.readings\"\n  activestore sql --format csv -c \"SELECT * FROM plant.readings\" > readings.csv\n  activestore sql -c \"SUBSCRIBE SELECT * FROM plant.readings WHERE temp > 80\"\n  activestore sql -c \"CREATE SINK hot TO 'https://hooks.example.com/x' AS SELECT * FROM plant.readings WHERE temp > 80\"\n  activestore sql < schema.sql"
    )]
    Sql(SqlArgs),
    /// Load files into a table.
    #[command(after_help = load::EXAMPLES)]
    Load(LoadArgs),
    /// Write a table or a query's result to a file.
    #[command(
        after_help = "Examples:\n  activestore export --table plant.readings -o readings.csv\n  activestore export --sql \"SELECT * FROM plant.readings WHERE temp > 80\" -o hot.parquet"
    )]
    Export(ExportArgs),
    /// Develop and deploy plugins.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore plugin new celsius && cd celsius\n  activestore plugin build && activestore plugin deploy celsius.wasm"
    )]
    Plugin(PluginCommand),
    /// Make roles and set passwords in a data directory that no node is running on.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore role create admin --superuser --data-dir ./data\n\nWhile a node runs, roles are made by SQL: CREATE ROLE, GRANT, ALTER ROLE … PASSWORD."
    )]
    Role(RoleCommand),
    /// Make and revoke tokens that stand for a role.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore auth token create --role gateway --expires 30d"
    )]
    Auth(AuthCommand),
    /// Make tokens that admit edges; run it on the cloud node's machine.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore token create --ttl 1h"
    )]
    Token(TokenCommand),
    /// Enrol this data directory at a cloud node, once, before the edge is started.
    #[command(
        after_help = "Examples:\n  activestore join --peer cloud.example:7490 --token TOKEN --data-dir ./data\n  activestore join --as dr --peer dr.example:7490 --token TOKEN --data-dir ./data\n\nThe second also ships what goes up to a further cloud, which gives the node neither definitions nor rows; name it in\n[[sync.also]] of the configuration. The token is made there, with activestore token create."
    )]
    Join(JoinArgs),
    /// See how far shipping is, and compare both ends.
    #[command(subcommand, after_help = "Example:\n  activestore sync status")]
    Sync(SyncCommand),
    /// Back a whole node up, while it runs or not, and list backups.
    #[command(
        subcommand,
        after_help = "Examples:\n  activestore backup create --to /mnt/backups\n  activestore backup list --from /mnt/backups\n  activestore restore --from /mnt/backups --data-dir ./restored"
    )]
    Backup(BackupCommand),
    /// Bring a node back from a backup, to an empty directory.
    #[command(
        after_help = "Examples:\n  activestore restore --from /mnt/backups --data-dir ./restored\n  activestore restore --from s3://bucket/gateways --backup 20261124T151502Z-9f3a1c07 --data-dir ./restored\n\nThe node keeps its identity and starts a new sync epoch. Start only one of it and the node that was backed up.\nA restore that was interrupted goes on when it is started again."
    )]
    Restore(RestoreArgs),
    /// Check a data directory that no node is running on, and repair it.
    #[command(
        after_help = "Examples:\n  activestore doctor --data-dir ./data\n  activestore doctor --data-dir ./data --repair\n\nA repair keeps every damaged file under the name FILE.damaged and says what is lost with it.\nThe exit code is 1 where something is wrong or, after a repair, lost."
    )]
    Doctor(DoctorArgs),
    /// Give an encrypted data directory that no node is running on another key.
    #[command(
        after_help = "Example:\n  openssl rand -hex 32 > new.key\n  activestore rotate-key --data-dir ./data --encryption-key-file old.key --new-key-file new.key"
    )]
    RotateKey(RotateKeyArgs),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  activestore completions bash > /etc/bash_completion.d/activestore"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Watch the whole idea at work: a cloud node, two edges, a cut link.
    #[cfg(all(feature = "line-protocol", feature = "mqtt"))]
    #[command(
        after_help = "Examples:\n  activestore demo\n  activestore demo --input readings.csv --exit"
    )]
    Demo(DemoArgs),
}

/// `start`.
#[derive(Args, Debug, Default)]
pub struct StartArgs {
    /// The configuration file [env: ACTIVESTORE_CONFIG].
    #[arg(long, value_name = "FILE", env = "ACTIVESTORE_CONFIG", hide_env = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The part this node plays; default edge.
    #[arg(long, value_enum)]
    pub role: Option<RoleSetting>,
    /// The node's name for people; default its role.
    #[arg(long)]
    pub name: Option<String>,
    /// The directory that holds everything; default ./activestore-data.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// HTTP address; default 127.0.0.1:7480; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub http: Option<SocketAddr>,
    /// Address of the PostgreSQL wire; default 127.0.0.1:7432; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub pg: Option<SocketAddr>,
    /// Address of the Arrow Flight SQL wire; default 127.0.0.1:32010; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub flight: Option<SocketAddr>,
    /// UDP address for edges, and TCP where that is blocked; default 0.0.0.0:7490 on a cloud node.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub quic: Option<SocketAddr>,
    /// Address of the MQTT listener; off unless given.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub mqtt: Option<SocketAddr>,
    /// A cloud node to ship rows to; may be given more than once.
    #[arg(long = "peer", value_name = "HOST:PORT")]
    pub peers: Vec<String>,
    /// Runs plugins that nobody signed whom this node trusts: for a machine of your own, not for production.
    #[arg(long)]
    pub dev: bool,
    /// Where compiled plugins are kept; default inside the data directory. Nodes may share it.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub plugin_cache: Option<PathBuf>,
    /// A token from activestore token create: joins the peer before starting [env: ACTIVESTORE_TOKEN].
    #[arg(
        long,
        env = "ACTIVESTORE_TOKEN",
        hide_env_values = true,
        hide_env = true
    )]
    pub token: Option<String>,
}

/// The node that a command talks to.
#[derive(Args, Clone, Debug)]
pub struct NodeUrl {
    /// The node's HTTP address [env: ACTIVESTORE_URL].
    #[arg(long, env = "ACTIVESTORE_URL", hide_env = true, default_value = "http://127.0.0.1:7480", value_hint = ValueHint::Url)]
    pub url: String,
}

/// How `sql` prints rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON object with columns, rows and stats.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
    /// Parquet, which `export` writes.
    #[value(hide = true)]
    Parquet,
}

/// `sql`.
#[derive(Args, Debug)]
pub struct SqlArgs {
    /// The statement; several are separated by semicolons.
    #[arg(short, long, value_name = "SQL")]
    pub command: Option<String>,
    /// How rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    pub format: OutputFormat,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// `export`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["table", "sql"]))]
pub struct ExportArgs {
    /// The table.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = table_name)]
    pub table: Option<TableName>,
    /// A query.
    #[arg(long, value_name = "SQL")]
    pub sql: Option<String>,
    /// The file to write; - is stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// The format; default by the file name.
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// `token …`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token.
    #[command(
        after_help = "Examples:\n  activestore token create --ttl 1h --address cloud.example:7490\n  activestore token create --label ring=canary --label site=north"
    )]
    Create {
        /// How long it is valid.
        #[arg(long, default_value = "1h")]
        ttl: Span,
        /// A label of the edge that joins with it, NAME=VALUE, by which rollouts name it; may be given more than
        /// once.
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// A note for people.
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        /// Where edges reach this node; default the address it listens on. May be given more than once.
        #[arg(long = "address", value_name = "HOST:PORT")]
        addresses: Vec<String>,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Give an edge that joined other labels in the place of those it has.
    #[command(
        after_help = "Example:\n  activestore sql -c \"SELECT node, name, labels FROM system.sync_peers\"\n  activestore token label 9f3a1c079f3a1c079f3a1c079f3a1c07 --label ring=canary --label site=north"
    )]
    Label {
        /// The edge, as system.sync_peers names it.
        edge: String,
        /// A label, NAME=VALUE; may be given more than once. Without any, the edge has none.
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
}

/// `join`.
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The cloud node's QUIC address.
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: String,
    /// The token [env: ACTIVESTORE_TOKEN].
    #[arg(
        long,
        env = "ACTIVESTORE_TOKEN",
        hide_env_values = true,
        hide_env = true
    )]
    pub token: String,
    /// The edge's data directory [env: ACTIVESTORE_DATA_DIR].
    #[arg(long, value_name = "DIR", env = "ACTIVESTORE_DATA_DIR", hide_env = true, default_value = "activestore-data", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// Join it as this further cloud, of [[sync.also]], beside the node's own.
    #[arg(long = "as", value_name = "NAME")]
    pub further: Option<String>,
    /// The edge's name for people.
    #[arg(
        long,
        env = "ACTIVESTORE_NAME",
        hide_env = true,
        default_value = "edge"
    )]
    pub name: String,
    /// The key of the data directory, where it is encrypted.
    #[command(flatten)]
    pub key: KeyFile,
}

/// `sync …`.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// What waits, what has arrived, and who is connected.
    #[command(
        after_help = "Examples:\n  activestore sync status\n  activestore sync status --tables"
    )]
    Status {
        /// Also what waits by table and class; of a long backlog an estimate.
        #[arg(long)]
        tables: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Compare with the peer now what both hold, down to single rows; exit code 1 where differences are left.
    #[command(
        after_help = "Examples:\n  activestore sync verify\n  activestore sync verify --repair\n  activestore sync verify --cloud dr --repair\n\nRows of an edge are compared that travel up, those of others that flow down to it, and at a gateway those of each\nnode below it; tables that are filtered are not. A repair ships rows again that the cloud lacks, takes back rows that\nthe edge lost, and fetches tables that flow down anew; deletes win over rows by their stamps, as ever."
    )]
    Verify {
        /// Mend what differs.
        #[arg(long)]
        repair: bool,
        /// Compare with this further cloud, of [[sync.also]], in the place of the node's own.
        #[arg(long, value_name = "NAME")]
        cloud: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// What happened to the sync: connections, refusals, receipts, rollouts, comparisons.
    #[command(
        after_help = "Examples:\n  activestore sync events\n  activestore sync events -f\n\nsystem.sync_events holds the same, the last thousand of them."
    )]
    Events {
        /// Go on with what happens, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Try rows of other nodes again that did not fit this node's tables, and rows that processors refused; exit code 1
    /// where some still do not.
    #[command(
        after_help = "Examples:\n  activestore sql -c \"SELECT node, source, reason FROM system.rejected_writes\"\n  activestore sync retry-rejected\n  activestore sync retry-rejected --table plant.readings --discard\n\nRows of other nodes keep the time and the writer that they had, so that newer ones stay in force; a row that a\nprocessor refused is a new write."
    )]
    RetryRejected {
        /// Only rows of this table.
        #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = table_name)]
        table: Option<TableName>,
        /// Let go of the rows instead: they are lost on this node.
        #[arg(long)]
        discard: bool,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// What the cloud signed that it holds: list, export, check.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore sync receipt export --out receipts.json"
    )]
    Receipt(ReceiptCommand),
}

/// `backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Back a node up; what an earlier backup has brought is not copied again.
    #[command(
        after_help = "Examples:\n  activestore backup create --to /mnt/backups\n  activestore backup create --to /mnt/backups --data-dir ./data\n  activestore backup create --to s3://bucket/gateways\n\nA running node copies from its own machine, with the AWS_* variables it was started with: AWS_ACCESS_KEY_ID,\nAWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL. With --data-dir this command does it, and no node may run there.\nA backup that was interrupted goes on when it is started again. Settings files are not part of it."
    )]
    Create {
        /// A directory, or s3://BUCKET/PREFIX.
        #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
        to: String,
        /// Back up this directory, which no node is running on, in place of a running node.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
        /// The key of that directory.
        #[command(flatten)]
        key: KeyFile,
        /// The node, on this machine.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Show what a place holds, oldest first.
    #[command(after_help = "Example:\n  activestore backup list --from /mnt/backups")]
    List {
        /// A directory, or s3://BUCKET/PREFIX.
        #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
        from: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A directory, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub from: String,
    /// Which backup; default the newest.
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    /// Where the node is to live: an empty directory, or one that does not exist yet.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// The key that the node had when it was backed up.
    #[command(flatten)]
    pub key: KeyFile,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Mend what is wrong, keeping all that can be read.
    #[arg(long)]
    pub repair: bool,
    /// The data directory [env: ACTIVESTORE_DATA_DIR].
    #[arg(long, value_name = "DIR", env = "ACTIVESTORE_DATA_DIR", hide_env = true, default_value = "activestore-data", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// The key.
    #[command(flatten)]
    pub key: KeyFile,
}

/// The key of an encrypted data directory.
#[derive(Args, Clone, Debug)]
pub struct KeyFile {
    /// The key of an encrypted data directory; the variable ACTIVESTORE_ENCRYPTION_KEY may hold the
    /// key itself [env: ACTIVESTORE_STORAGE_ENCRYPTION_KEY_FILE].
    #[arg(long, value_name = "FILE", env = "ACTIVESTORE_STORAGE_ENCRYPTION_KEY_FILE", hide_env = true, value_hint = ValueHint::FilePath)]
    pub encryption_key_file: Option<PathBuf>,
}

/// `rotate-key`.
#[derive(Args, Debug)]
pub struct RotateKeyArgs {
    /// The data directory [env: ACTIVESTORE_DATA_DIR].
    #[arg(long, value_name = "DIR", env = "ACTIVESTORE_DATA_DIR", hide_env = true, default_value = "activestore-data", value_hint = ValueHint::DirPath)]
    pub data_dir: PathBuf,
    /// The present key.
    #[command(flatten)]
    pub key: KeyFile,
    /// The new key: 32 bytes, raw, in hex or in base64.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub new_key_file: PathBuf,
    /// Also encrypt what is written from now on with a new data key; compaction brings older rows
    /// over.
    #[arg(long)]
    pub new_data_key: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| "an address such as 127.0.0.1:7480 is expected".to_owned())
}

fn table_name(text: &str) -> Result<TableName, String> {
    text.parse::<TableName>()
        .map_err(|error| error.message().to_owned())
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}
