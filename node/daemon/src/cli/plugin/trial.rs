//! The arguments that `plugin test`, `plugin bench` and `plugin deploy` share: which rows, and how the
//! plugin is used on them.

use std::path::PathBuf;

use activestore_types::TableName;
use clap::{ArgGroup, Args, ValueHint};

use super::super::{NodeUrl, name_value, table_name};
use crate::config::Span;

/// Which rows of a table.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectArgs {
    /// Only rows of the table for which this SQL condition holds.
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// Only rows of this last time, such as 12h or 7d, by the time in the table's key.
    #[arg(long)]
    pub last: Option<Span>,
    /// At most so many rows.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// The rows' order as SQL, which the node has to sort by; default the table's key, which it does not.
    #[arg(long, value_name = "SQL")]
    pub order_by: Option<String>,
}

/// Where rows come from.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("source").required(true).args(["rows", "table"]))]
pub struct RowsArgs {
    /// The rows: CSV or NDJSON by the file name.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub rows: Option<PathBuf>,
    /// The rows: those of a table of a running node.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = table_name)]
    pub table: Option<TableName>,
    /// Which of the table's rows.
    #[command(flatten)]
    pub select: SelectArgs,
}

/// How the plugin is used.
#[derive(Args, Clone, Debug, Default)]
pub struct UseArgs {
    /// The function or the aggregate to try; default the plugin's only one.
    #[arg(long)]
    pub function: Option<String>,
    /// The columns that the function or the aggregate is given; default the first ones.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// A processor's setting, NAME=VALUE; may be given more than once. It goes over those that the node's
    /// processor has.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_value)]
    pub settings: Vec<(String, String)>,
    /// Take the settings of this processor of the node; default the only one that uses the plugin on the
    /// table.
    #[arg(long, value_name = "NAME")]
    pub processor: Option<String>,
    /// A model plugin's artifact.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub artifact: Option<PathBuf>,
}

/// `plugin test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub wasm: PathBuf,
    /// The rows.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Its use.
    #[command(flatten)]
    pub using: UseArgs,
    /// Compare with the version that the node has in force, or with the one named.
    #[arg(
        long,
        value_name = "VERSION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = "against"
    )]
    pub against_deployed: Option<String>,
    /// Compare with this component.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// The plugin's name on the node; default the file's.
    #[arg(long)]
    pub name: Option<String>,
    /// The columns by which outputs of both belong together; default the key of the table that the node's
    /// processor fills, or else the key of the rows where the outputs hold it.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub key: Vec<String>,
    /// How many differences are shown.
    #[arg(long, value_name = "COUNT", default_value = "20")]
    pub show: usize,
    /// End with exit code 1 where anything differs or the new version fails.
    #[arg(long)]
    pub fail_on_difference: bool,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// `plugin bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub wasm: PathBuf,
    /// The rows.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Its use.
    #[command(flatten)]
    pub using: UseArgs,
    /// The plugin's name on the node; default the file's.
    #[arg(long)]
    pub name: Option<String>,
    /// How long each batch size is measured, at least.
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub time: Span,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// `plugin deploy`.
#[derive(Args, Debug)]
pub struct DeployArgs {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub wasm: PathBuf,
    /// Its name; default the file's.
    #[arg(long)]
    pub name: Option<String>,
    /// Its version.
    #[arg(long = "as", value_name = "VERSION")]
    pub version: Option<String>,
    /// What it may reach: clock, random, read:KEYSPACE.TABLE, http:HOST[:PORT], or none; may be given more than once.
    /// Without it, what the version before might.
    #[arg(long = "grant", value_name = "GRANT")]
    pub grants: Vec<String>,
    /// At a cloud node: edges with these labels get it next, NAME=VALUE[,NAME=VALUE] or all; may be given more
    /// than once, in the order of the waves.
    #[arg(long = "wave", value_name = "LABELS")]
    pub waves: Vec<String>,
    /// How long a wave is watched, once its edges have the version, before the next follows; default 10m.
    #[arg(long, value_name = "TIME")]
    pub soak: Option<Span>,
    /// How many calls on edges may fail, as a share; default 1%.
    #[arg(long, value_name = "SHARE")]
    pub max_errors: Option<String>,
    /// First run it on the rows of this table beside the version in force, and do not deploy it where it
    /// faults or differs.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = table_name)]
    pub check_replay: Option<TableName>,
    /// Deploy it although it differs; not where it faults.
    #[arg(long, requires = "check_replay")]
    pub accept_differences: bool,
    /// Which of the table's rows.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Its use on them.
    #[command(flatten)]
    pub using: UseArgs,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

impl SelectArgs {
    /// The option among these that was given, if any: they say nothing without a table.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--where", self.condition.is_some()),
            ("--last", self.last.is_some()),
            ("--limit", self.limit.is_some()),
            ("--order-by", self.order_by.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}

impl UseArgs {
    /// The option among these that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--function", self.function.is_some()),
            ("--columns", !self.columns.is_empty()),
            ("--set", !self.settings.is_empty()),
            ("--processor", self.processor.is_some()),
            ("--artifact", self.artifact.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}
