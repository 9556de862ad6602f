//! A backup's index: what it is of and which objects it consists of, as JSON under
//! `backups/<id>.json`. The id begins with the time, so that names sort by age.

use activestore_types::{Error, ErrorKind, NodeId, Result};
use serde::{Deserialize, Serialize};

use super::target::Target;

/// The folder of the indexes.
pub const BACKUPS: &str = "backups";

/// Raised when the layout changes.
pub(super) const FORMAT: u32 = 1;

/// More than any index takes, in bytes.
const INDEX_BYTES_MAX: usize = 256 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) format: u32,
    pub(super) id: String,
    pub(super) node: String,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) made_ms: u64,
    pub(super) lsn: u64,
    pub(super) files: Vec<IndexFile>,
    /// The numbers of the keys in its keyring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexFile {
    /// The path in the data directory.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The hash of the last bytes, where the file never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tail: Option<String>,
}

/// A backup as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// Its name.
    pub id: String,
    /// The node that was backed up.
    pub node: String,
    /// That node's name for people.
    pub name: String,
    /// `edge`, `gateway` or `cloud`.
    pub role: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// The last commit in it.
    pub lsn: u64,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A new backup's name: `20261124T151502123Z-9f3a1c07`.
pub(super) fn name(made_ms: u64, random: u64) -> String {
    let made = i64::try_from(made_ms)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
        .unwrap_or_default();
    format!("{}-{:08x}", made.format("%Y%m%dT%H%M%S%3fZ"), random >> 32)
}

impl Index {
    pub(super) fn file(&self, path: &str) -> Option<&IndexFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn write(&self, target: &dyn Target) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal(format!("the backup's index: {error}")))?;
        let name = format!("{BACKUPS}/{}.json", self.id);
        target.put(&name, bytes.len() as u64, &mut bytes.as_slice())
    }

    /// Reads an index and refuses one that would lead out of a data directory.
    pub(super) fn read(target: &dyn Target, id: &str) -> Result<Index> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if id.is_empty() || !id.chars().all(plain) {
            return Err(
                Error::invalid(format!("'{id}' is not the name of a backup"))
                    .with_hint("activestore backup list shows their names"),
            );
        }
        let mut bytes = Bounded(Vec::new());
        let read = target.get(&format!("{BACKUPS}/{id}.json"), &mut bytes);
        read.map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                Error::not_found(format!("{} holds no backup {id}", target.describe()))
                    .with_hint("activestore backup list shows what is there")
            } else {
                error
            }
        })?;
        let damaged =
            |what: String| Error::corrupt(format!("the index of backup {id} is damaged: {what}"));
        let index: Index =
            serde_json::from_slice(&bytes.0).map_err(|error| damaged(error.to_string()))?;
        if index.format != FORMAT {
            return Err(Error::invalid(format!(
                "backup {id} has format {}, this program knows {FORMAT}",
                index.format
            ))
            .with_hint("use the release that made it, or a newer one"));
        }
        for file in &index.files {
            let path = file.path.split('/');
            let inside = path.clone().count() <= 2
                && path
                    .into_iter()
                    .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\\'));
            let hash =
                file.sha256.len() == 64 && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !inside || !hash {
                return Err(damaged(format!("it names '{}'", file.path)));
            }
        }
        Ok(index)
    }

    fn info(&self) -> BackupInfo {
        BackupInfo {
            id: self.id.clone(),
            node: self.node.clone(),
            name: self.name.clone(),
            role: self.role.clone(),
            made_ms: self.made_ms,
            lsn: self.lsn,
            files: self.files.len() as u64,
            bytes: self.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// The names of all backups at a place, oldest first.
pub(super) fn ids(target: &dyn Target) -> Result<Vec<String>> {
    let names = target.list(BACKUPS)?.into_iter();
    Ok(names
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect())
}

/// All backups at a place, oldest first.
///
/// # Errors
/// What the place says; `Corrupt` for an index that cannot be read.
pub fn backups(target: &dyn Target) -> Result<Vec<BackupInfo>> {
    ids(target)?
        .iter()
        .map(|id| Ok(Index::read(target, id)?.info()))
        .collect()
}

/// The newest readable backup of a node.
pub(super) fn latest_of(target: &dyn Target, node: NodeId) -> Result<Option<Index>> {
    let node = node.to_string();
    let newest_first = ids(target)?.into_iter().rev();
    Ok(newest_first
        .filter_map(|id| Index::read(target, &id).ok())
        .find(|index| index.node == node))
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > INDEX_BYTES_MAX {
            return Err(std::io::Error::other("the index is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
