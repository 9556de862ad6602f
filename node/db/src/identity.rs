//! Who this data directory is: a random 128-bit identity, made at the first opening and kept in the
//! file `node-id`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use activestore_env::Rng;
use activestore_types::{Error, NodeId, Result};

/// The identity of a data directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
}

impl Identity {
    /// Reads the identity, or makes it where there is none.
    pub(crate) fn open(dir: &Path, rng: &dyn Rng) -> Result<Self> {
        let path = dir.join("node-id");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Identity {
                node: text.trim().parse().map_err(|error: Error| {
                    Error::corrupt(format!(
                        "{} does not hold a node id: {error}",
                        path.display()
                    ))
                    .with_hint("restore the file from a backup")
                })?,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut bytes = [0_u8; 16];
                rng.fill(&mut bytes);
                let node = NodeId(bytes);
                let part = path.with_extension("part");
                let mut file = File::create(&part)?;
                writeln!(file, "{node}")?;
                file.sync_all()?;
                fs::rename(&part, &path)?;
                File::open(dir)?.sync_all()?;
                Ok(Identity { node })
            }
            Err(error) => Err(error.into()),
        }
    }
}
