//! A look at the whole log that does not stop at the first fault: which records can be read, and
//! which were there and cannot be. Where a store opens the log or refuses, this counts and goes on.
//!
//! Steps: 1. gather the segments, those with a damaged first sector too (the first frame names the
//! salt, and with it the sector can be done without); 2. in the order of their records, walk over
//! their frames; 3. at a frame that does not count, look for a later one that proves it lost (as
//! [`super::recovery`] defines proof), note the gap and go on from there; without proof it is the
//! log's end. It changes nothing and replays nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_env::{Disk, Keyring};
use activestore_types::{Lsn, NodeId, Result, TableId};
use arrow::buffer::Buffer;
use arrow::buffer::MutableBuffer;

use super::column::Reuse;
use super::frame::{
    FRAME_HEADER_BYTES, FirstSector, FrameHeader, LSN_AT, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::recovery::SegmentScan;
use super::seal::RecordSealer;
use super::segment::{Segment, WAL_DIR};
use crate::write_set::WriteSet;

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: usize,
    offset: u64,
    length: u32,
}

/// Records that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The file in which they were, and the byte where they began, if that can be told.
    pub(crate) at: Option<(String, u64)>,
    pub(crate) from: Lsn,
    pub(crate) to: Lsn,
}

/// What the log holds.
pub(crate) struct Survey {
    segments: Vec<Segment>,
    sealer: RecordSealer,
    records: BTreeMap<Lsn, Place>,
    pub(crate) gaps: Vec<Gap>,
    /// Files whose first sector is damaged, and whether their records could be read all the same.
    pub(crate) bad: Vec<(String, bool)>,
    /// All files of the folder that hold something, of the log or of an earlier one.
    pub(crate) paths: Vec<String>,
    pub(crate) node: Option<NodeId>,
    /// The longest segment, in bytes.
    pub(crate) segment_bytes: u64,
    pub(crate) sequence: u64,
    pub(crate) next_file: u64,
    /// Whether the first record that is there is later than the first that is needed.
    pub(crate) starts_late: bool,
    /// The tables that the records write to.
    pub(crate) tables: BTreeSet<TableId>,
}

impl Survey {
    /// Looks at the log's records from `wanted` on. Those from `needed` on, the first unflushed one,
    /// must be there; what is held for a reader may have been given back since the manifest was
    /// told. `progress` is told of every file and the bytes that were looked at.
    ///
    /// # Errors
    /// As the disk; damage is no error here.
    pub(crate) fn take(
        disk: &Arc<dyn Disk>,
        keyring: Option<&Arc<Keyring>>,
        wanted: Lsn,
        needed: Lsn,
        progress: &mut dyn FnMut(&str, u64),
    ) -> Result<Survey> {
        let mut survey = Survey {
            segments: Vec::new(),
            sealer: RecordSealer::new(keyring),
            records: BTreeMap::new(),
            gaps: Vec::new(),
            bad: Vec::new(),
            paths: Vec::new(),
            node: None,
            segment_bytes: 0,
            sequence: 0,
            next_file: 1,
            starts_late: false,
            tables: BTreeSet::new(),
        };
        survey.gather(disk)?;
        let starts: Vec<Lsn> = survey
            .segments
            .iter()
            .map(|segment| segment.header.first_lsn)
            .collect();
        for at in 0..survey.segments.len() {
            let limit = starts.get(at + 1).copied();
            if limit.is_none_or(|limit| limit > wanted) {
                survey.walk(at, limit)?;
            }
            if let Some(segment) = survey.segments.get(at) {
                progress(&segment.path, segment.length);
            }
        }
        if let Some((first, _)) = survey.records.first_key_value()
            && *first > needed
        {
            let gap = Gap {
                at: None,
                from: needed,
                to: Lsn(first.0 - 1),
            };
            survey.gaps.insert(0, gap);
            survey.starts_late = true;
        }
        Ok(survey)
    }

    /// Takes it that nobody needs a record before the first that is there.
    pub(crate) fn forget_before_first(&mut self) {
        if std::mem::take(&mut self.starts_late) {
            self.gaps.remove(0);
        }
    }

    fn gather(&mut self, disk: &Arc<dyn Disk>) -> Result<()> {
        for name in disk.list(WAL_DIR)? {
            let number = name.strip_suffix(".wal");
            let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            self.next_file = self.next_file.max(number + 1);
            let path = format!("{WAL_DIR}/{name}");
            let file = disk.open(&path)?;
            let length = file.len()?;
            let mut sector = [0; SEGMENT_HEADER_BYTES];
            file.read_at(0, &mut sector)?;
            let header = match SegmentHeader::decode(&sector) {
                FirstSector::Free => continue,
                FirstSector::Used(header) => {
                    self.node = Some(NodeId(header.node));
                    self.sequence = self.sequence.max(header.sequence);
                    Some(header)
                }
                FirstSector::Bad => {
                    let mut frame = [0; FRAME_HEADER_BYTES];
                    file.read_at(SEGMENT_HEADER_BYTES as u64, &mut frame)?;
                    let header = recovered_header(&frame);
                    self.bad.push((path.clone(), header.is_some()));
                    header
                }
            };
            self.paths.push(path.clone());
            self.segment_bytes = self.segment_bytes.max(length);
            self.segments
                .extend(header.map(|header| Segment::new(header, path, file, length)));
        }
        self.segments
            .sort_by_key(|segment| (segment.header.first_lsn, segment.header.sequence));
        self.number();
        Ok(())
    }

    /// Gives the segments whose first sector is damaged the sequence number that their neighbours
    /// leave for them; sealed records open under it.
    fn number(&mut self) {
        let neighbours: Vec<u64> = self
            .segments
            .iter()
            .map(|segment| segment.header.sequence)
            .collect();
        for (at, segment) in self.segments.iter_mut().enumerate() {
            if segment.header.sequence == 0 {
                let before = at.checked_sub(1).and_then(|at| neighbours.get(at));
                let after = neighbours.get(at + 1).filter(|after| **after > 0);
                segment.header.sequence = match (before, after) {
                    (Some(before), _) if *before > 0 => before + 1,
                    (_, Some(after)) => after - 1,
                    // The first of a log.
                    _ => 1,
                };
            }
        }
    }

    /// Walks over one segment. `limit` is the first record of the next one.
    fn walk(&mut self, at: usize, limit: Option<Lsn>) -> Result<()> {
        let Some(segment) = self.segments.get(at) else {
            return Ok(());
        };
        let mut scan = SegmentScan::new(segment);
        loop {
            if limit.is_some_and(|limit| scan.lsn >= limit) {
                return Ok(());
            }
            let offset = scan.offset;
            if let Some((lsn, payload)) = scan.next()? {
                let place = Place {
                    segment: at,
                    offset,
                    length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                };
                let set = if payload.is_empty() {
                    Ok(WriteSet::default())
                } else {
                    self.sealer
                        .open(&segment.header, lsn, payload)
                        .and_then(|payload| self.sealer.decode(&payload, &mut Reuse::default()))
                };
                match set {
                    Ok(set) => {
                        self.tables
                            .extend(set.batches.iter().map(|batch| batch.table));
                        self.records.insert(lsn, place);
                    }
                    Err(_) => self.gaps.push(gap(segment, offset, lsn, lsn)),
                }
                continue;
            }
            let lost = scan.lsn;
            let proof = next_proven(&mut scan, segment, limit)?;
            let to = match (proof, limit) {
                (Some((_, header)), _) => Lsn(header.lsn.0 - 1),
                (None, Some(limit)) => Lsn(limit.0 - 1),
                // A torn tail: nobody was told that it is stored.
                (None, None) => return Ok(()),
            };
            self.gaps.push(gap(segment, offset, lost, to));
            let Some((offset, header)) = proof else {
                return Ok(());
            };
            (scan.offset, scan.lsn, scan.previous) = (offset, header.lsn, header.previous);
        }
    }

    /// The first and the last record that can be read.
    pub(crate) fn range(&self) -> Option<(Lsn, Lsn)> {
        let (first, _) = self.records.first_key_value()?;
        let (last, _) = self.records.last_key_value()?;
        Some((*first, *last))
    }

    /// How many records can be read, the marks of closed stores among them.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// A record's payload, decrypted; `None` for one that is not there.
    pub(super) fn payload(&self, lsn: Lsn) -> Result<Option<Buffer>> {
        let Some(place) = self.records.get(&lsn) else {
            return Ok(None);
        };
        let Some(segment) = self.segments.get(place.segment) else {
            return Ok(None);
        };
        let mut payload = MutableBuffer::from_len_zeroed(place.length as usize);
        segment.file.read_exact_at(
            place.offset + FRAME_HEADER_BYTES as u64,
            payload.as_slice_mut(),
        )?;
        let payload = self.sealer.open(&segment.header, lsn, payload.into())?;
        Ok(Some(payload))
    }
}

fn gap(segment: &Segment, offset: u64, from: Lsn, to: Lsn) -> Gap {
    Gap {
        at: Some((segment.path.clone(), offset)),
        from,
        to,
    }
}

/// What a damaged first sector said, as far as the frame behind it tells: the checksums need the
/// salt, and the first frame names it.
fn recovered_header(frame: &[u8; FRAME_HEADER_BYTES]) -> Option<SegmentHeader> {
    let salt = frame.get(32..36)?.first_chunk::<4>()?;
    let salt = u32::from_le_bytes(*salt);
    let first = FrameHeader::decode(salt, frame)?;
    Some(SegmentHeader {
        sequence: 0,
        first_lsn: first.lsn,
        node: [0; 16],
        salt,
    })
}

/// The next whole frame of a later record that proves the one at the scan's place lost.
fn next_proven(
    scan: &mut SegmentScan<'_>,
    segment: &Segment,
    limit: Option<Lsn>,
) -> Result<Option<(u64, FrameHeader)>> {
    let lost = scan.lsn;
    let salt = segment.header.salt;
    let mut at = scan.offset;
    while at + FRAME_HEADER_BYTES as u64 <= segment.length {
        let bytes = scan.bytes(at, FRAME_HEADER_BYTES)?;
        if bytes.len() < FRAME_HEADER_BYTES {
            break;
        }
        let header = peek_lsn(bytes)
            .filter(|lsn| *lsn > lost && limit.is_none_or(|limit| *lsn < limit))
            .and_then(|_| FrameHeader::decode(salt, bytes))
            .filter(|header| limit.is_some() || header.synced >= lost);
        if let Some(header) = header {
            let length = header.length as usize;
            let payload = scan.bytes(at + FRAME_HEADER_BYTES as u64, length)?;
            let sound = crc32c::crc32c(payload) == header.payload_crc || cfg!(fuzzing);
            if payload.len() == length && sound {
                return Ok(Some((at, header)));
            }
        }
        at += 8;
    }
    Ok(None)
}

/// The record number that stands in unchecked bytes, for a quick look before a checksum.
fn peek_lsn(bytes: &[u8]) -> Option<Lsn> {
    let number = bytes.get(LSN_AT..)?.first_chunk::<8>()?;
    Some(Lsn(u64::from_le_bytes(*number)))
}
