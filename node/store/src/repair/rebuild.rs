//! What a lost manifest held: its copy, if that can be read, and else what the SSTables say.
//!
//! A copy that is whole is the manifest, or the one before its last change: whatever the last
//! change made superfluous is given back only once the copy tells of it, so nothing is lost. A copy
//! that breaks off is a start: files that are newer than it are added. They may hold what older ones
//! hold, which merging does not mind. Without a copy the footers give tables and files; the nodes
//! behind the origins, range deletes that are flushed and notes that are flushed are then lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_env::Disk;
use activestore_sst::Sst;
use activestore_types::{Lsn, OriginId, Result, TableId};

use super::{DAMAGED, Known};
use crate::disks::table_disk;
use crate::manifest::{Contents, EntrySealer, FileRecord, copy};
use crate::store::{SST_DIR, sst_path};
use crate::wal::survey::Survey;

/// The contents of a manifest that is lost.
pub(super) struct Rebuilt {
    pub(super) contents: Contents,
    /// Whether these are the contents of a moment, rather than gathered.
    pub(super) exact: bool,
    /// Origins in rows whose node nothing names.
    pub(super) unknown_origins: BTreeSet<OriginId>,
    /// What could not be told.
    pub(super) lost: Vec<String>,
}

impl Rebuilt {
    pub(super) fn exactly(contents: Contents) -> Rebuilt {
        Rebuilt {
            contents,
            exact: true,
            unknown_origins: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// Makes gathered contents start where the log that is there does.
    pub(super) fn meet(&mut self, survey: &mut Survey) {
        if let Some((first, _)) = survey.range() {
            self.contents.flushed = Lsn(first.0.saturating_sub(1));
        }
        self.contents.hold = None;
        survey.forget_before_first();
        let schemas = &self.contents.schemas;
        let defined = |id: &TableId| schemas.iter().any(|schema| schema.id == *id);
        let undefined = survey.tables.iter().filter(|id| !defined(id));
        let ids: Vec<String> = undefined.map(|id| id.0.to_string()).collect();
        if !ids.is_empty() {
            self.lost.push(format!(
                "the log has rows of tables that nothing defines, with the ids {}",
                ids.join(", ")
            ));
        }
    }
}

/// `trusting` is whether a copy that is whole is taken as it is.
pub(super) fn rebuild(disk: &Arc<dyn Disk>, known: &Known, trusting: bool) -> Result<Rebuilt> {
    let keyring = known.keyring.as_ref();
    let tables = table_disk(disk, keyring);
    let (base, whole, told) =
        match copy::read(disk.as_ref(), copy::PATH, &EntrySealer::new(keyring)) {
            Ok(told) => (told.contents, told.damage.is_none(), true),
            Err(_) => (Contents::new(), false, false),
        };
    if told {
        base.check_owner(known.node)?;
    }
    let found = found(disk)?;
    let missing = base
        .files
        .iter()
        .any(|file| !found.iter().any(|(id, _)| *id == file.id));
    let mut rebuilt = Rebuilt::exactly(base);
    if whole && trusting && !missing {
        return Ok(rebuilt);
    }
    rebuilt.exact = false;
    let contents = &mut rebuilt.contents;
    let later = contents.next_file;
    let last_table = contents.schemas.iter().map(|schema| schema.id).max();
    let mut added = 0;
    for (id, path) in found.iter().filter(|(id, _)| *id >= later) {
        // One that cannot be opened is named by nothing: it is left where it lies, and renamed.
        let Ok(sst) = Sst::open(&tables, path) else {
            rebuilt.lost.push(format!(
                "{path} cannot be opened, and nothing else says what it held"
            ));
            super::set_aside(disk.as_ref(), path)?;
            continue;
        };
        let schema = sst.schema();
        let listed = contents.schemas.iter().position(|old| old.id == schema.id);
        if listed.is_none() && last_table.is_some_and(|last| schema.id <= last) {
            continue;
        }
        match listed.and_then(|at| contents.schemas.get_mut(at)) {
            Some(old) if old.version < schema.version => *old = schema.as_ref().clone(),
            Some(_) => {}
            None => contents.schemas.push(schema.as_ref().clone()),
        }
        note_origins(&sst, &mut rebuilt.unknown_origins);
        contents.files.push(FileRecord {
            table: schema.id,
            id: *id,
            meta: sst.meta().clone(),
        });
        contents.max_hlc = contents.max_hlc.max(sst.meta().max_hlc);
        contents.next_file = contents.next_file.max(id + 1);
        added += 1;
    }
    for schema in &known.schemas {
        if !contents.schemas.iter().any(|other| other.id == schema.id) {
            contents.schemas.push(schema.as_ref().clone());
        }
    }
    let origins = &contents.origins;
    rebuilt
        .unknown_origins
        .retain(|origin| *origin != OriginId(0) && !origins.contains_key(origin));
    // How far the log is flushed cannot be told: all of it is replayed.
    contents.flushed = Lsn(0);
    if told && added > 0 {
        // A merge that the copy does not tell of has put one of these in their place.
        contents
            .files
            .retain(|file| found.iter().any(|(id, _)| *id == file.id));
    }
    rebuilt.lost.push(if told {
        format!(
            "the manifest's copy breaks off or is old; {added} newer SSTables are added, and range deletes, notes and origins that came after it and are no longer in the log are lost"
        )
    } else {
        format!(
            "the manifest and its copy are lost; the tables are those of {added} SSTables, and range deletes, notes and the nodes behind origins that are no longer in the log are lost"
        )
    });
    Ok(rebuilt)
}

/// The SSTables that lie in the folder, set aside or not, by number.
fn found(disk: &Arc<dyn Disk>) -> Result<Vec<(u64, String)>> {
    let mut found: Vec<(u64, String)> = Vec::new();
    for name in disk.list(SST_DIR)? {
        let whole = name.strip_suffix(DAMAGED).unwrap_or(&name);
        let number = whole.strip_suffix(".sst").and_then(|id| id.parse().ok());
        if let Some(id) = number
            && !found.iter().any(|(known, _)| *known == id)
        {
            found.push((id, format!("{SST_DIR}/{name}")));
        }
    }
    Ok(found)
}

/// Where a file of the manifest lies: under its name, or set aside by a repair that was cut off.
pub(super) fn place(disk: &dyn Disk, id: u64) -> String {
    let path = sst_path(id);
    let aside = format!("{path}{DAMAGED}");
    if !disk.exists(&path) && disk.exists(&aside) {
        aside
    } else {
        path
    }
}

fn note_origins(sst: &Sst, origins: &mut BTreeSet<OriginId>) {
    for v in 0..sst.vectors() {
        if let Ok(batch) = sst.read_stamped(v, &[]) {
            origins.extend(batch.origin.iter().map(|origin| OriginId(*origin)));
        }
    }
}
