//! The arguments of `activestore plugin`.

use std::path::{Path, PathBuf};

use activestore_plugin_host::ImageTarget;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::NodeUrl;

mod rollout;
mod trial;

pub use rollout::RolloutCommand;
pub use trial::{BenchArgs, DeployArgs, RowsArgs, SelectArgs, TestArgs, UseArgs};

/// `plugin …`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a new plugin project.
    #[command(
        after_help = "Examples:\n  activestore plugin new celsius --kind scalar\n  activestore plugin new limit --lang python --kind processor"
    )]
    New {
        /// Its name: lower case letters, digits and -.
        name: String,
        /// The language that it is written in.
        #[arg(long = "lang", value_enum, default_value = "rust")]
        language: PluginLanguage,
        /// What it is.
        #[arg(long, value_enum, default_value = "scalar")]
        kind: PluginTemplate,
        /// Where wasm-sdk/guest is, for Rust; without it that of the source tree around, or else a copy in the project.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        sdk: Option<PathBuf>,
    },
    /// Compile the plugin in a directory to a component; its files say in which language it is.
    #[command(after_help = "Example:\n  activestore plugin build ./celsius")]
    Build {
        /// The plugin's directory.
        #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The component to write; default NAME.wasm in that directory.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Run a component on rows of a file or of a node's table, in the sandbox that a node uses, and compare
    /// it with another version.
    #[command(
        after_help = "Examples:\n  activestore plugin test celsius.wasm --rows rows.csv\n  activestore plugin test anomaly.wasm --rows rows.csv --set threshold=4.0\n  activestore plugin test new.wasm --name anomaly --table plant.readings --last 1d --against-deployed\n  activestore plugin test new.wasm --rows rows.csv --against old.wasm --fail-on-difference\n\nRows of a table come in the order of its key. A processor's keyed state begins empty, on both sides\nwhere two versions are compared; it is kept here and nothing is written to the node."
    )]
    Test(Box<TestArgs>),
    /// Measure a component: time a row by batch size, loading, memory.
    #[command(
        after_help = "Examples:\n  activestore plugin bench celsius.wasm --rows rows.csv\n  activestore plugin bench anomaly.wasm --table plant.readings --limit 50000"
    )]
    Bench(Box<BenchArgs>),
    /// Make a key to sign components with, and print its public half.
    #[command(
        after_help = "Example:\n  activestore plugin keygen plugin-key.pem\n\nKeep the file secret. What is printed goes into [plugins] trusted_keys of the nodes that are to\nrun what it signs. A key that openssl genpkey -algorithm ed25519 made serves as well."
    )]
    Keygen {
        /// The file to write; it must not exist. One that does is read, and its public half printed.
        #[arg(value_hint = ValueHint::FilePath)]
        key: PathBuf,
    },
    /// Sign a component.
    #[command(after_help = "Example:\n  activestore plugin sign celsius.wasm --key plugin-key.pem")]
    Sign(SignArgs),
    /// Compile a component for nodes that have no compiler, and sign it and what was compiled.
    #[command(
        after_help = "Targets: x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, armv7-unknown-linux-gnueabihf\n(interpreted), pulley32, pulley64. Several may follow one another; one file carries them all.\n\nExample:\n  activestore plugin precompile celsius.wasm --target aarch64-unknown-linux-gnu --key plugin-key.pem\n\nWhat is compiled is native code: a node without a compiler that names the key in [plugins]\ntrusted_keys trusts whoever holds it with the machine."
    )]
    Precompile {
        /// What to compile for; may be given more than once.
        #[arg(long = "target", value_name = "TARGET", required = true)]
        targets: Vec<ImageTarget>,
        /// What is signed.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Send a component to a node.
    #[command(
        after_help = "Examples:\n  activestore plugin deploy celsius.wasm --name celsius\n  activestore plugin deploy limits.wasm --grant read:plant.limits --grant clock\n  activestore plugin deploy anomaly.wasm --check-replay plant.readings --last 1d\n  activestore plugin deploy anomaly.wasm --as 2.1 --wave ring=canary --wave ring=early --wave all --soak 10m\n\nWith --wave, at a cloud node, the version goes to the edges in waves by their labels and comes into force\nafter the last. A version that fails more often than --max-errors is taken back by itself."
    )]
    Deploy(Box<DeployArgs>),
    /// See new versions go to the edges in waves, hold them or take them back.
    #[command(subcommand, after_help = "Example:\n  activestore plugin rollout list")]
    Rollout(RolloutCommand),
    /// List a node's plugins: versions, breaker, calls, time, memory, faults.
    #[command(
        after_help = "Examples:\n  activestore plugin list\n  activestore plugin list --format json"
    )]
    List {
        /// How they are printed.
        #[arg(long, value_enum, default_value = "table")]
        format: ListFormat,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Show a plugin's last log lines, and those that follow.
    #[command(
        after_help = "Examples:\n  activestore plugin logs anomaly\n  activestore plugin logs anomaly -f --level warn"
    )]
    Logs {
        /// The plugin.
        name: String,
        /// Go on with new lines until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        /// Only lines of this level and above.
        #[arg(long, value_enum, default_value = "debug")]
        level: LineLevel,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Put an earlier version of a plugin in force again.
    #[command(after_help = "Example:\n  activestore plugin rollback celsius")]
    Rollback {
        /// The plugin.
        name: String,
        /// The version; default the one before.
        #[arg(long = "to", value_name = "VERSION")]
        version: Option<String>,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Remove a plugin that nothing uses.
    #[command(after_help = "Example:\n  activestore plugin remove celsius")]
    Remove {
        /// The plugin.
        name: String,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
}

/// A component, and the key that signs it.
#[derive(Args, Debug)]
pub struct SignArgs {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub wasm: PathBuf,
    /// The file of the key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// Where the signed component goes; default in its own place.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl SignArgs {
    /// The file that is written.
    pub fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(&self.wasm)
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PluginLanguage {
    /// Rust: every kind, and the fastest.
    Rust,
    /// C, without a C library: as fast, and the smallest.
    C,
    /// JavaScript, run by QuickJS.
    Js,
    /// Python, run by CPython.
    Python,
}

/// How `plugin list` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table for people.
    Table,
    /// A JSON array of objects.
    Json,
}

/// The least level that `plugin logs` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LineLevel {
    /// Everything.
    Debug,
    /// What is worth knowing.
    Info,
    /// What is worth a look.
    Warn,
    /// What failed.
    Error,
}

/// What `plugin new` starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PluginTemplate {
    /// A function for SQL: a value for each row.
    Scalar,
    /// An aggregate for SQL: a value for each group of rows.
    Aggregate,
    /// A table function for SQL: rows from constants.
    Table,
    /// Looks at rows as they are written.
    Processor,
    /// Loads an artifact and scores rows.
    Model,
    /// Joins two values of one cell, written on two nodes.
    Merge,
    /// Says what of a table's rows leaves the node.
    Filter,
}

impl PluginTemplate {
    /// The kind in lower case.
    pub fn name(self) -> &'static str {
        match self {
            PluginTemplate::Scalar => "scalar",
            PluginTemplate::Aggregate => "aggregate",
            PluginTemplate::Table => "table",
            PluginTemplate::Processor => "processor",
            PluginTemplate::Model => "model",
            PluginTemplate::Merge => "merge",
            PluginTemplate::Filter => "filter",
        }
    }
}
