//! Telling the world where the node listens: one line a listener on stdout, and
//! `<data-dir>/listeners.json` once everything is ready. The file goes when the node stops.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};
use serde_json::{Map, Value};

const FILE: &str = "listeners.json";

/// The listeners of a running node.
#[derive(Default)]
pub struct Listeners {
    found: Vec<(&'static str, SocketAddr)>,
    path: Option<PathBuf>,
}

impl Listeners {
    /// Removes what a node that was killed left behind.
    pub fn forget(data_dir: &Path) {
        // A file that cannot be removed is replaced later, or the error is met then.
        let _ = std::fs::remove_file(data_dir.join(FILE));
    }

    /// Adds one.
    pub fn add(&mut self, kind: &'static str, address: SocketAddr) {
        self.found.push((kind, address));
    }

    /// Prints the lines and writes the file, which a reader sees whole or not at all.
    ///
    /// # Errors
    /// Where the data directory cannot be written.
    pub fn announce(&mut self, data_dir: &Path, node: &str) -> Result<()> {
        let mut members = Map::new();
        for (kind, address) in &self.found {
            members.insert((*kind).to_owned(), Value::String(address.to_string()));
        }
        members.insert("node".to_owned(), Value::String(node.to_owned()));
        members.insert("pid".to_owned(), Value::from(std::process::id()));
        let path = data_dir.join(FILE);
        let part = data_dir.join("listeners.part");
        std::fs::write(&part, format!("{:#}\n", Value::Object(members)))
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(|error| Error::from(error).context(format!("writing {}", path.display())))?;
        self.path = Some(path);
        let mut out = std::io::stdout().lock();
        for (kind, address) in &self.found {
            // A closed stdout does not stop a node.
            let _ = writeln!(out, "listening {kind}={address}");
        }
        let _ = out.flush();
        Ok(())
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A stale file is removed by the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}
