//! Payloads in the making: rows and erasures gather until they fill a segment. Rows of a partition that has a
//! data key of its own are in segments of their own, which are kept under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_store::Store;
use activestore_sync_proto::limits::MAX_FRAME_BYTES;
use activestore_types::{
    BatchColumn, Error, Hlc, OriginId, RangeTombstone, Result, RowBatch, TableSchema,
};
use arrow::array::new_empty_array;

use super::SEAL_BYTES;
use super::chain::Payload;
use super::origins::{NODES_MAX, Naming};
use super::segment::{Erased, Member, Segment};

/// What has gathered.
pub(super) struct Packing<'a> {
    /// Has every row keep its origin.
    naming: Option<&'a Naming<'a>>,
    payloads: Vec<Payload>,
    apart: BTreeMap<u32, Vec<Member>>,
    batches: Vec<Member>,
    erased: Vec<Erased>,
    bytes: usize,
    /// The origins of what has gathered, where they are named.
    named: BTreeSet<u32>,
}

impl<'a> Packing<'a> {
    /// Nothing yet; with `naming` every row keeps its origin.
    pub(super) fn new(naming: Option<&'a Naming<'a>>) -> Self {
        Packing {
            naming,
            payloads: Vec::new(),
            apart: BTreeMap::new(),
            batches: Vec::new(),
            erased: Vec::new(),
            bytes: 0,
            named: BTreeSet::new(),
        }
    }

    /// Takes rows of a table.
    pub(super) fn rows(
        &mut self,
        store: &Store,
        schema: &Arc<TableSchema>,
        batch: &RowBatch,
    ) -> Result<()> {
        for (own, rows) in store.divide(batch)? {
            for piece in pieces(&rows) {
                if let Some(own) = own {
                    let members = self.apart.entry(own).or_default();
                    members.push((schema.clone(), piece));
                    if bytes_of(members) >= SEAL_BYTES {
                        cut(
                            members,
                            &mut Vec::new(),
                            Some(own),
                            self.naming,
                            &mut self.payloads,
                        )?;
                    }
                    continue;
                }
                self.make_room_for_names(&piece)?;
                self.bytes += piece.memory_bytes();
                self.batches.push((schema.clone(), piece));
                if self.bytes >= SEAL_BYTES {
                    self.cut()?;
                }
            }
        }
        Ok(())
    }

    /// Cuts what has gathered where the writers of more rows would be more than a segment names.
    fn make_room_for_names(&mut self, piece: &RowBatch) -> Result<()> {
        if self.naming.is_none() {
            return Ok(());
        }
        let mut writers: Vec<u32> = piece.origin.to_vec();
        writers.dedup();
        let fresh: BTreeSet<u32> = writers.into_iter().collect();
        let more = fresh.difference(&self.named).count();
        if self.named.len() + more > NODES_MAX {
            self.cut()?;
        }
        self.named.extend(fresh);
        Ok(())
    }

    /// Takes a range of a table that is erased.
    pub(super) fn range(
        &mut self,
        schema: &Arc<TableSchema>,
        range: &RangeTombstone,
    ) -> Result<()> {
        if self.naming.is_some() {
            let known = self.named.contains(&range.origin.0);
            if !known && self.named.len() >= NODES_MAX {
                self.cut()?;
            }
            self.named.insert(range.origin.0);
        }
        self.bytes += range.start.len() + range.end.len() + 64;
        // The receiver must know the table: rows that the range covers may come after it.
        if !self.batches.iter().any(|(known, _)| known.id == schema.id) {
            self.batches.push((schema.clone(), no_rows(schema)));
        }
        self.erased.push(Erased {
            table: schema.name.clone(),
            start: range.start.clone(),
            end: range.end.clone(),
            hlc: range.hlc.0,
            origin: range.origin.0,
        });
        if self.bytes >= SEAL_BYTES {
            self.cut()?;
        }
        Ok(())
    }

    /// All payloads.
    pub(super) fn finish(mut self) -> Result<Vec<Payload>> {
        for (own, mut members) in std::mem::take(&mut self.apart) {
            cut(
                &mut members,
                &mut Vec::new(),
                Some(own),
                self.naming,
                &mut self.payloads,
            )?;
        }
        self.cut()?;
        Ok(self.payloads)
    }

    fn cut(&mut self) -> Result<()> {
        self.bytes = 0;
        self.named.clear();
        cut(
            &mut self.batches,
            &mut self.erased,
            None,
            self.naming,
            &mut self.payloads,
        )
    }
}

/// A batch that says no more than which columns the table's key has.
pub(crate) fn no_rows(schema: &TableSchema) -> RowBatch {
    let keys = schema.key_columns().filter_map(|key| {
        let column = schema.column_by_id(key.id)?;
        Some(BatchColumn {
            id: column.id,
            array: new_empty_array(&column.data_type.arrow()),
            set: None,
        })
    });
    RowBatch::upsert(schema.id, 0, keys.collect(), Hlc::ZERO, OriginId(0))
}

fn bytes_of(members: &[Member]) -> usize {
    members.iter().map(|(_, batch)| batch.memory_bytes()).sum()
}

/// Makes a payload of what has gathered, to be kept under `own` if that is a key.
fn cut(
    batches: &mut Vec<Member>,
    erased: &mut Vec<Erased>,
    own: Option<u32>,
    naming: Option<&Naming<'_>>,
    payloads: &mut Vec<Payload>,
) -> Result<()> {
    if batches.is_empty() && erased.is_empty() {
        return Ok(());
    }
    let rows = batches
        .iter()
        .map(|(_, batch)| batch.rows as u64)
        .sum::<u64>()
        + erased.len() as u64;
    let of_rows = batches.iter().flat_map(|(_, batch)| batch.origin.iter());
    let writers = of_rows.chain(erased.iter().map(|one| &one.origin)).copied();
    let naming = match naming {
        Some(naming) if naming.is_needless(writers) => None,
        naming => naming,
    };
    let bytes = Segment::pack(batches, std::mem::take(erased), naming)?;
    batches.clear();
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(Error::internal(format!(
            "a segment of {rows} rows takes {} bytes, more than a frame carries",
            bytes.len()
        )));
    }
    payloads.push(Payload {
        rows,
        bytes: bytes.into(),
        own,
    });
    Ok(())
}

/// A batch in pieces that each stay well below a segment's bound.
fn pieces(batch: &RowBatch) -> Vec<RowBatch> {
    let count = batch.memory_bytes().div_ceil(SEAL_BYTES / 4).max(1);
    let rows = batch.rows.div_ceil(count).max(1);
    (0..batch.rows)
        .step_by(rows)
        .map(|start| batch.slice(start, rows.min(batch.rows - start)))
        .collect()
}
