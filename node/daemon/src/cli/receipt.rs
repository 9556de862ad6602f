//! `sync receipt …`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::NodeUrl;

/// What to do with receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// The receipts that an edge holds, or that a cloud issued last.
    #[command(after_help = "Example:\n  activestore sync receipt list")]
    List {
        /// Those of this further cloud alone, of [[sync.also]].
        #[arg(long, value_name = "NAME")]
        cloud: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Write the receipts to a file that proves by itself what the cloud holds.
    #[command(after_help = "Example:\n  activestore sync receipt export --out receipts.json")]
    Export {
        /// Where to; standard output where it is left out.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// Those of this further cloud alone, of [[sync.also]].
        #[arg(long, value_name = "NAME")]
        cloud: Option<String>,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Check a file of receipts without a node; exit code 1 where one does not hold.
    #[command(
        after_help = "Example:\n  activestore sync receipt verify receipts.json --ca data/identity/ca.crt"
    )]
    Verify {
        /// What `sync receipt export` wrote.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The fleet's authority: `identity/ca.crt` in the data directory of the cloud, or of any edge; of a further
        /// cloud `cloud-NAME/ca.crt`.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        ca: PathBuf,
    },
}
