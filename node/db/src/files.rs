//! Uploaded files by name: what `CREATE MODEL … WITH (file = 'pump.onnx')` finds. Once a model is
//! made of a file, its bytes live among the blobs and the name is free again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_env::{Keyring, ValueSealer};
use activestore_types::{Error, Result};

use crate::blobs::BLOB_BYTES_MAX;

/// The folder of uploaded files.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    sealer: Option<ValueSealer>,
}

impl Files {
    pub(crate) fn open(dir: &Path, keyring: Option<&Arc<Keyring>>) -> Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Files {
            dir: dir.to_owned(),
            sealer: keyring.map(|keyring| keyring.values("upload")),
        })
    }

    /// Stores a file under a plain name, replacing one of the same name.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(Error::invalid(format!(
                "file '{name}' holds {} bytes; at most {BLOB_BYTES_MAX} are taken",
                bytes.len()
            )));
        }
        let path = self.path(name)?;
        let part = self.dir.join(format!(".{name}.part"));
        let mut file = File::create(&part)?;
        match &self.sealer {
            Some(sealer) => file.write_all(&sealer.sealed(name.as_bytes(), bytes)?)?,
            None => file.write_all(bytes)?,
        }
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// The bytes of a file.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        let bytes = fs::read(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Error::not_found(format!("there is no uploaded file '{name}'"))
                    .with_hint(format!("POST it to /v1/files/{name} first"))
            } else {
                Error::from(error)
            }
        })?;
        match &self.sealer {
            Some(sealer) => sealer
                .open_vec(name.as_bytes(), bytes)
                .map_err(|error| error.context(path.display())),
            None => Ok(bytes),
        }
    }

    /// A name is one path component of plain characters: an upload must not leave its folder.
    fn path(&self, name: &str) -> Result<PathBuf> {
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if name.is_empty() || name.len() > 128 || name.starts_with('.') || !plain {
            return Err(Error::invalid(format!(
                "'{name}' is not a file name: letters, digits, '.', '_' and '-' expected"
            )));
        }
        Ok(self.dir.join(name))
    }
}
