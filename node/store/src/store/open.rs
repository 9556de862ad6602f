//! Opening: manifest, SSTables, log, in this order; what a crash left over is removed.
//!
//! Steps: 1. read the manifest; 2. open the SSTables that it names and remove those that it does
//! not (a flush or merge that was not published); 3. put the notes' checkpoint in place; 4. replay
//! the log's records after the last flush over both; 5. give back the log segments of before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use activestore_env::{Disk, Env};
use activestore_sst::{BlockCache, Sst};
use activestore_types::{Error, Hlc, Result, TableId};
use parking_lot::{Condvar, Mutex, RwLock};

use super::encryption;
use super::origins::OriginMap;
use super::shared::{Frozen, Shared, Signal};
use super::{SST_DIR, sst_path};
use crate::disks::SstDisks;
use crate::governor::Governor;
use crate::group::{CheckedSet, GroupQueue, Pending};
use crate::manifest::{Contents, Manifest};
use crate::memtable::RowKeys;
use crate::note::Notes;
use crate::options::StoreOptions;
use crate::repair::DAMAGED;
use crate::stats::Counters;
use crate::version::{OwnKeys, TableFile, TableVersion, Version};
use crate::wal::Wal;
use crate::worker::history::History;
use crate::write_set::WriteSet;

pub(super) fn open(env: Env, options: StoreOptions) -> Result<Shared> {
    let counters = Counters::default();
    let keyring = options.encryption.as_ref();
    encryption::check(&env.disk, keyring)?;
    env.disk.create_dir_all(SST_DIR)?;
    let (manifest, mut contents) = Manifest::open(&env.disk, options.node, keyring)?;
    counters
        .orphans_removed
        .add(remove_orphans(&env.disk, &contents)?);
    let sst_disks = SstDisks::new(&env.disk, keyring);
    let blocks = BlockCache::new(
        options.block_cache_bytes,
        options.row_cache_bytes,
        options.index_cache_bytes,
    );
    let version = version_of(sst_disks.common(), &contents, &blocks)?;
    let mut notes = Notes::from_checkpoint(std::mem::take(&mut contents.notes));
    let mut max_hlc = contents.max_hlc;
    for table in version.tables() {
        let files = table.files.iter().map(|file| file.sst.meta().max_hlc);
        max_hlc = files.fold(max_hlc, Hlc::max);
    }
    let mut replay = Replay {
        version: &version,
        notes: &mut notes,
        pending: Pending::default(),
    };
    let replayed = Wal::open(&env, &options, contents.flushed, |_, set| {
        counters.replayed_records.add(1);
        max_hlc = max_hlc.max(set.max_hlc());
        replay.apply(checked(&version, set)?)
    })?;
    replay.append()?;
    let version = with_own_keys(version, &notes)?;
    counters.torn_tails.add(u64::from(replayed.torn));
    let active_bytes: usize = version.tables().map(|table| table.active.bytes()).sum();
    let log_bytes_before = replayed.wal.bytes.get();
    let governor = Governor::new(options.compaction_bytes_s);
    let shared = Shared {
        origins: Arc::new(OriginMap::new(options.node, contents.origins)),
        notes: RwLock::new(notes),
        version: RwLock::new(Arc::new(version)),
        frozen: Mutex::new(Frozen {
            last: contents.flushed,
            ..Frozen::default()
        }),
        last: AtomicU64::new(replayed.last.0),
        flushed: AtomicU64::new(contents.flushed.0),
        max_hlc: AtomicU64::new(max_hlc.0),
        next_file: AtomicU64::new(contents.next_file),
        active_bytes: AtomicU64::new(active_bytes as u64),
        frozen_at_bytes: AtomicU64::new(log_bytes_before),
        hold: Mutex::new(contents.hold),
        holder: Mutex::new(None),
        pins: Mutex::new(Vec::new()),
        wal: replayed.wal,
        sst_disks,
        env,
        queue: GroupQueue::new(options.queue_bytes_max),
        options,
        counters,
        blocks,
        manifest,
        visible: RwLock::new(()),
        structure: Mutex::new(()),
        compacting: Mutex::new(()),
        erasing: Mutex::new(()),
        sealing: RwLock::new(()),
        frozen_changed: Condvar::new(),
        settled: Mutex::default(),
        closed: AtomicBool::new(false),
        signal: Signal::default(),
        governor,
        history: History::default(),
    };
    let log_bytes = shared.wal.segment_count() as u64 * shared.options.wal_segment_bytes;
    if shared.active_bytes.load(Ordering::Relaxed) >= shared.options.memtable_bytes as u64
        || log_bytes >= shared.options.wal_flush_bytes
    {
        shared.freeze();
    }
    shared.release_log()?;
    Ok(shared)
}

/// Removes the files in the SSTables' folder that the manifest does not name; how many.
fn remove_orphans(disk: &Arc<dyn Disk>, contents: &Contents) -> Result<u64> {
    let known: BTreeSet<String> = contents
        .files
        .iter()
        .map(|file| sst_path(file.id))
        .collect();
    let mut removed = 0;
    for name in disk.list(SST_DIR)? {
        let path = format!("{SST_DIR}/{name}");
        // What a repair has set aside is for people to look at.
        if !known.contains(&path) && !name.ends_with(DAMAGED) {
            disk.remove(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn version_of(
    disk: &Arc<dyn Disk>,
    contents: &Contents,
    blocks: &Arc<BlockCache>,
) -> Result<Version> {
    let mut version = Version::default();
    for schema in &contents.schemas {
        let id: TableId = schema.id;
        let mut table = TableVersion::new(Arc::new(schema.clone()));
        for record in contents.files.iter().filter(|file| file.table == id) {
            let path = sst_path(record.id);
            let sst = Sst::open_cached(disk, &path, blocks)
                .map_err(|error| error.context(format!("table {}", schema.name)))?;
            if *sst.meta() != record.meta {
                return Err(Error::corrupt(format!(
                    "{path} of table {} is not the file that the manifest names",
                    schema.name
                ))
                .with_hint(
                    "activestore doctor --repair says what is lost and goes on without it",
                ));
            }
            table.files.push(Arc::new(TableFile {
                id: record.id,
                path,
                sst,
                reach: contents.flushed,
                apart: Arc::default(),
            }));
        }
        if let Some(tombstones) = contents.tombstones.get(&id) {
            table.tombstones = Arc::new(tombstones.clone());
        }
        version = version.with_table(table);
    }
    Ok(version)
}

/// The version that knows the partitions' keys; those of tables that are gone are not in it.
fn with_own_keys(version: Version, notes: &Notes) -> Result<Version> {
    let mut version = version;
    for (id, own) in OwnKeys::of_notes(notes.with_prefix(OwnKeys::notes_prefix()))? {
        let table = version.table(id).map(|table| TableVersion {
            own: Arc::new(own),
            ..table.as_ref().clone()
        });
        if let Some(table) = table {
            version = version.with_table(table);
        }
    }
    Ok(version)
}

/// Row fragments of replayed records that wait to be appended together.
const PENDING_ROWS_MAX: usize = 4096;

/// Applies records of the log as commits would have applied them. Rows of a table that was dropped
/// since go with it.
struct Replay<'a> {
    version: &'a Version,
    notes: &'a mut Notes,
    pending: Pending,
}

impl Replay<'_> {
    fn apply(&mut self, set: CheckedSet) -> Result<()> {
        for (batch, keys) in set.batches {
            self.pending.push(batch, keys);
        }
        for tombstone in set.tombstones {
            if let Some(table) = self.version.table(tombstone.table) {
                table.active.append_tombstone(tombstone);
            }
        }
        self.notes.apply(set.notes);
        if self.pending.rows() >= PENDING_ROWS_MAX {
            self.append()?;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        for (id, batches) in self.pending.take() {
            if let Some(table) = self.version.table(id) {
                table.active.append_all(batches)?;
            }
        }
        Ok(())
    }
}

/// What a commit's check made of a set, made again of a record.
fn checked(version: &Version, set: WriteSet) -> Result<CheckedSet> {
    let known = set.batches.into_iter().filter_map(|batch| {
        let table = version.table(batch.table)?;
        Some(RowKeys::encode(&table.schema, &batch).map(|keys| (batch, keys)))
    });
    Ok(CheckedSet {
        batches: known.collect::<Result<_>>()?,
        tombstones: set.tombstones,
        notes: set.notes,
    })
}
