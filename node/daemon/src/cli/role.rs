//! `role …` and `auth token …`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::{KeyFile, NodeUrl};
use crate::config::Span;

/// What to do with a role of a data directory.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role that can log in; from then on everybody has to.
    #[command(
        after_help = "Examples:\n  activestore role create admin --superuser --data-dir ./data\n  printf '%s\\n' \"$SECRET\" | activestore role create admin --superuser --data-dir ./data"
    )]
    Create {
        /// Its name.
        name: String,
        /// It may do everything; the first role has to be one.
        #[arg(long)]
        superuser: bool,
        /// The data directory.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        data_dir: PathBuf,
        /// Its key.
        #[command(flatten)]
        key: KeyFile,
    },
    /// Give a role another password: the way back in for who owns the machine.
    #[command(after_help = "Example:\n  activestore role password admin --data-dir ./data")]
    Password {
        /// Its name.
        name: String,
        /// The data directory.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        data_dir: PathBuf,
        /// Its key.
        #[command(flatten)]
        key: KeyFile,
    },
}

/// `auth …`.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Tokens that stand for a role.
    #[command(
        subcommand,
        after_help = "Example:\n  activestore auth token create --role gateway --expires 30d"
    )]
    Token(AuthTokenCommand),
}

/// `auth token …`.
#[derive(Debug, Subcommand)]
pub enum AuthTokenCommand {
    /// Print a new token; it is shown this once.
    #[command(
        after_help = "Example:\n  export ACTIVESTORE_AUTH_TOKEN=$(activestore auth token create --user admin --role gateway --expires 30d)"
    )]
    Create {
        /// The role that it stands for.
        #[arg(long)]
        role: String,
        /// How long it is valid; until it is revoked unless it is told.
        #[arg(long)]
        expires: Option<Span>,
        /// What people call it.
        #[arg(long, default_value = "")]
        label: String,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// The tokens that you may see, without their secrets.
    #[command(after_help = "Example:\n  activestore auth token list")]
    List {
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// End a token before its time.
    #[command(after_help = "Example:\n  activestore auth token revoke 9f3a1c079f3a1c07")]
    Revoke {
        /// Its id, as `auth token list` shows it and as it stands in the token.
        id: String,
        /// The node.
        #[command(flatten)]
        node: NodeUrl,
    },
}
