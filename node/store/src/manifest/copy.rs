//! The manifest told a second time, in a plain file beside it: what it held at some moment, and
//! every change since, each with its number and a checksum. A damaged manifest is rebuilt from it.
//! It is never read while the manifest is whole, except to see whether it may be continued.
//!
//! Invariant: a change is told here after the manifest holds it and before anything that the change
//! made superfluous (a merged file, a flushed log segment) is given back. So whatever the file says,
//! the disk has all of it. In an encrypted directory each frame is sealed under its place. A telling that fails changes nothing for the caller: the file is written
//! anew with the next change, and until then it is as old as its last frame says.

use std::sync::Arc;

use activestore_env::{Disk, DiskFile};
use activestore_types::{
    Error, Hlc, Lsn, NodeId, OriginId, RangeTombstone, Result, TableId, TableSchema,
};
use serde::{Deserialize, Serialize};

use super::seal::EntrySealer;
use super::tables::StoredTombstone;
use super::{Contents, Edit, FileRecord};
use crate::write_set::Note;

pub(crate) const PATH: &str = "manifest.copy";
const NEW_PATH: &str = "manifest.copy.new";

/// The first eight bytes; the last one is the version.
const MAGIC: [u8; 8] = *b"ASTMANC\x01";
/// The name under which frames are sealed.
const SEALED_AS: &str = "copy";
/// Length and checksum before each frame.
const FRAME_HEAD_BYTES: usize = 8;
/// Changes are appended until they take this many bytes or as many as the state before them.
const TAIL_BYTES_MIN: u64 = 256 << 10;

/// One frame: the state, or a change of it.
#[derive(Serialize, Deserialize)]
struct Frame {
    /// The manifest's number of changes once this one is in it.
    changes: u64,
    schemas: Vec<TableSchema>,
    drop_tables: Vec<TableId>,
    origins: Vec<(OriginId, NodeId)>,
    add_files: Vec<FileRecord>,
    remove_files: Vec<(TableId, u64)>,
    tombstones: Vec<(TableId, Vec<StoredTombstone>)>,
    notes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    flushed: Option<Lsn>,
    max_hlc: Option<Hlc>,
    next_file: Option<u64>,
    hold: Option<Option<Lsn>>,
}

impl Frame {
    fn of(edit: &Edit, changes: u64) -> Frame {
        Frame {
            changes,
            schemas: edit
                .schemas
                .iter()
                .map(|schema| TableSchema::clone(schema))
                .collect(),
            drop_tables: edit.drop_tables.clone(),
            origins: edit.origins.clone(),
            add_files: edit.add_files.clone(),
            remove_files: edit.remove_files.clone(),
            tombstones: edit
                .tombstones
                .iter()
                .map(|(table, list)| (*table, list.iter().map(StoredTombstone::from).collect()))
                .collect(),
            notes: edit
                .notes
                .iter()
                .map(|note| (note.key.clone(), note.value.clone()))
                .collect(),
            flushed: edit.flushed,
            max_hlc: edit.max_hlc,
            next_file: edit.next_file,
            hold: edit.hold,
        }
    }

    /// The frame as it stands at byte `at` of a copy.
    fn encode(&self, at: u64, sealer: &EntrySealer) -> Result<Vec<u8>> {
        let payload = postcard::to_stdvec(self).map_err(|error| {
            Error::internal(format!("the manifest's copy cannot be encoded: {error}"))
        })?;
        let payload = sealer.seal(SEALED_AS, (0, at), payload)?;
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::internal("a frame of the manifest's copy passes 4 GiB"))?;
        let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32c::crc32c(&payload).to_le_bytes());
        bytes.extend(payload);
        Ok(bytes)
    }

    fn apply(self, contents: &mut Contents) {
        contents.changes = self.changes;
        for schema in self.schemas {
            contents.schemas.retain(|known| known.id != schema.id);
            contents.schemas.push(schema);
        }
        contents.origins.extend(self.origins);
        contents
            .files
            .retain(|file| !self.remove_files.contains(&(file.table, file.id)));
        contents.files.extend(self.add_files);
        for (table, list) in self.tombstones {
            let list: Vec<RangeTombstone> =
                list.into_iter().map(|stored| stored.of(table)).collect();
            contents.tombstones.insert(table, list);
        }
        for table in self.drop_tables {
            contents.schemas.retain(|schema| schema.id != table);
            contents.files.retain(|file| file.table != table);
            contents.tombstones.remove(&table);
        }
        for (key, value) in self.notes {
            match value {
                Some(value) => contents.notes.insert(key, value),
                None => contents.notes.remove(&key),
            };
        }
        contents.flushed = self.flushed.unwrap_or(contents.flushed);
        contents.max_hlc = self.max_hlc.unwrap_or(contents.max_hlc);
        contents.next_file = self.next_file.unwrap_or(contents.next_file);
        contents.hold = self.hold.unwrap_or(contents.hold);
    }
}

/// What a copy says, as far as it can be read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) contents: Contents,
    /// The end of the last frame that can be read.
    pub(crate) end: u64,
    /// Bytes of the first frame, the state.
    state_bytes: u64,
    /// Why what follows `end` is not a frame, if anything follows.
    pub(crate) damage: Option<Error>,
}

/// Reads a copy up to its end or to the first byte that is not what was written.
///
/// # Errors
/// `Corrupt` where not even its first frame can be read; as the disk.
pub(crate) fn read(disk: &dyn Disk, path: &str, sealer: &EntrySealer) -> Result<Told> {
    let file = disk.open(path)?;
    let length = file.len()?;
    let mut magic = [0; MAGIC.len()];
    let found = file.read_at(0, &mut magic)?;
    if found != magic.len() || magic != MAGIC {
        return Err(Error::corrupt(format!(
            "{path} does not start as a copy of a manifest of a known version"
        )));
    }
    let mut told = Told {
        contents: Contents::new(),
        end: MAGIC.len() as u64,
        state_bytes: 0,
        damage: None,
    };
    while told.end < length {
        match read_frame(file.as_ref(), told.end, length, sealer) {
            Ok((frame, bytes)) => {
                if told.state_bytes == 0 {
                    told.state_bytes = bytes;
                }
                frame.apply(&mut told.contents);
                told.end += bytes;
            }
            Err(error) => {
                told.damage = Some(error.context(format!("{path}, byte {}", told.end)));
                break;
            }
        }
    }
    told.contents.check_numbers()?;
    if told.state_bytes == 0 {
        return Err(told
            .damage
            .unwrap_or_else(|| Error::corrupt(format!("{path} holds nothing"))));
    }
    Ok(told)
}

fn read_frame(
    file: &dyn DiskFile,
    at: u64,
    length: u64,
    sealer: &EntrySealer,
) -> Result<(Frame, u64)> {
    let torn = || Error::corrupt("the file ends inside a frame");
    let mut head = [0; FRAME_HEAD_BYTES];
    if file.read_at(at, &mut head)? != head.len() {
        return Err(torn());
    }
    let [a, b, c, d, e, f, g, h] = head;
    let bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let crc = u32::from_le_bytes([e, f, g, h]);
    let total = bytes + FRAME_HEAD_BYTES as u64;
    if at + total > length {
        return Err(torn());
    }
    let mut payload = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(at + FRAME_HEAD_BYTES as u64, &mut payload)?;
    if crc32c::crc32c(&payload) != crc && !cfg!(fuzzing) {
        return Err(Error::corrupt("the checksum of a frame does not match"));
    }
    let payload = sealer.open(SEALED_AS, (0, at), &payload)?;
    let frame = postcard::from_bytes(&payload)
        .map_err(|error| Error::corrupt(format!("a frame cannot be read: {error}")))?;
    Ok((frame, total))
}

/// Writes a copy that holds one state, whole or not at all; returns its length.
///
/// # Errors
/// As the disk; what was under the name before is then still there.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &str,
    contents: &Contents,
    sealer: &EntrySealer,
) -> Result<u64> {
    if disk.exists(NEW_PATH) {
        disk.remove(NEW_PATH)?;
    }
    let bytes = encode(contents, sealer)?;
    let file = disk.create(NEW_PATH)?;
    file.write_at(0, &bytes)?;
    file.sync_data()?;
    disk.rename(NEW_PATH, path)?;
    disk.sync_dir("")?;
    Ok(bytes.len() as u64)
}

/// The bytes of a copy that holds one state.
///
/// # Errors
/// `Internal` where it would pass 4 GiB.
pub(crate) fn encode(contents: &Contents, sealer: &EntrySealer) -> Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let frame =
        Frame::of(&contents.as_edit(), contents.changes).encode(bytes.len() as u64, sealer)?;
    bytes.extend(frame);
    Ok(bytes)
}

/// The copy as it is continued with each change.
pub(super) struct Copy {
    disk: Arc<dyn Disk>,
    sealer: Arc<EntrySealer>,
    /// `None` while the file has to be written anew.
    open: Option<Open>,
}

struct Open {
    file: Arc<dyn DiskFile>,
    end: u64,
    state_bytes: u64,
}

impl Copy {
    /// The copy that lies beside the manifest, continued where it is whole and says what the
    /// manifest says, and written anew otherwise.
    pub(super) fn of(disk: &Arc<dyn Disk>, contents: &Contents, sealer: &Arc<EntrySealer>) -> Copy {
        let mut copy = Copy {
            disk: Arc::clone(disk),
            sealer: Arc::clone(sealer),
            open: None,
        };
        let told = read(disk.as_ref(), PATH, sealer).ok();
        let current =
            told.filter(|told| told.damage.is_none() && told.contents.changes == contents.changes);
        copy.open = current.and_then(|told| {
            Some(Open {
                file: disk.open(PATH).ok()?,
                end: told.end,
                state_bytes: told.state_bytes,
            })
        });
        if copy.open.is_none() {
            copy.retell(contents);
        }
        copy
    }

    /// Tells one change. `state` gives what the manifest holds with it, where all of it is needed.
    pub(super) fn tell(
        &mut self,
        edit: &Edit,
        changes: u64,
        state: impl FnOnce() -> Result<Contents>,
    ) {
        if let Some(open) = &mut self.open
            && open.end < (2 * open.state_bytes).max(open.state_bytes + TAIL_BYTES_MIN)
        {
            let told = Frame::of(edit, changes)
                .encode(open.end, &self.sealer)
                .and_then(|frame| open.append(&frame));
            match told {
                Ok(()) => return,
                Err(error) => warn(&error),
            }
        }
        self.open = None;
        match state() {
            Ok(contents) => self.retell(&contents),
            Err(error) => warn(&error),
        }
    }

    fn retell(&mut self, contents: &Contents) {
        if let Err(error) = self.rewrite(contents) {
            warn(&error);
        }
    }

    /// Writes the file anew.
    ///
    /// # Errors
    /// As the disk; the next change writes it anew then.
    pub(super) fn rewrite(&mut self, contents: &Contents) -> Result<()> {
        self.open = None;
        let end = write(self.disk.as_ref(), PATH, contents, &self.sealer)?;
        self.open = Some(Open {
            file: self.disk.open(PATH)?,
            end,
            state_bytes: end,
        });
        Ok(())
    }
}

impl Open {
    fn append(&mut self, frame: &[u8]) -> Result<()> {
        self.file.write_at(self.end, frame)?;
        self.file.sync_data()?;
        self.end += frame.len() as u64;
        Ok(())
    }
}

fn warn(error: &Error) {
    tracing::warn!(%error, "the manifest's copy could not be continued; it is written anew with the next change");
}

impl Contents {
    /// Everything as one change of an empty manifest.
    pub(crate) fn as_edit(&self) -> Edit {
        Edit {
            schemas: self
                .schemas
                .iter()
                .map(|schema| Arc::new(schema.clone()))
                .collect(),
            origins: self.origins.iter().map(|(id, node)| (*id, *node)).collect(),
            add_files: self.files.clone(),
            tombstones: self
                .tombstones
                .iter()
                .map(|(table, list)| (*table, list.clone()))
                .collect(),
            notes: self
                .notes
                .iter()
                .map(|(key, value)| Note {
                    key: key.clone(),
                    value: Some(value.clone()),
                })
                .collect(),
            flushed: Some(self.flushed),
            max_hlc: Some(self.max_hlc),
            next_file: Some(self.next_file),
            hold: Some(self.hold),
            ..Edit::default()
        }
    }
}
