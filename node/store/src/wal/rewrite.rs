//! A new log out of what can be read of a damaged one. Records keep their numbers; in the place of
//! a lost one stands an empty record, so that whoever follows the log goes on behind it.
//!
//! Steps: 1. write the new segments into a folder of their own, numbered after all there are, and
//! sync; 2. move them into the log, the last one first, so that until the first is there the store
//! refuses the log as one with a hole; 3. move the old files out of the way. A crash leaves a log
//! that a second repair makes the same new log of.

use activestore_env::Env;
use activestore_types::{Error, Lsn, Result};

use super::encoded::{Beside, Encoded};
use super::frame::FRAME_HEADER_BYTES;
use super::segment::{SegmentPool, WAL_DIR};
use super::survey::Survey;
use super::{Wal, Writer, new_header};
use crate::options::{StoreOptions, WalSync};

/// Where the new segments are written.
const NEW_DIR: &str = "wal-repaired";

/// More lost records in a row than this are not believed.
const LOST_MAX: u64 = 1 << 20;

/// Writes the log anew from `from` to its last readable record and puts it in the old one's place.
/// Returns the files of the old one, which are then to be moved away.
///
/// # Errors
/// `Corrupt` where more records are missing than a log can have lost; as the disk.
pub(crate) fn rewrite(
    env: &Env,
    options: &StoreOptions,
    survey: &Survey,
    from: Lsn,
) -> Result<Vec<String>> {
    let disk = &env.disk;
    for name in disk.list(NEW_DIR)? {
        disk.remove(&format!("{NEW_DIR}/{name}"))?;
    }
    let options = StoreOptions {
        wal_sync: WalSync::Interval(std::time::Duration::MAX),
        wal_segment_bytes: options.wal_segment_bytes,
        ..options.clone()
    };
    let lost: u64 = survey
        .gaps
        .iter()
        .map(|gap| gap.to.0 - gap.from.0 + 1)
        .sum();
    if lost > LOST_MAX {
        return Err(Error::corrupt(format!(
            "the write-ahead log lacks {lost} records, more than a repair goes on without"
        ))
        .with_hint("restore the node from a backup"));
    }
    let pool = SegmentPool::open(disk, NEW_DIR, &options)?.pool;
    pool.name_from(survey.next_file);
    let header = new_header(env, &options, survey.sequence + 2, from);
    let segment = std::sync::Arc::new(SegmentPool::claim(pool.take(0)?, header)?);
    let writer = Writer::at_start(env, segment.clone(), from);
    let wal = Wal::with(env, &options, pool, writer, vec![segment]);
    let last = survey.range().map_or(Lsn(from.0 - 1), |(_, last)| last);
    for lsn in from.0..=last.0 {
        let record = encoded(survey, Lsn(lsn))?;
        if let Some(error) = wal.append(&mut [record]).error {
            return Err(error);
        }
    }
    // The mark of a closed store vouches for all of them.
    wal.close()?;
    let mut names = disk.list(NEW_DIR)?;
    names.sort_unstable();
    for name in names.iter().rev() {
        disk.rename(&format!("{NEW_DIR}/{name}"), &format!("{WAL_DIR}/{name}"))?;
        disk.sync_dir(WAL_DIR)?;
    }
    disk.sync_dir(NEW_DIR)?;
    Ok(survey.paths.clone())
}

/// The record as it is framed again, or an empty one in its place.
fn encoded(survey: &Survey, lsn: Lsn) -> Result<Encoded> {
    let payload = survey.payload(lsn)?;
    let payload = payload.as_ref().map_or(&[] as &[u8], |payload| payload);
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    bytes.extend_from_slice(payload);
    Encoded::framed(bytes, Beside::default())
}
