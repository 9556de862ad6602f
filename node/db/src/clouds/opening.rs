//! Opens the outboxes of further clouds, and lets go of those of clouds that are not named any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use activestore_env::{Env, Keyring};
use activestore_types::{Error, Lsn, NodeId, Result};
use parking_lot::Mutex;

use super::{Clouds, Further, Kept, OWN_CLOUD};
use crate::events::Kind;
use crate::identity::Identity;
use crate::options::{DbOptions, FullOutbox, FurtherCloud};
use crate::outbox::opening::open_outbox;
use crate::outbox::queue::Queue;
use crate::outbox::{Addressee, Sources};

/// Before a cloud's name: its directory in the data directory, with its outbox and what this node is to it.
const PREFIX: &str = "cloud-";
/// A cloud's outbox in its directory.
const QUEUE: &str = "outbox.redb";
/// Where the outbox keeps whose it is.
const KEPT: &str = "further";
/// Each has a thread, a file and a pass over the log.
const CLOUDS_MAX: usize = 8;
const NAME_MAX: usize = 32;
const TABLES_MAX: usize = 256;
/// What may wait for a further cloud unless told otherwise: it is never unbounded, since writes do not stop for it.
const OUTBOX_BYTES: u64 = 256_000_000;

/// The directory of a further cloud, below the data directory: its outbox, keys and certificates.
pub(crate) fn directory(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The outbox of a further cloud, below the data directory.
pub(crate) fn queue_file(name: &str) -> String {
    format!("{PREFIX}{name}/{QUEUE}")
}

/// Whether a file of a folder of the data directory is such an outbox, or one that is being written anew.
pub(crate) fn is_queue(folder: &str, file: &str) -> bool {
    folder.starts_with(PREFIX) && file.starts_with(QUEUE)
}

/// Whether a file below the data directory may be for its owner's eyes alone.
pub(crate) fn is_private(file: &str) -> bool {
    file.starts_with(PREFIX)
}

/// The names of the directories of further clouds, sorted.
pub(crate) fn directories(dir: &Path) -> Result<Vec<String>> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && name.starts_with(PREFIX)
            && entry.file_type()?.is_dir()
        {
            all.insert(name);
        }
    }
    Ok(all.into_iter().collect())
}

/// The files of further clouds' outboxes, as paths below a data directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn further_outboxes(dir: &Path) -> Result<Vec<String>> {
    let all = directories(dir)?.into_iter();
    let files = all.map(|directory| format!("{directory}/{QUEUE}"));
    Ok(files.filter(|file| dir.join(file).exists()).collect())
}

impl FurtherCloud {
    /// One that takes every table that travels up; 256 MB may wait for it.
    pub fn named(name: &str) -> Self {
        FurtherCloud {
            name: name.to_owned(),
            tables: vec!["*".to_owned()],
            outbox_bytes_max: OUTBOX_BYTES,
            at_limit: FullOutbox::default(),
        }
    }

    /// Its directory below the data directory: its outbox, and what this node is to it.
    pub fn directory(&self) -> String {
        directory(&self.name)
    }

    /// Whether it can be one.
    ///
    /// # Errors
    /// `Invalid`, saying what is wrong.
    pub fn check(&self) -> Result<()> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME_MAX || !self.name.chars().all(letter) {
            return Err(Error::invalid(format!(
                "'{}' cannot name a further cloud",
                self.name
            ))
            .with_hint(format!(
                "a name has up to {NAME_MAX} small letters, digits and '-'; it becomes a directory"
            )));
        }
        if self.name == OWN_CLOUD {
            return Err(Error::invalid(format!(
                "no further cloud can be named '{OWN_CLOUD}': the node's own cloud is"
            ))
            .with_hint("give it another name"));
        }
        let is_pattern = |pattern: &String| match pattern.split_once('.') {
            Some((keyspace, table)) => {
                let named = |part: &str| !part.is_empty() && !part.contains(['*', '.']);
                named(keyspace) && (table == "*" || named(table))
            }
            None => pattern == "*",
        };
        let odd = self.tables.iter().find(|pattern| !is_pattern(pattern));
        if let Some(odd) = odd {
            return Err(Error::invalid(format!(
                "'{odd}' names no tables for the cloud '{}'",
                self.name
            ))
            .with_hint("write KEYSPACE.TABLE, KEYSPACE.*, or * for all that travel up"));
        }
        if self.tables.is_empty() || self.tables.len() > TABLES_MAX {
            return Err(Error::invalid(format!(
                "the cloud '{}' takes {} names of tables: 1 to {TABLES_MAX} are expected",
                self.name,
                self.tables.len()
            ))
            .with_hint("leave tables away to ship all that travel up"));
        }
        if self.outbox_bytes_max == 0 {
            return Err(
                Error::invalid(format!("nothing may wait for the cloud '{}'", self.name))
                    .with_hint("write what may, as in outbox_bytes = \"256MB\", or leave it away"),
            );
        }
        Ok(())
    }
}

impl Clouds {
    /// The outboxes of the clouds that the options name, or that the directory has.
    ///
    /// # Errors
    /// As [`open_outbox`].
    pub(crate) fn open(
        dir: &Path,
        options: &DbOptions,
        identity: &Identity,
        sources: &Sources,
        keyring: Option<&Arc<Keyring>>,
    ) -> Result<Clouds> {
        let wanted = match &options.also {
            Some(wanted) => {
                let_others_go(dir, wanted, identity.node, sources, keyring)?;
                wanted.clone()
            }
            None => found(dir, identity.node, &sources.env, keyring)?,
        };
        if !options.outbox {
            return Ok(Clouds::default());
        }
        let open = |cloud: FurtherCloud| {
            let path = dir.join(queue_file(&cloud.name));
            make_private(&dir.join(directory(&cloud.name)))?;
            let outbox = Arc::new(open_outbox(
                &path,
                Addressee::further_cloud(&cloud),
                options,
                identity,
                sources.clone(),
                keyring,
            )?);
            // While it took other tables, rows of these were not shipped to it.
            let before = kept(outbox.queue())?.filter(|kept| kept.cloud.tables == cloud.tables);
            let born = before.map_or_else(|| sources.env.rng.next_u64(), |kept| kept.born);
            let cloud_kept = Kept {
                cloud: cloud.clone(),
                born,
            };
            let bytes = postcard::to_stdvec(&cloud_kept)
                .map_err(|error| Error::internal(format!("a further cloud: {error}")))?;
            outbox.queue().keep(KEPT, Some(&bytes), true)?;
            Ok(Arc::new(Further {
                cloud,
                outbox,
                born,
                verifier: OnceLock::new(),
                refused_receipt: Mutex::new(None),
                settling: Mutex::new(None),
                outcome: Mutex::new(None),
            }))
        };
        Ok(Clouds(wanted.into_iter().map(open).collect::<Result<_>>()?))
    }
}

/// Makes the directory of a further cloud, which holds keys as well.
fn make_private(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(Error::from)
}

/// Whether a node can have these further clouds.
///
/// # Errors
/// `Invalid`, saying what is wrong.
pub(crate) fn check_all(clouds: &[FurtherCloud]) -> Result<()> {
    clouds.iter().try_for_each(FurtherCloud::check)?;
    let names: BTreeSet<&str> = clouds.iter().map(|cloud| cloud.name.as_str()).collect();
    if names.len() < clouds.len() {
        return Err(Error::invalid("two further clouds have one name"));
    }
    if clouds.len() > CLOUDS_MAX {
        return Err(Error::invalid(format!(
            "{} further clouds are named, and a node ships to {CLOUDS_MAX} at most",
            clouds.len()
        )));
    }
    Ok(())
}

fn kept(queue: &Queue) -> Result<Option<Kept>> {
    let all = queue.kept(KEPT)?.into_iter();
    let mut all = all.filter(|(rest, _)| rest.is_empty());
    let Some((_, bytes)) = all.next() else {
        return Ok(None);
    };
    postcard::from_bytes(&bytes)
        .map(Some)
        .map_err(|error| Error::corrupt(format!("whose an outbox is cannot be read: {error}")))
}

/// The clouds that the directory has outboxes of.
fn found(
    dir: &Path,
    node: NodeId,
    env: &Env,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Vec<FurtherCloud>> {
    let mut all = Vec::new();
    for file in further_outboxes(dir)? {
        let queue = Queue::open(&dir.join(file), node, &env.rng, Lsn(1), keyring)?;
        // One without a word was cut off before anything was sealed for it.
        all.extend(kept(&queue)?.map(|kept| kept.cloud));
    }
    Ok(all)
}

/// Removes the outboxes of clouds that are not named any more: nothing holds the log for them then. Keys stay.
fn let_others_go(
    dir: &Path,
    wanted: &[FurtherCloud],
    node: NodeId,
    sources: &Sources,
    keyring: Option<&Arc<Keyring>>,
) -> Result<()> {
    for file in further_outboxes(dir)? {
        let folder = file.split('/').next().unwrap_or_default();
        if wanted.iter().any(|cloud| directory(&cloud.name) == folder) {
            continue;
        }
        let path: PathBuf = dir.join(&file);
        // One that is damaged goes all the same.
        let waiting = match Queue::open(&path, node, &sources.env.rng, Lsn(1), keyring) {
            Ok(queue) => {
                let chains = queue.standing().chains;
                let rows: u64 = chains.iter().map(|chain| chain.pending_rows).sum();
                format!("{rows} rows")
            }
            Err(_) => "what".to_owned(),
        };
        std::fs::remove_file(&path)?;
        let name = folder.strip_prefix(PREFIX).unwrap_or(folder);
        let text = format!(
            "the cloud '{name}' is not among the further clouds any more: {waiting} that waited for it will not be shipped; its \
             keys stay in {folder}"
        );
        tracing::warn!("{text}");
        sources.events.tell(Kind::CloudLetGo, None, text);
    }
    Ok(())
}
