//! Where backups go: a flat store of named objects, and the one that is a directory. Names are
//! '/'-separated, plain, and made by the backup alone.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};

/// A place for objects.
pub trait Target: Send + Sync {
    /// The place as a user names it.
    fn describe(&self) -> String;

    /// The names of the objects in a folder, without the folder, sorted; none where it is missing.
    ///
    /// # Errors
    /// What the place says.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// An object's length in bytes; `None` where there is no such object.
    ///
    /// # Errors
    /// What the place says.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Stores an object of `bytes` bytes, whole and durable, or not at all.
    ///
    /// # Errors
    /// What the place says, or the reader.
    fn put(&self, name: &str, bytes: u64, from: &mut dyn Read) -> Result<()>;

    /// Reads an object to its end.
    ///
    /// # Errors
    /// `NotFound` where there is none; what the place says, or the writer.
    fn get(&self, name: &str, to: &mut dyn Write) -> Result<()>;

    /// Removes an object, its bytes too as far as the place lets one; one that is not there is no
    /// error.
    ///
    /// # Errors
    /// What the place says.
    fn remove(&self, name: &str) -> Result<()>;
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at `root`, which need not exist yet.
    pub fn at(root: &Path) -> Directory {
        Directory {
            root: root.to_owned(),
        }
    }

    fn context(&self, name: &str, error: &io::Error) -> Error {
        let path = self.root.join(name);
        Error::from(io::Error::new(error.kind(), error.to_string())).context(path.display())
    }
}

/// The end of a name that is being written.
const PART: &str = ".part";

impl Target for Directory {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.context(folder, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.context(folder, &error))?;
            if let Ok(name) = entry.file_name().into_string()
                && !name.ends_with(PART)
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        match fs::metadata(self.root.join(name)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.context(name, &error)),
        }
    }

    fn put(&self, name: &str, _bytes: u64, from: &mut dyn Read) -> Result<()> {
        let path = self.root.join(name);
        let part = self.root.join(format!("{name}{PART}"));
        let mut written = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::create(&part)?;
            io::copy(from, &mut file)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            // The folders may be new as well.
            for folder in path.ancestors().skip(1) {
                File::open(folder)?.sync_all()?;
                if folder == self.root {
                    break;
                }
            }
            Ok(())
        };
        written().map_err(|error| self.context(name, &error))
    }

    fn get(&self, name: &str, to: &mut dyn Write) -> Result<()> {
        let mut file =
            File::open(self.root.join(name)).map_err(|error| self.context(name, &error))?;
        io::copy(&mut file, to).map_err(|error| self.context(name, &error))?;
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        let removed = || -> io::Result<()> {
            let file = File::options().write(true).open(&path)?;
            let length = file.metadata()?.len();
            io::copy(&mut io::repeat(0).take(length), &mut &file)?;
            file.sync_all()?;
            fs::remove_file(&path)?;
            match path.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        };
        match removed() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| self.context(name, &error)),
        }
    }
}
