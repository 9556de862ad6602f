//! Rows of a cloud-owned table, and old ones of a shared one, that an edge still shows and its cloud no longer has:
//! deleted so long ago that no tombstone tells, or lost with what a restored cloud wrote after its backup.
//!
//! A fetched piece says which keys it covers and up to which stamp it is the whole truth. Where the edge shows
//! rows between two keys of the piece, one range tombstone of that stamp takes them; what is newer stays.

use std::collections::BTreeSet;

use activestore_store::ScanRequest;
use activestore_types::{
    Hlc, KeyRange, OriginId, RangeTombstone, Result, TableSchema, encode_keys,
};
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;

use crate::db::Inner;
use crate::incoming::Incoming;
use crate::outbox::origins::Covered;

/// The keys of rows of a table.
fn keys_of(schema: &TableSchema, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
    let columns: Vec<(ArrayRef, bool)> = schema
        .key_columns()
        .enumerate()
        .filter_map(|(place, key)| Some((rows.columns().get(place)?.clone(), key.descending)))
        .collect();
    Ok(encode_keys(&columns)?.iter().map(<[u8]>::to_vec).collect())
}

impl Inner {
    /// Adds to what comes in what is to go for it.
    pub(super) fn prune(
        &self,
        schema: &TableSchema,
        covered: &Covered,
        by: OriginId,
        incoming: &mut Incoming,
    ) -> Result<()> {
        let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
        for batch in incoming.batches.iter().filter(|one| one.table == schema.id) {
            let columns: Vec<(ArrayRef, bool)> = schema
                .key_columns()
                .filter_map(|key| Some((batch.column(key.id)?.array.clone(), key.descending)))
                .collect();
            kept.extend(encode_keys(&columns)?.iter().map(<[u8]>::to_vec));
        }
        let Some(snapshot) = self.snapshot_of(schema)? else {
            return Ok(());
        };
        let scan = snapshot.scan(ScanRequest {
            columns: schema.key_columns().map(|key| key.id).collect(),
            ranges: vec![KeyRange {
                start: covered.start.clone(),
                end: covered.end.clone(),
            }],
            now_ms: self.wall_ms(),
            ..ScanRequest::default()
        })?;
        let mut gaps: BTreeSet<Vec<u8>> = BTreeSet::new();
        for rows in scan {
            for key in keys_of(schema, &rows?)? {
                if !kept.contains(&key) {
                    let before = kept.range(..key).next_back();
                    // Behind the row before: no key lies between a key and itself with a zero.
                    let start = before.map_or_else(
                        || covered.start.clone(),
                        |before| [before.as_slice(), &[0]].concat(),
                    );
                    gaps.insert(start);
                }
            }
        }
        for start in gaps {
            let end = kept.range(start.clone()..).next();
            incoming.range(RangeTombstone {
                table: schema.id,
                end: end.unwrap_or(&covered.end).clone(),
                start,
                hlc: Hlc(covered.hlc),
                origin: by,
            });
        }
        Ok(())
    }
}
