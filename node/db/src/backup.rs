//! Backups of a whole node, taken while it runs, and restoring one.
//!
//! A backup is an index of files and the objects that hold their bytes, each under the SHA-256 of
//! its content: what an earlier backup has brought is not copied again, and one that was cut off goes
//! on where it stopped. An index is written last: it is there only when everything that it names is.
//!
//! Steps: 1. pin the log; 2. copy the outbox (it finds its place in the log that is pinned); 3. flush;
//! 4. with the definitions held still: picture the store, copy the catalog; 5. copy what is not there
//! yet; 6. write the index. A restored node has its identity and a new sync epoch, since the segments
//! it numbered after the backup may be known to its peers. The backup of an encrypted node is
//! encrypted as the node is, and holds its keyring; the key that opens it is not in it. Data keys that were
//! destroyed since an earlier backup are taken out of that one too, see [`keys`].

mod index;
mod keys;
mod restore;
mod source;
mod target;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_env::seal::KEYRING_FILE;
use activestore_types::{Error, Result};

use crate::blobs::hex;
use crate::clouds;
use crate::db::{Db, Inner};
use index::{FORMAT, Index, IndexFile};
use source::{Source, hashed, tail_of};

pub use index::{BACKUPS, BackupInfo, backups};
pub(crate) use restore::refuse_unfinished;
pub use restore::{Restored, restore};
pub use target::{Directory, Target};

/// Where copies of the small databases lie while a backup runs.
const WORK_DIR: &str = "backup-work";

/// Folders that a node's files lie in, beside those of the store.
const FOLDERS: [&str; 4] = ["blobs", "files", "identity", "identity-edges"];

/// How far a backup or a restore is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupStep {
    /// There are this many files with this many bytes.
    Total {
        /// Files.
        files: u64,
        /// Bytes.
        bytes: u64,
    },
    /// A file is done.
    File {
        /// Its path in the data directory.
        path: String,
        /// Its bytes.
        bytes: u64,
        /// Whether its bytes had to be copied.
        copied: bool,
    },
}

/// What a backup brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The backup's name.
    pub id: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Files that had to be copied.
    pub files_copied: u64,
    /// Bytes that had to be copied.
    pub bytes_copied: u64,
    /// The last commit in it.
    pub lsn: u64,
    /// Earlier backups that lost keys which the node has destroyed since.
    pub erased_from: u64,
}

impl Db {
    /// Backs the node up. Writes and queries go on meanwhile. `step` is told how far it is, and ends
    /// it with an error of its own. Blocks: call it off the asynchronous workers.
    ///
    /// # Errors
    /// `Conflict` while another backup runs; what the target and the store say. What was copied until
    /// then is not copied again the next time.
    pub fn backup(
        &self,
        target: &dyn Target,
        step: &mut dyn FnMut(BackupStep) -> Result<()>,
    ) -> Result<BackupReport> {
        let inner = &self.inner;
        let Some(_turn) = inner.backing_up.try_lock() else {
            return Err(Error::conflict("another backup of this node is running")
                .with_hint("wait for it, or stop it"));
        };
        let work = Work::open(&inner.options.data_dir)?;
        let keyring = inner.keyring.as_ref();
        let keys = keyring.map_or_else(Vec::new, |keyring| keyring.key_numbers());
        let (backup, sources) = picture(inner, &work)?;
        let earlier = index::latest_of(target, inner.node)?;
        let bytes = sources.iter().map(Source::bytes).sum();
        step(BackupStep::Total {
            files: sources.len() as u64,
            bytes,
        })?;
        let mut report = BackupReport {
            id: String::new(),
            files: sources.len() as u64,
            bytes,
            files_copied: 0,
            bytes_copied: 0,
            lsn: backup.lsn.0,
            erased_from: 0,
        };
        let mut files = Vec::with_capacity(sources.len());
        for source in &sources {
            let last = source.path() == KEYRING_FILE;
            if last {
                // Nothing may end the backup between these keys and the index that names them.
                step(BackupStep::File {
                    path: source.path().to_owned(),
                    bytes: source.bytes(),
                    copied: true,
                })?;
            }
            let (file, copied) = copy(source, earlier.as_ref(), target)?;
            if copied {
                report.files_copied += 1;
                report.bytes_copied += file.bytes;
            }
            if !last {
                step(BackupStep::File {
                    path: file.path.clone(),
                    bytes: file.bytes,
                    copied,
                })?;
            }
            files.push(file);
        }
        let made_ms = inner.env.clock.wall_ms();
        report.id = index::name(made_ms, inner.env.rng.next_u64());
        let index = Index {
            format: FORMAT,
            id: report.id.clone(),
            node: inner.node.to_string(),
            name: inner.options.name.clone(),
            role: inner.options.role.name().to_owned(),
            made_ms,
            lsn: backup.lsn.0,
            files,
            keys,
        };
        index.write(target)?;
        let destroyed = inner.store.destroyed_keys();
        report.erased_from = keys::forget_destroyed(target, &index, &destroyed)?;
        Ok(report)
    }
}

/// What the node consists of now. The files stay readable while the first value lives.
fn picture(
    inner: &Arc<Inner>,
    work: &Work,
) -> Result<(Arc<activestore_store::backup::Backup>, Vec<Source>)> {
    let dir = &inner.options.data_dir;
    let pin = inner.store.pin_log();
    let mut sources = vec![Source::file(dir, "node-id")?];
    if let Some(outbox) = &inner.outbox {
        outbox.copy_to(&work.path("outbox.redb"))?;
        sources.push(Source::file(&work.dir, "outbox.redb")?);
    }
    for further in inner.clouds.iter() {
        let file = clouds::queue_file(&further.cloud.name);
        fs::create_dir(work.path(&clouds::directory(&further.cloud.name)))?;
        further.outbox.copy_to(&work.path(&file))?;
        sources.push(Source::file(&work.dir, &file)?);
    }
    // So that little is left to flush while the definitions are held still.
    inner.store.flush()?;
    let backup = {
        let _still = inner.changing.lock();
        let backup = Arc::new(inner.store.backup(pin)?);
        inner.catalog.copy_to(&work.path("catalog.redb"))?;
        backup
    };
    sources.push(Source::file(&work.dir, "catalog.redb")?);
    sources.extend(Source::of_store(&backup));
    // After the catalog, so that whatever it names is there.
    let folders = FOLDERS.map(str::to_owned).into_iter();
    for folder in folders.chain(clouds::directories(dir)?) {
        for name in plain_files(&dir.join(&folder))? {
            if clouds::is_queue(&folder, &name) {
                continue;
            }
            sources.push(Source::file(dir, &format!("{folder}/{name}"))?);
        }
    }
    if inner.keyring.is_some() {
        // Wrapped under the key that the node was started with. Last, so that a backup that is cut
        // off leaves no keys that no index names.
        sources.push(Source::file(dir, KEYRING_FILE)?);
    }
    Ok((backup, sources))
}

/// The names of a folder's files, sorted; writes that are under way are not among them.
fn plain_files(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string();
        if let Ok(name) = name
            && entry.file_type()?.is_file()
            && !name.ends_with(".part")
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes sure that the target holds a file's bytes; whether they had to be copied.
fn copy(
    source: &Source,
    earlier: Option<&Index>,
    target: &dyn Target,
) -> Result<(IndexFile, bool)> {
    let tail = if source.immutable() {
        Some(tail_of(source)?)
    } else {
        None
    };
    // The store never gives a file's number to other rows; the tail holds every part's checksum.
    let known = earlier
        .and_then(|index| index.file(source.path()))
        .filter(|file| tail.is_some() && file.tail == tail && file.bytes == source.bytes());
    if let Some(known) = known
        && target.size(&object(&known.sha256))? == Some(known.bytes)
    {
        return Ok((known.clone(), false));
    }
    let sha256 = hex(&hashed(&mut source.reader())?);
    let file = IndexFile {
        path: source.path().to_owned(),
        bytes: source.bytes(),
        tail,
        sha256,
    };
    let name = object(&file.sha256);
    if target.size(&name)? == Some(file.bytes) {
        return Ok((file, false));
    }
    let mut reader = source.reader();
    target.put(&name, file.bytes, &mut reader)?;
    Ok((file, true))
}

/// Where the bytes with this hash lie.
fn object(sha256: &str) -> String {
    let folder = sha256.get(..2).unwrap_or("xx");
    format!("objects/{folder}/{sha256}")
}

/// The folder of the copies, emptied when a backup begins and when it ends.
struct Work {
    dir: PathBuf,
}

impl Work {
    fn open(data_dir: &Path) -> Result<Work> {
        let work = Work {
            dir: data_dir.join(WORK_DIR),
        };
        if work.dir.exists() {
            fs::remove_dir_all(&work.dir)?;
        }
        fs::create_dir(&work.dir)?;
        Ok(work)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::debug!(%error, "the copies made for a backup stay until the next one");
        }
    }
}
