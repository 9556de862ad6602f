//! A walk over the visible rows of a table, or of a stretch of time of it, in key order, each with what every writer
//! has in it: what a comparison with another node is made of.
//!
//! Files whose times lie outside of the stretch are not opened, and of the others only the vectors that
//! may hold rows of it are read. Nothing is kept but the rows at hand.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use activestore_sst::{ZonePredicate, ZoneValue};
use activestore_types::{BatchColumn, ColumnId, KeyRange, OriginId, Result, RowBatch};
use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::TimestampNanosecondType;

use super::Snapshot;
use super::digest::Sum;
use super::keys::KeyShape;
use super::narrowing::Narrowed;
use super::piece::VECTORS_HELD_MAX;
use super::resolve::{Cells, Resolver};
use super::scan::piece::Pieces;
use super::scan::source::Plan;
use crate::read::piece::Fragment;
use crate::version::Stamp;

/// What of a row one node wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The node.
    pub origin: OriginId,
    /// Its newest stamp in the row.
    pub hlc: u64,
    /// The sum of the hashes of its cells, as [`Snapshot::digest`] adds them.
    pub hash: u128,
}

/// A visible row.
pub struct WalkedRow<'a> {
    /// Its encoded key.
    pub key: &'a [u8],
    /// Its time, where the table has one.
    pub time_ns: Option<i64>,
    /// The newest stamp that anybody left at the key.
    pub newest: u64,
    /// When the first fragment of it expires, in milliseconds since 1970; 0 means never.
    pub expires_ms: u64,
    /// Whether it is a deleted row, of which the delete is shown.
    pub deleted: bool,
    /// Whose it is.
    pub shares: &'a [Share],
    pieces: &'a Pieces,
    fragments: &'a [Fragment],
    columns: &'a [ColumnId],
    snapshot: &'a Snapshot,
}

impl WalkedRow<'_> {
    /// The writer's fragments of the row as they are stored, but for those that something newer removed.
    pub fn fragments(&self, origin: OriginId) -> Vec<RowBatch> {
        let own = self.fragments.iter().filter(|one| one.origin == origin);
        own.map(|fragment| self.fragment(fragment)).collect()
    }

    fn fragment(&self, fragment: &Fragment) -> RowBatch {
        let columns = self.columns.iter().enumerate().filter_map(|(at, id)| {
            let array = self.pieces.array(fragment.piece, at)?;
            let set = self.pieces.sets(fragment, at) && fragment.row < array.len();
            set.then(|| BatchColumn {
                id: *id,
                array: array.slice(fragment.row, 1),
                set: None,
            })
        });
        RowBatch {
            table: self.snapshot.schema().id,
            rows: 1,
            columns: columns.collect(),
            hlc: vec![fragment.hlc].into(),
            origin: vec![fragment.origin.0].into(),
            expiry_ms: (fragment.expiry_ms != 0).then(|| vec![fragment.expiry_ms].into()),
            tombstone: fragment.tombstone.then(|| BooleanBuffer::new_set(1)),
        }
    }
}

impl Snapshot {
    /// Shows every row that is visible at `now_ms` and whose time lies in `times`, in key order, until `show`
    /// has seen enough and says false. A table without a time has all its rows in every stretch. With `erased` it
    /// shows rows too that are deleted, unless a range that was deleted later covers them: they are the deleter's alone.
    ///
    /// # Errors
    /// `Corrupt` from a damaged file; what `show` says.
    pub fn walk(
        &self,
        times: Option<RangeInclusive<i64>>,
        now_ms: u64,
        erased: bool,
        show: &mut dyn FnMut(&WalkedRow<'_>) -> Result<bool>,
    ) -> Result<()> {
        let schema = self.schema();
        let wanted: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
        let names: Vec<Option<&str>> = schema
            .columns
            .iter()
            .map(|column| (!schema.is_key(column.id)).then_some(column.name.as_str()))
            .collect();
        let time = schema.time_column();
        let time_at = time.and_then(|time| wanted.iter().position(|id| *id == time));
        let predicate = time
            .zip(times.as_ref())
            .map(|(column, times)| ZonePredicate {
                column,
                low: Some(ZoneValue::Int(*times.start())),
                high: Some(ZoneValue::Int(*times.end())),
            });
        let plan = Arc::new(Plan {
            shape: Arc::new(KeyShape::of(schema)),
            key_predicates: predicate.into_iter().collect(),
            narrowed: Narrowed::default(),
            reverse: false,
            any_order: false,
        });
        let mut resolver = Resolver::new(Arc::clone(&self.0.origins), schema, &wanted, now_ms);
        let mut pieces = Pieces::new(wanted.clone());
        let Some(mut merge) = self.scan_sources(&KeyRange::all(), &plan, &mut pieces)? else {
            return Ok(());
        };
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut shares = Shares::default();
        while merge.next_key(&mut pieces, &mut fragments)? {
            for fragment in &fragments {
                pieces.load(fragment.piece)?;
            }
            let time_ns = time_at.zip(fragments.first()).and_then(|(at, fragment)| {
                let times = pieces.array(fragment.piece, at)?;
                let times = times.as_primitive_opt::<TimestampNanosecondType>()?;
                (fragment.row < times.len()).then(|| times.value(fragment.row))
            });
            let inside = match (&times, time_ns) {
                (Some(times), Some(time)) => times.contains(&time),
                _ => true,
            };
            if inside {
                let newest = fragments.iter().map(|fragment| fragment.hlc).max();
                let expiring = fragments.iter().map(|fragment| fragment.expiry_ms);
                let expires_ms = expiring.filter(|expiry| *expiry > now_ms).min();
                let barrier = self.tombstones().covering(merge.key());
                let newest = newest.max(barrier.map(|barrier| barrier.hlc));
                let delete = match erased {
                    true => self.newest_delete(&fragments, barrier, now_ms),
                    false => None,
                };
                let visible = resolver.resolve(&pieces, &mut fragments, barrier)?;
                if visible {
                    shares.sum(merge.key(), &pieces, &resolver, &fragments, &names, now_ms)?;
                } else if let Some(delete) = delete {
                    shares.erased(merge.key(), &delete);
                    fragments.clear();
                    fragments.push(delete);
                } else {
                    fragments.clear();
                }
                if !fragments.is_empty() {
                    let row = WalkedRow {
                        key: merge.key(),
                        time_ns,
                        newest: newest.unwrap_or(0),
                        expires_ms: expires_ms.unwrap_or(0),
                        deleted: !visible,
                        shares: &shares.list,
                        pieces: &pieces,
                        fragments: &fragments,
                        columns: &wanted,
                        snapshot: self,
                    };
                    if !show(&row)? {
                        return Ok(());
                    }
                }
            }
            fragments.clear();
            if pieces.vectors() > VECTORS_HELD_MAX {
                pieces.clear();
            }
        }
        Ok(())
    }

    /// The delete of the row that is the last word on a key, where it is.
    fn newest_delete(
        &self,
        fragments: &[Fragment],
        barrier: Option<Stamp>,
        now_ms: u64,
    ) -> Option<Fragment> {
        let origins = self.0.origins.as_ref();
        let alive = fragments.iter().filter(|one| !one.expired(now_ms));
        let newest = alive.max_by_key(|one| one.stamp(origins))?;
        let stands = barrier.is_none_or(|barrier| newest.stamp(origins) > barrier);
        (newest.tombstone && stands).then_some(*newest)
    }

    /// What rows of a stretch of time come from: the numbers of the files that may hold some, by number, and whether
    /// any are in memory. Two snapshots with the same files, nothing in memory and the same
    /// [`Snapshot::erasures`] show the same rows of it.
    pub fn holders(&self, times: Option<&RangeInclusive<i64>>) -> Vec<u64> {
        let inside = |file: &&Arc<crate::version::TableFile>| {
            let meta = file.sst.meta();
            match (times, meta.min_time_ns, meta.max_time_ns) {
                (Some(times), Some(low), Some(high)) => {
                    low <= *times.end() && high >= *times.start()
                }
                _ => meta.rows > 0,
            }
        };
        let mut files: Vec<u64> = self.0.files.iter().filter(inside).map(|f| f.id).collect();
        files.sort_unstable();
        files
    }

    /// The first and the last time of each file, where the table has a time.
    pub fn times(&self) -> Vec<(i64, i64)> {
        let files = self.0.files.iter().map(|file| file.sst.meta());
        let times = files.filter_map(|meta| meta.min_time_ns.zip(meta.max_time_ns));
        times.collect()
    }

    /// The stretches of time, by number, that rows in memory lie in, where `stretch` says which a time is
    /// in. A table without a time has one, of number `None`.
    pub fn in_memory(&self, stretch: impl Fn(i64) -> i32) -> BTreeSet<Option<i32>> {
        let mut found = BTreeSet::new();
        let time = self.schema().time_column();
        for view in &self.0.views {
            for chunk in view.chunks().iter() {
                let rows = view.rows().saturating_sub(chunk.first as usize);
                let rows = rows.min(chunk.batch.rows);
                if rows == 0 {
                    continue;
                }
                let times = time.and_then(|time| chunk.batch.column(time));
                let times = times
                    .and_then(|column| column.array.as_primitive_opt::<TimestampNanosecondType>());
                match times {
                    None => {
                        found.insert(None);
                    }
                    Some(times) => {
                        let times = times.values().iter().take(rows);
                        let mut last = None;
                        for time in times {
                            let number = stretch(*time);
                            if last != Some(number) {
                                last = Some(number);
                                found.insert(Some(number));
                            }
                        }
                    }
                }
            }
        }
        found
    }

    /// How many range tombstones are kept, and the newest of them: changes with every one that comes or goes.
    pub fn erasures(&self) -> (usize, u64) {
        let in_memory = self.0.views.iter().flat_map(|view| view.tombstones());
        let all = self.0.version.tombstones.iter().chain(in_memory);
        all.fold((0, 0), |(count, newest), one| {
            (count + 1, newest.max(one.hlc.0))
        })
    }
}

/// What each writer has in the row at hand.
#[derive(Default)]
struct Shares {
    list: Vec<Share>,
    sum: Sum,
}

impl Shares {
    fn sum(
        &mut self,
        key: &[u8],
        pieces: &Pieces,
        resolver: &Resolver,
        fragments: &[Fragment],
        names: &[Option<&str>],
        now_ms: u64,
    ) -> Result<()> {
        self.list.clear();
        self.sum.key(key);
        // One that has expired may be merged away while the row lives on by other cells.
        if let Some(newest) = fragments.first()
            && !newest.expired(now_ms)
        {
            self.add(newest.origin, newest.hlc, None)?;
        }
        for ((at, winner), name) in resolver.winners.iter().enumerate().zip(names) {
            let fragment = winner.and_then(|place| fragments.get(place));
            let (Some(fragment), Some(name)) = (fragment, name) else {
                continue;
            };
            let Some(array) = pieces.array(fragment.piece, at) else {
                continue;
            };
            if fragment.row < array.len() && array.is_valid(fragment.row) {
                self.sum.hash = 0;
                self.sum.cell(name, array, fragment.row, fragment.hlc)?;
                let hash = self.sum.hash;
                self.add(fragment.origin, fragment.hlc, Some(hash))?;
            }
        }
        Ok(())
    }

    /// A row that is deleted: no column has an empty name.
    fn erased(&mut self, key: &[u8], delete: &Fragment) {
        self.list.clear();
        self.sum.key(key);
        self.sum.hash = 0;
        self.sum.delete(delete.hlc);
        self.list.push(Share {
            origin: delete.origin,
            hlc: delete.hlc,
            hash: self.sum.hash,
        });
    }

    /// Adds a cell; the first of a writer adds the row as well.
    fn add(&mut self, origin: OriginId, hlc: u64, cell: Option<u128>) -> Result<()> {
        let known = self.list.iter_mut().find(|share| share.origin == origin);
        let cell = cell.unwrap_or(0);
        if let Some(share) = known {
            share.hlc = share.hlc.max(hlc);
            share.hash = share.hash.wrapping_add(cell);
            return Ok(());
        }
        self.sum.hash = 0;
        self.sum.row();
        self.list.push(Share {
            origin,
            hlc,
            hash: self.sum.hash.wrapping_add(cell),
        });
        Ok(())
    }
}
