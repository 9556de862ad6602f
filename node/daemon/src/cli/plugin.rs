//! The arguments of `activestore plugin`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};

use super::{NodeUrl, name_value};

/// `plugin …`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a new plugin crate.
    #[command(after_help = "Example:\n  activestore plugin new celsius --kind scalar")]
    New {
        /// Its name: lower case letters, digits and -.
        name: String,
        /// What it is.
        #[arg(long, value_enum, default_value = "scalar")]
        kind: PluginTemplate,
        /// Where wasm-sdk/guest is, if not the released crate.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        sdk: Option<PathBuf>,
    },
    /// Compile the plugin crate in a directory to a component.
    #[command(after_help = "Example:\n  activestore plugin build ./celsius")]
    Build {
        /// The crate's directory.
        #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The component to write; default NAME.wasm in that directory.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Run a component on rows from a file, in the sandbox that a node uses.
    #[command(
        after_help = "Examples:\n  activestore plugin test celsius.wasm --rows rows.csv\n  activestore plugin test anomaly.wasm --rows rows.csv --set threshold=4.0"
    )]
    Test {
        /// The component.
        #[arg(value_hint = ValueHint::FilePath)]
        wasm: PathBuf,
        /// The rows: CSV or NDJSON by the file name.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        rows: PathBuf,
        /// The function or the aggregate to try; default the plugin's only one.
        #[arg(long)]
        function: Option<String>,
        /// A processor's setting, NAME=VALUE; may be given more than once.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_value)]
        settings: Vec<(String, String)>,
        /// A model plugin's artifact.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        artifact: Option<PathBuf>,
    },
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
    Sign {
        /// The component.
        #[arg(value_hint = ValueHint::FilePath)]
        wasm: PathBuf,
        /// The file of the key.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: PathBuf,
        /// Where the signed component goes; default in its own place.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Send a component to a node.
    #[command(after_help = "Example:\n  activestore plugin deploy celsius.wasm --name celsius")]
    Deploy {
        /// The component.
        #[arg(value_hint = ValueHint::FilePath)]
        wasm: PathBuf,
        /// Its name; default the file's.
        #[arg(long)]
        name: Option<String>,
        /// Its version.
        #[arg(long = "as", value_name = "VERSION")]
        version: Option<String>,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// List a node's plugins.
    #[command(after_help = "Example:\n  activestore plugin list")]
    List {
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Show a plugin's last log lines.
    #[command(after_help = "Example:\n  activestore plugin logs anomaly")]
    Logs {
        /// The plugin.
        name: String,
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

/// What `plugin new` starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PluginTemplate {
    /// A function for SQL: a value for each row.
    Scalar,
    /// An aggregate for SQL: a value for each group of rows.
    Aggregate,
    /// Looks at rows as they are written.
    Processor,
    /// Loads an artifact and scores rows.
    Model,
}
