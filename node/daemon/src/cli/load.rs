//! The arguments of `activestore load`.

use std::path::PathBuf;

use activestore_types::TableName;
use clap::{Args, ValueEnum, ValueHint};

use super::{NodeUrl, name_value, table_name};

/// What `load --help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  activestore load readings.csv --table plant.readings
  activestore load readings.csv --table plant.readings --create --key device,ts
  activestore load 'exports/*.parquet' --table plant.readings --map sensor=device --skip comment
  activestore load readings.ndjson.gz --table plant.readings --dry-run
  zcat old.csv.gz | activestore load - --table plant.readings --format csv

With --create and --dry-run the columns, their types, the key and the first rows are shown before anything is sent; on a
terminal the command asks, unless --yes is given. Columns go where their names say; one that the table lacks is said
before the first row. Refused rows go to FILE.rejects with line number and reason, and the exit code is then 1.
Ctrl-C finishes what is on its way. A load that broke off goes on where it stopped when it is started again:
FILE.progress says how far it is. Of rows with the same key the last one of the file stays.";

/// The format of a file to load or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// CSV with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// InfluxDB line protocol.
    Lp,
    /// Arrow IPC, a file or a stream.
    Arrow,
    /// Parquet.
    Parquet,
}

/// `load`.
#[derive(Args, Debug)]
pub struct LoadArgs {
    /// The files, packed by gzip or not; a pattern in quotes ('data/*.csv') for very many, - for stdin.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The table; for line protocol only its keyspace counts, the measurement is the table.
    #[arg(long, value_name = "KEYSPACE.TABLE", value_parser = table_name)]
    pub table: TableName,
    /// The files' format; default by the file name, or by the first bytes.
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// What stands between fields of CSV, one character or 'tab'; default a comma, and a tab in FILE.tsv.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Create the table, if it is missing, with the columns found in the file; they are shown first.
    #[arg(long)]
    pub create: bool,
    /// The new table's primary key: the partition column, then clustering columns.
    #[arg(
        long,
        value_name = "COLUMN,…",
        value_delimiter = ',',
        requires = "create"
    )]
    pub key: Vec<String>,
    /// The new table's column of time: a TIMESTAMP, also where it is written as numbers, and the last of its key.
    #[arg(long, value_name = "COLUMN", requires = "create")]
    pub time: Option<String>,
    /// A column of the file that goes into one of another name; may be given more than once.
    #[arg(long, value_name = "NAME=COLUMN", value_parser = name_value)]
    pub map: Vec<(String, String)>,
    /// A column of the file to leave out; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<String>,
    /// Show what is found, read everything, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Where refused records go, with line number and reason; default FILE.rejects beside each file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub rejects: Option<PathBuf>,
    /// Stop when more records than this are refused.
    #[arg(long, value_name = "COUNT")]
    pub max_rejects: Option<u64>,
    /// Begin at the beginning, and do not note beside the file how far the load is.
    #[arg(long)]
    pub no_resume: bool,
    /// The node.
    #[command(flatten)]
    pub node: NodeUrl,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => Ok(*one),
        _ => Err("one ASCII character is expected, or tab".to_owned()),
    }
}
