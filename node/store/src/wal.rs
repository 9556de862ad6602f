//! The write-ahead log: records of consecutive numbers in recycled segment files.
//!
//! Steps of an append: give each record its number and header, write the group where the last one
//! ended (going on in another segment where it does not fit, after a sync of the full one), sync.
//! A record is acknowledged only after that sync. A sync that failed is never tried again, because
//! the system may have dropped the pages it could not write: the log is poisoned until the store is
//! opened again. A write that found no space is harmless: nothing was promised, and the next record
//! is written over it.
//!
//! This module does not know what is in a record beyond [`record`], and tells nobody.

mod ahead;
mod column;
pub(crate) mod encoded;
mod frame;
mod parts;
mod reader;
pub(crate) mod record;
mod recovery;
pub(crate) mod rewrite;
mod seal;
mod segment;
pub(crate) mod survey;

use std::sync::Arc;
use std::time::Duration;

use activestore_env::{DiskFile, Env};
use activestore_types::{Error, ErrorKind, Lsn, Result};
use parking_lot::{Mutex, MutexGuard};

use crate::options::{StoreOptions, WalSync};
use crate::stats::Counter;
use crate::write_set::{LogRecord, WriteSet};
use column::Reuse;
use encoded::Encoded;
use frame::{FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, frame_bytes};
use seal::RecordSealer;
use segment::{Segment, SegmentPool};

pub(crate) use frame::NUMBER_MAX;
pub(crate) use segment::WAL_DIR;

pub(crate) struct Wal {
    env: Env,
    options: StoreOptions,
    sealer: RecordSealer,
    pool: SegmentPool,
    writer: Mutex<Writer>,
    /// The log's segments, oldest first; the last is the one being written.
    segments: Mutex<Vec<Arc<Segment>>>,
    /// Held by whoever gives segments back; whether they are filled with zeros then.
    releasing: Mutex<bool>,
    poison: Mutex<Option<Error>>,
    pub(crate) bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_ns: Counter,
}

struct Writer {
    segment: Arc<Segment>,
    offset: u64,
    next: Lsn,
    previous: u32,
    life: u32,
    synced: Lsn,
    /// Whether the segment was begun since the last sync: until then a crash may take its header,
    /// and with it the place where the log goes on.
    begun: bool,
    last_sync: Duration,
    group: Vec<u8>,
}

impl Writer {
    /// Before the first frame of a segment that was just put into use.
    fn at_start(env: &Env, segment: Arc<Segment>, next: Lsn) -> Writer {
        Writer {
            offset: SEGMENT_HEADER_BYTES as u64,
            previous: segment.header.salt,
            next,
            life: new_life(env),
            synced: Lsn(next.0.saturating_sub(1)),
            begun: true,
            last_sync: env.clock.monotonic(),
            group: Vec::new(),
            segment,
        }
    }
}

/// What a replay found.
pub(crate) struct Replayed {
    pub(crate) wal: Wal,
    /// The last record of the log, or the last one flushed.
    pub(crate) last: Lsn,
    pub(crate) torn: bool,
}

/// The front part of a segment's file.
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// How far an append got.
pub(crate) struct Appended {
    /// The number of the first record.
    pub(crate) first: Lsn,
    /// How many records, from the first, are as durable as was asked for.
    pub(crate) done: usize,
    /// Why the others are not.
    pub(crate) error: Option<Error>,
}

impl Wal {
    /// Encodes a commit; `apart` are the rows of partitions that have keys of their own, by key.
    ///
    /// # Errors
    /// `Invalid` for an array of a type that no column has, and for more than 64 MiB.
    pub(crate) fn encode(&self, set: &WriteSet, apart: &[(u32, WriteSet)]) -> Result<Encoded> {
        self.sealer.encode(set, apart)
    }

    /// Opens the log and hands every record above `flushed` to `each`, in order.
    pub(crate) fn open(
        env: &Env,
        options: &StoreOptions,
        flushed: Lsn,
        mut each: impl FnMut(Lsn, WriteSet) -> Result<()>,
    ) -> Result<Replayed> {
        let mut found = SegmentPool::open(&env.disk, WAL_DIR, options)?;
        let (mut chain, mut stale) = recovery::chain(&mut found, options.node, flushed)?;
        let sealer = RecordSealer::new(options.encryption.as_ref());
        let mut reuse = Reuse::default();
        let each = |lsn, payload| each(lsn, sealer.decode(&payload, &mut reuse)?);
        // Without threads of its own, a store takes its steps in a fixed order.
        let mut end = if options.background {
            ahead::replay_ahead(&chain, &sealer, flushed, each)?
        } else {
            recovery::replay(&chain, &sealer, flushed, each)?
        };
        if end.is_some_and(|end| end.next_lsn <= flushed) {
            // Everything is in SSTables, and the log ends before them: it starts anew after them.
            stale.append(&mut chain);
            end = None;
        }
        let highest = chain
            .iter()
            .chain(&stale)
            .map(|segment| segment.header.sequence)
            .max();
        let next = end.map_or(Lsn(flushed.0 + 1), |end| end.next_lsn);
        if chain.is_empty() {
            let spare = found.pool.take(0)?;
            let header = new_header(env, options, highest.unwrap_or(0) + 1, next);
            let segment = SegmentPool::claim(spare, header)?;
            segment.file.sync_data()?;
            chain.push(segment);
        }
        for segment in &stale {
            found.pool.release(segment, false)?;
        }
        let chain: Vec<Arc<Segment>> = chain.into_iter().map(Arc::new).collect();
        let Some(segment) = chain.last().map(Arc::clone) else {
            return Err(Error::internal("a log without a segment"));
        };
        let mut writer = Writer::at_start(env, segment, next);
        if let Some(end) = end {
            (writer.offset, writer.previous) = (end.offset, end.previous);
        }
        // What was read may be in the system's cache alone: it is made durable before it is built on.
        // Those before the last were synced when they were left.
        writer.segment.file.sync_data()?;
        writer.begun = false;
        chain.iter().for_each(|segment| segment.set_durable());
        Ok(Replayed {
            wal: Wal::with(env, options, found.pool, writer, chain),
            last: Lsn(next.0 - 1),
            torn: end.is_some_and(|end| end.torn),
        })
    }

    fn with(
        env: &Env,
        options: &StoreOptions,
        pool: SegmentPool,
        writer: Writer,
        segments: Vec<Arc<Segment>>,
    ) -> Wal {
        Wal {
            env: env.clone(),
            options: options.clone(),
            sealer: RecordSealer::new(options.encryption.as_ref()),
            pool,
            writer: Mutex::new(writer),
            segments: Mutex::new(segments),
            releasing: Mutex::new(false),
            poison: Mutex::new(None),
            bytes: Counter::default(),
            syncs: Counter::default(),
            sync_ns: Counter::default(),
        }
    }

    /// Appends a group of records and makes it as durable as the options ask for.
    pub(crate) fn append(&self, records: &mut [Encoded]) -> Appended {
        let mut writer = self.writer.lock();
        let first = writer.next;
        let written = self.check().and_then(|()| self.write(&mut writer, records));
        let result = match written {
            Ok(()) => self.sync_if_asked(&mut writer),
            // What came before the record that found no space is in the log and is acknowledged.
            Err(full) if full.kind() == ErrorKind::DiskFull => {
                self.sync_if_asked(&mut writer).and(Err(full))
            }
            Err(error) => Err(error),
        };
        let reached = match self.options.wal_sync {
            WalSync::Interval(_) => Lsn(writer.next.0 - 1),
            WalSync::Always | WalSync::Batch => writer.synced,
        };
        let done = usize::try_from((reached.0 + 1).saturating_sub(first.0)).unwrap_or(usize::MAX);
        Appended {
            first,
            done: done.min(records.len()),
            error: result.err(),
        }
    }

    /// Writes the records, in as few writes as segments allow.
    fn write(&self, writer: &mut Writer, records: &mut [Encoded]) -> Result<()> {
        let mut group = std::mem::take(&mut writer.group);
        group.clear();
        let mut places = Vec::with_capacity(records.len());
        let mut pending = Pending::at(writer);
        let mut result = Ok(());
        for record in records {
            let bytes = frame_bytes(self.sealer.stored_length(record.payload_length));
            if pending.end + bytes > writer.segment.length {
                result = self
                    .put(writer, [group.as_slice()], &places, pending)
                    .and_then(|()| self.next_segment(writer, bytes));
                group.clear();
                places.clear();
                pending = Pending::at(writer);
                if result.is_err() {
                    break;
                }
            }
            // A long record is written from where it is; copying it into the group gains nothing.
            let long = record.length() >= LONG_RECORD_BYTES;
            if long {
                result = self.put(writer, [group.as_slice()], &places, pending);
                group.clear();
                places.clear();
                if result.is_err() {
                    break;
                }
            }
            result = self
                .sealer
                .seal(&writer.segment.header, pending.next, record);
            if result.is_err() {
                break;
            }
            let mut header = FrameHeader {
                header_crc: 0,
                payload_crc: record.payload_crc,
                length: record.payload_length,
                life: writer.life,
                lsn: pending.next,
                synced: writer.synced,
                previous: pending.previous,
            };
            let encoded = header.encode(writer.segment.header.salt);
            if let Some(gap) = record.bytes.first_chunk_mut() {
                *gap = encoded;
            }
            places.push((pending.next, pending.end));
            pending = Pending {
                end: pending.end + bytes,
                next: Lsn(pending.next.0 + 1),
                previous: header.header_crc,
            };
            if long {
                result = self.put(writer, record.pieces(), &places, pending);
                places.clear();
                if result.is_err() {
                    break;
                }
            } else {
                record.pieces().for_each(|piece| group.extend(piece));
            }
        }
        let result = result.and_then(|()| self.put(writer, [group.as_slice()], &places, pending));
        // One large record must not pin its buffer for ever.
        if group.capacity() <= GROUP_BUFFER_BYTES_MAX {
            writer.group = group;
        }
        result
    }

    fn put<'p>(
        &self,
        writer: &mut Writer,
        pieces: impl IntoIterator<Item = &'p [u8]>,
        places: &[(Lsn, u64)],
        pending: Pending,
    ) -> Result<()> {
        let mut at = writer.offset;
        let mut pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let written = pieces.try_for_each(|piece| {
            writer.segment.file.write_at(at, piece)?;
            at += piece.len() as u64;
            Ok(())
        });
        match written {
            Ok(()) => {
                self.bytes.add(at - writer.offset);
                for (lsn, offset) in places {
                    writer.segment.remember(*lsn, *offset);
                }
                writer.offset = pending.end;
                writer.next = pending.next;
                writer.previous = pending.previous;
                Ok(())
            }
            Err::<(), std::io::Error>(error) => {
                let error = Error::from(error);
                if error.kind() == ErrorKind::DiskFull {
                    // The next record goes to the same place; a new life tells the two apart.
                    writer.life = new_life(&self.env);
                    return Err(disk_full(error));
                }
                Err(self.poison(&error))
            }
        }
    }

    /// Syncs the full segment and goes on in another that has room for a frame of `bytes`.
    fn next_segment(&self, writer: &mut Writer, bytes: u64) -> Result<()> {
        self.sync_writer(writer)?;
        let spare = self
            .pool
            .take(SEGMENT_HEADER_BYTES as u64 + bytes)
            .map_err(disk_full)?;
        let sequence = writer.segment.header.sequence + 1;
        let header = new_header(&self.env, &self.options, sequence, writer.next);
        // A header may have reached the disk although its write failed; records that then went on
        // in the old segment would be cut off by it. Only a start can sort that out.
        let segment =
            SegmentPool::claim(spare, header).map_err(|error| self.poison(&error.into()))?;
        let segment = Arc::new(segment);
        self.segments.lock().push(Arc::clone(&segment));
        writer.previous = segment.header.salt;
        writer.segment = segment;
        writer.begun = true;
        writer.offset = SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    fn sync_if_asked(&self, writer: &mut Writer) -> Result<()> {
        match self.options.wal_sync {
            WalSync::Always | WalSync::Batch => self.sync_writer(writer),
            WalSync::Interval(every) => {
                if self.env.clock.monotonic().saturating_sub(writer.last_sync) >= every {
                    self.sync_writer(writer)?;
                }
                Ok(())
            }
        }
    }

    fn sync_writer(&self, writer: &mut Writer) -> Result<()> {
        let last = Lsn(writer.next.0 - 1);
        if writer.synced == last && !writer.begun {
            return Ok(());
        }
        let started = self.env.clock.monotonic();
        let synced = writer.segment.file.sync_data();
        let ended = self.env.clock.monotonic();
        self.syncs.add(1);
        let took = ended.saturating_sub(started);
        self.sync_ns
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        synced.map_err(|error| self.poison(&error.into()))?;
        writer.segment.set_durable();
        writer.synced = last;
        writer.begun = false;
        writer.last_sync = ended;
        Ok(())
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.check()?;
        self.sync_writer(&mut writer)
    }

    /// The sync that [`WalSync::Interval`] promises, if it is due; how long until the next is.
    pub(crate) fn sync_if_due(&self) -> Result<Option<Duration>> {
        let WalSync::Interval(every) = self.options.wal_sync else {
            return Ok(None);
        };
        let mut writer = self.writer.lock();
        self.check()?;
        self.sync_if_asked(&mut writer)?;
        let since = self.env.clock.monotonic().saturating_sub(writer.last_sync);
        let waits = writer.synced.0 + 1 < writer.next.0;
        Ok(Some(if waits {
            every.saturating_sub(since)
        } else {
            every
        }))
    }

    /// Ends the log with a mark that vouches for every record.
    pub(crate) fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.check()?;
        self.sync_writer(&mut writer)?;
        if writer.offset + frame_bytes(0) > writer.segment.length {
            return Ok(());
        }
        self.write(&mut writer, &mut [Encoded::mark()])?;
        self.sync_writer(&mut writer)
    }

    /// Makes a file for the next segment ahead of need.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.pool.prepare()
    }

    /// Gives back the segments whose records are all below `keep`, and that the log can do without:
    /// without the header of the next one it would seem to be missing.
    pub(crate) fn release_below(&self, keep: Lsn) -> Result<()> {
        let wipe = self.releasing.lock();
        loop {
            let oldest: Option<Arc<Segment>> = {
                let mut segments = self.segments.lock();
                match segments.as_slice() {
                    [_, second, ..] if second.header.first_lsn <= keep && second.is_durable() => {
                        Some(segments.remove(0))
                    }
                    _ => None,
                }
            };
            let Some(oldest) = oldest else {
                return Ok(());
            };
            // The log has to go on somewhere: never is an old segment freed while the header of the
            // one being written may still be lost.
            let mut writer = self.writer.lock();
            if writer.begun {
                self.sync_writer(&mut writer)?;
            }
            drop(writer);
            self.pool.release(&oldest, *wipe)?;
        }
    }

    /// Goes on in a segment that holds nothing of an earlier use; until [`Wal::end_wiping`], those that
    /// are given back are filled with zeros. Returns the first record that goes there.
    pub(crate) fn begin_wiping(&self) -> Result<Lsn> {
        {
            let mut wipe = self.releasing.lock();
            *wipe = true;
            self.pool.wipe_spares()?;
        }
        let mut writer = self.writer.lock();
        self.check()?;
        self.next_segment(&mut writer, frame_bytes(0))?;
        // The ones before it may go only once its header is there to stay.
        let synced = writer.segment.file.sync_data();
        synced.map_err(|error| self.poison(&error.into()))?;
        writer.segment.set_durable();
        Ok(writer.next)
    }

    pub(crate) fn end_wiping(&self) {
        *self.releasing.lock() = false;
    }

    /// Records `from..=to`, at least one and otherwise up to `max_bytes`.
    pub(crate) fn read(&self, from: Lsn, to: Lsn, max_bytes: usize) -> Result<Vec<LogRecord>> {
        let segments = self.segments.lock().clone();
        reader::read(&segments, &self.sealer, from, to, max_bytes)
    }

    /// The files that hold the records `from..=to`, and how many of their bytes do; at least the
    /// one that the record after `to` goes to.
    pub(crate) fn parts(&self, from: Lsn, to: Lsn) -> Result<Vec<Part>> {
        let segments = self.segments.lock().clone();
        let mut parts = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1).map(|next| next.header.first_lsn);
            if segment.header.first_lsn.0 > to.0 + 1 || next.is_some_and(|next| next <= from) {
                continue;
            }
            let last = next.map_or(to, |next| to.min(Lsn(next.0 - 1)));
            parts.push(Part {
                path: segment.path.clone(),
                file: Arc::clone(&segment.file),
                bytes: reader::end_of(segment, last)?,
            });
        }
        Ok(parts)
    }

    /// The first record that can be read.
    pub(crate) fn first(&self) -> Lsn {
        let segments = self.segments.lock();
        segments
            .first()
            .map_or(Lsn(1), |segment| segment.header.first_lsn)
    }

    /// Bytes of the full segments between the one with a record and the one that is being written.
    pub(crate) fn bytes_behind(&self, from: Lsn) -> u64 {
        let segments = self.segments.lock();
        let full = segments.iter().rev().skip(1);
        let behind = full.filter(|segment| segment.header.first_lsn > from);
        behind.map(|segment| segment.length).sum()
    }

    pub(crate) fn segment_count(&self) -> usize {
        self.segments.lock().len()
    }

    /// Why the log takes no more records, if that is so.
    pub(crate) fn check(&self) -> Result<()> {
        self.poison.lock().clone().map_or(Ok(()), Err)
    }

    /// Ends all writing until the store is opened again; returns the error for the caller.
    pub(crate) fn poison(&self, cause: &Error) -> Error {
        let mut poison: MutexGuard<'_, Option<Error>> = self.poison.lock();
        poison
            .get_or_insert_with(|| {
                Error::poisoned(format!("the storage failed: {}", cause.message()))
                    .with_hint("nothing more is written; check the disk and start the node again")
            })
            .clone()
    }
}

/// Records of this length are written on their own, shorter ones together.
const LONG_RECORD_BYTES: usize = 64 << 10;

/// The group buffer that is kept from one append to the next is at most this long.
const GROUP_BUFFER_BYTES_MAX: usize = 4 << 20;

/// Frames that are laid out and not written yet: where they end and what the next one continues.
#[derive(Clone, Copy)]
struct Pending {
    end: u64,
    next: Lsn,
    previous: u32,
}

impl Pending {
    fn at(writer: &Writer) -> Self {
        Pending {
            end: writer.offset,
            next: writer.next,
            previous: writer.previous,
        }
    }
}

fn new_life(env: &Env) -> u32 {
    let bytes = env.rng.next_u64().to_le_bytes();
    bytes
        .first_chunk::<4>()
        .map_or(1, |bytes| u32::from_le_bytes(*bytes))
}

fn new_header(env: &Env, options: &StoreOptions, sequence: u64, first_lsn: Lsn) -> SegmentHeader {
    SegmentHeader {
        sequence,
        first_lsn,
        node: options.node.0,
        salt: new_life(env),
    }
}

fn disk_full(error: Error) -> Error {
    if error.kind() == ErrorKind::DiskFull {
        Error::disk_full("there is no space left for the write-ahead log")
            .with_hint("free disk space; nothing is lost and reads go on")
    } else {
        error
    }
}

#[cfg(test)]
mod tests;
