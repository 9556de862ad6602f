//! What an edge fetches that starts over: the stored fragments of the tables that travel down, table by
//! table in the order of names, range tombstones before rows, rows in the order of keys.
//!
//! The cursor says all, so nothing is kept between two pieces, and a piece may be asked for again, from
//! this process or the next. Fragments go as they are stored, with stamps and origins, so that they
//! merge at the edge into what the cloud shows, whatever the edge holds already.

use std::sync::Arc;

use activestore_sync_proto::limits::{MAX_CURSOR_BYTES, MAX_FRAME_BYTES};
use activestore_types::{
    Error, RangeTombstone, Result, RowBatch, SyncMode, TableName, TableSchema,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::travels_down;
use crate::db::Inner;
use crate::outbox::origins::{Covered, Naming};
use crate::outbox::segment::{Erased, Segment};
use crate::outbox::{SEAL_BYTES, no_rows};

/// Fragments of a piece, about; fewer where they are large.
const PIECE_ROWS: usize = 8192;
/// Range tombstones of a piece.
const PIECE_RANGES: usize = 512;

/// Where the fetching stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The table; `None` at the very beginning.
    table: Option<TableName>,
    /// Range tombstones of the table that were sent.
    ranges: u64,
    /// The key to go on at, once the range tombstones are sent.
    key: Option<Vec<u8>>,
}

impl Cursor {
    /// One that cannot be read is the beginning: what is sent twice does no harm.
    fn read(bytes: &[u8]) -> Cursor {
        postcard::from_bytes(bytes).unwrap_or_default()
    }

    fn at(table: &TableName) -> Cursor {
        Cursor {
            table: Some(table.clone()),
            ..Cursor::default()
        }
    }

    fn bytes(&self) -> Result<Bytes> {
        let bytes = postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("a cursor over rows: {error}")))?;
        if bytes.len() > MAX_CURSOR_BYTES {
            return Err(Error::invalid(format!(
                "a key of {} bytes is too long to go on at",
                bytes.len()
            )));
        }
        Ok(bytes.into())
    }
}

/// A piece, and where the same table goes on.
struct Piece {
    payload: Bytes,
    next: Option<Cursor>,
}

impl Inner {
    /// The next piece after a cursor, and the cursor after it.
    pub(crate) fn down_rows(&self, cursor: &[u8]) -> Result<(Bytes, Option<Bytes>)> {
        let state = self.catalog.state();
        let mut tables = state
            .tables
            .values()
            .filter(|table| travels_down(table.sync));
        let mut cursor = Cursor::read(cursor);
        // One that was dropped meanwhile is passed over.
        let mut open = match &cursor.table {
            None => tables.next(),
            Some(name) => tables.find(|table| table.name >= *name),
        };
        while let Some(schema) = open {
            if cursor.table.as_ref() != Some(&schema.name) {
                cursor = Cursor::at(&schema.name);
            }
            open = tables.next();
            let after = open.map(|table| Cursor::at(&table.name));
            let piece = self.piece(schema, &cursor, state.version)?;
            if let Some(Piece { payload, next }) = piece {
                let next = next.or(after);
                return Ok((payload, next.map(|next| next.bytes()).transpose()?));
            }
        }
        let nothing = self.packed(None, &[], &[], state.version, None)?;
        Ok((nothing, None))
    }

    /// The next piece of one table; `None` where it has nothing more.
    fn piece(
        &self,
        schema: &Arc<TableSchema>,
        cursor: &Cursor,
        definitions: u64,
    ) -> Result<Option<Piece>> {
        // Before the snapshot: what is stamped later need not be in it.
        let upto = self.covered_up_to(schema)?;
        let Some(snapshot) = self.snapshot_of(schema)? else {
            return Ok(None);
        };
        // As it was defined when the snapshot was taken, so that every stored column has a name.
        let schema = snapshot.schema();
        if cursor.key.is_none() {
            let all = snapshot.range_tombstones();
            let sent = usize::try_from(cursor.ranges).unwrap_or(usize::MAX);
            let ranges: Vec<_> = all.iter().skip(sent).take(PIECE_RANGES).collect();
            if !ranges.is_empty() {
                let next = Cursor {
                    ranges: cursor.ranges + ranges.len() as u64,
                    ..cursor.clone()
                };
                let payload = self.packed(Some(schema), &[], &ranges, definitions, None)?;
                return Ok(Some(Piece {
                    payload,
                    next: Some(next),
                }));
            }
        }
        let start = cursor.key.clone().unwrap_or_default();
        let mut rows = PIECE_ROWS;
        loop {
            let found = snapshot.fragments(&start, rows)?;
            let says = upto.is_some() || schema.sync == SyncMode::Down;
            if found.batches.is_empty() && found.next.is_none() && !(says && start.is_empty()) {
                return Ok(None);
            }
            let covered = upto.map(|upto| Covered {
                table: schema.name.clone(),
                start: start.clone(),
                end: found.next.clone().unwrap_or_default(),
                hlc: upto.0,
            });
            let held: usize = found.batches.iter().map(|batch| batch.rows).sum();
            let bytes: usize = found.batches.iter().map(RowBatch::memory_bytes).sum();
            if bytes <= 4 * SEAL_BYTES || held <= 1 || rows == 1 {
                let payload =
                    self.packed(Some(schema), &found.batches, &[], definitions, covered)?;
                if payload.len() <= MAX_FRAME_BYTES {
                    let next = found.next.map(|key| Cursor {
                        key: Some(key),
                        ..cursor.clone()
                    });
                    return Ok(Some(Piece { payload, next }));
                }
                if rows == 1 {
                    return Err(Error::invalid(format!(
                        "the fragments of one row of {} take {} bytes, more than a frame carries",
                        schema.name,
                        payload.len()
                    ))
                    .with_hint("ALTER TABLE … COMPACT merges them"));
                }
            }
            rows = (rows.min(held) / 4).max(1);
        }
    }

    fn packed(
        &self,
        schema: Option<&Arc<TableSchema>>,
        batches: &[RowBatch],
        ranges: &[&RangeTombstone],
        definitions: u64,
        covered: Option<Covered>,
    ) -> Result<Bytes> {
        let node_of = |origin| self.store.origin_node(origin);
        let naming = Naming {
            definitions,
            node_of: &node_of,
            covered,
            via: None,
        };
        let mut members = Vec::new();
        let mut erased = Vec::new();
        if let Some(schema) = schema {
            let batches = batches.iter();
            members.extend(batches.map(|batch| (schema.clone(), batch.clone())));
            if members.is_empty() {
                members.push((schema.clone(), no_rows(schema)));
            }
            erased.extend(ranges.iter().map(|range| Erased {
                table: schema.name.clone(),
                start: range.start.clone(),
                end: range.end.clone(),
                hlc: range.hlc.0,
                origin: range.origin.0,
            }));
        }
        Segment::pack(&members, erased, Some(&naming)).map(Bytes::from)
    }
}
