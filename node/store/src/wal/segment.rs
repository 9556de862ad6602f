//! Segment files: made once at full length, then used again and again, so that a commit changes
//! neither the length nor the extents of a file. Decides nothing about which records go where.
//!
//! A file is free (its first sector is zeros) or in use (a [`SegmentHeader`]). It becomes free by a
//! synced write of zeros, before it is handed out again, so that no crash leaves a file that is
//! half of an old log and half of the new one.
//!
//! A file that is made ahead of need is filled with zeros, so that a sync of a record writes that record and nothing
//! else. Where a writer waits for it, rows come faster than files are given back, and filling it would write as much
//! again as they do: its space is only set aside then.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_env::{Disk, DiskFile};
use activestore_types::{Lsn, Result};
use parking_lot::Mutex;

use super::frame::{FirstSector, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::options::StoreOptions;

/// The folder of the log.
pub(crate) const WAL_DIR: &str = "wal";

/// Free files kept for later use, at least and at most; more are removed.
const SPARES: RangeInclusive<usize> = 2..=5;

/// A remembered frame for about every so many bytes lets a reader start near its record.
const INDEX_STEP_BYTES: u64 = 64 * 1024;

/// A file that is allocated and free.
pub(crate) struct Spare {
    path: String,
    file: Arc<dyn DiskFile>,
    length: u64,
}

/// A file in use.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) length: u64,
    /// Some of its frames: record number and offset, both rising.
    index: Mutex<Vec<(Lsn, u64)>>,
    /// Whether its header is known to be durable.
    durable: AtomicBool,
}

impl Segment {
    pub(crate) fn new(
        header: SegmentHeader,
        path: String,
        file: Arc<dyn DiskFile>,
        length: u64,
    ) -> Self {
        Segment {
            header,
            path,
            file,
            length,
            index: Mutex::new(Vec::new()),
            durable: AtomicBool::new(false),
        }
    }

    /// To be called after a sync of its file.
    pub(crate) fn set_durable(&self) {
        self.durable.store(true, Ordering::Release);
    }

    /// Whether the log would go on with it after a power cut.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Acquire)
    }

    /// Remembers where a frame starts, if the last one remembered is far enough away.
    pub(crate) fn remember(&self, lsn: Lsn, offset: u64) {
        let mut index = self.index.lock();
        if index
            .last()
            .is_none_or(|(_, last)| last + INDEX_STEP_BYTES <= offset)
        {
            index.push((lsn, offset));
        }
    }

    /// A frame at or before the record: its number and offset.
    pub(crate) fn near(&self, lsn: Lsn) -> (Lsn, u64) {
        let index = self.index.lock();
        let after = index.partition_point(|(known, _)| *known <= lsn);
        let known = after.checked_sub(1).and_then(|at| index.get(at));
        known
            .copied()
            .unwrap_or((self.header.first_lsn, SEGMENT_HEADER_BYTES as u64))
    }
}

/// Makes, hands out and takes back segment files.
pub(crate) struct SegmentPool {
    disk: Arc<dyn Disk>,
    dir: &'static str,
    /// Length of a usual segment.
    segment_bytes: u64,
    /// Free files kept.
    spares_max: usize,
    state: Mutex<PoolState>,
}

struct PoolState {
    spares: VecDeque<Spare>,
    next_file: u64,
}

/// What the folder held.
pub(crate) struct Found {
    pub(crate) pool: SegmentPool,
    pub(crate) used: Vec<Segment>,
    /// Files whose first sector is neither zeros nor a header.
    pub(crate) bad: Vec<String>,
}

impl SegmentPool {
    /// Looks through the log's folder, making it if it is missing. As many free files are kept as one flush gives
    /// back, within bounds.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &'static str,
        options: &StoreOptions,
    ) -> Result<Found> {
        disk.create_dir_all(dir)?;
        let least = 2 * SEGMENT_HEADER_BYTES as u64;
        let segment_bytes = options.wal_segment_bytes.max(least);
        let given_back = options.memtable_bytes as u64 / segment_bytes + 1;
        let spares_max = usize::try_from(given_back).unwrap_or(usize::MAX);
        let spares_max = spares_max.clamp(*SPARES.start(), *SPARES.end());
        let mut found = Found {
            pool: SegmentPool {
                disk: Arc::clone(disk),
                dir,
                segment_bytes,
                spares_max,
                state: Mutex::new(PoolState {
                    spares: VecDeque::new(),
                    next_file: 1,
                }),
            },
            used: Vec::new(),
            bad: Vec::new(),
        };
        for name in disk.list(dir)? {
            let Some(number) = name
                .strip_suffix(".wal")
                .and_then(|number| number.parse::<u64>().ok())
            else {
                continue;
            };
            let mut state = found.pool.state.lock();
            state.next_file = state.next_file.max(number + 1);
            let path = format!("{dir}/{name}");
            let file = disk.open(&path)?;
            let length = file.len()?;
            let mut sector = [0; SEGMENT_HEADER_BYTES];
            file.read_at(0, &mut sector)?;
            match SegmentHeader::decode(&sector) {
                // A file of another length is one whose making was cut short, or of other settings.
                FirstSector::Free
                    if length != segment_bytes || state.spares.len() >= spares_max =>
                {
                    disk.remove(&path)?;
                }
                FirstSector::Free => state.spares.push_back(Spare { path, file, length }),
                FirstSector::Used(header) => {
                    found.used.push(Segment::new(header, path, file, length));
                }
                FirstSector::Bad => found.bad.push(path),
            }
        }
        found.used.sort_by_key(|segment| segment.header.sequence);
        Ok(found)
    }

    /// Names the files to come from `number` on.
    pub(crate) fn name_from(&self, number: u64) {
        self.state.lock().next_file = number;
    }

    /// A free file of at least `bytes`, made now if there is none.
    pub(crate) fn take(&self, bytes: u64) -> Result<Spare> {
        if bytes <= self.segment_bytes {
            let spare = self.state.lock().spares.pop_front();
            if let Some(spare) = spare {
                return Ok(spare);
            }
        }
        let length = bytes.max(self.segment_bytes);
        self.make(length, |file| file.reserve(length))
    }

    /// Makes sure that the next [`SegmentPool::take`] of a usual length finds a file.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.state.lock().spares.is_empty() {
            let length = self.segment_bytes;
            let spare = self.make(length, |file| file.allocate(length))?;
            self.state.lock().spares.push_back(spare);
        }
        Ok(())
    }

    fn make(
        &self,
        length: u64,
        fill: impl FnOnce(&dyn DiskFile) -> std::io::Result<()>,
    ) -> Result<Spare> {
        let number = {
            let mut state = self.state.lock();
            state.next_file += 1;
            state.next_file - 1
        };
        let path = format!("{}/{number:08}.wal", self.dir);
        let file = self.disk.create(&path)?;
        let made = fill(file.as_ref())
            .and_then(|()| file.sync_data())
            .and_then(|()| self.disk.sync_dir(self.dir));
        if let Err(error) = made {
            // What is left of the file is free and of the wrong length: the next start removes it.
            let _ = self.disk.remove(&path);
            return Err(error.into());
        }
        Ok(Spare { path, file, length })
    }

    /// Fills the files that wait for use with zeros.
    pub(crate) fn wipe_spares(&self) -> Result<()> {
        let spares = std::mem::take(&mut self.state.lock().spares);
        let wiped = spares
            .iter()
            .try_for_each(|spare| fill_with_zeros(spare.file.as_ref(), spare.length));
        self.state.lock().spares.extend(spares);
        wiped
    }

    /// Puts a segment into use. Its header is durable with the next sync of its file.
    pub(crate) fn claim(spare: Spare, header: SegmentHeader) -> std::io::Result<Segment> {
        spare.file.write_at(0, &header.encode())?;
        Ok(Segment::new(header, spare.path, spare.file, spare.length))
    }

    /// Takes back a segment whose records are not needed any more, and with `wipe` nothing of them.
    pub(crate) fn release(&self, segment: &Segment, wipe: bool) -> Result<()> {
        segment.file.write_at(0, &[0; SEGMENT_HEADER_BYTES])?;
        segment.file.sync_data()?;
        if wipe {
            fill_with_zeros(segment.file.as_ref(), segment.length)?;
        }
        let mut state = self.state.lock();
        if segment.length == self.segment_bytes && state.spares.len() < self.spares_max {
            state.spares.push_back(Spare {
                path: segment.path.clone(),
                file: Arc::clone(&segment.file),
                length: segment.length,
            });
            return Ok(());
        }
        drop(state);
        Ok(self.disk.remove(&segment.path)?)
    }
}

fn fill_with_zeros(file: &dyn DiskFile, length: u64) -> Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut at = 0;
    while at < length {
        let piece = usize::try_from(length - at).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..piece).unwrap_or(&ZEROS);
        file.write_at(at, zeros)?;
        at += zeros.len() as u64;
    }
    Ok(file.sync_data()?)
}
