//! The arguments of `activestore plugin rollout`.

use clap::Subcommand;

use super::ListFormat;
use crate::cli::NodeUrl;

/// `plugin rollout …`.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Show where rollouts stand.
    #[command(after_help = "Example:\n  activestore plugin rollout list")]
    List {
        /// How they are printed.
        #[arg(long, value_enum, default_value = "table")]
        format: ListFormat,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Let no further wave follow for now; what has the version keeps it, and is watched.
    #[command(after_help = "Example:\n  activestore plugin rollout pause anomaly")]
    Pause {
        /// The plugin.
        plugin: String,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Let waves follow again.
    #[command(after_help = "Example:\n  activestore plugin rollout resume anomaly")]
    Resume {
        /// The plugin.
        plugin: String,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Give the edges that have the version the old one back.
    #[command(after_help = "Example:\n  activestore plugin rollout abort anomaly")]
    Abort {
        /// The plugin.
        plugin: String,
        /// The cloud node.
        #[command(flatten)]
        node: NodeUrl,
    },
}
