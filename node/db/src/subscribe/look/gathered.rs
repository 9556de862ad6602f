//! What the rows of a batch come to, put into the order of the log.

use activestore_query::LiveQuery;
use activestore_types::{Lsn, Result, RowBatch};
use arrow::array::{UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::record_batch::RecordBatch;

use super::super::changes::{Change, Changes, What};
use super::super::token::Place;
use super::{Looking, batch_of};

/// What was found of a piece, in no order.
#[derive(Default)]
pub(super) struct Gathered {
    parts: Vec<RecordBatch>,
    /// The row that each row of the parts is.
    told: Vec<u32>,
    pub(super) gone: Vec<u32>,
}

impl Gathered {
    /// `numbers` says which rows of the batch these are.
    pub(super) fn rows(
        &mut self,
        query: &LiveQuery,
        rows: &RecordBatch,
        numbers: &[u32],
        leaving: bool,
    ) -> Result<()> {
        let (picks, given) = query.rows(rows)?;
        let mut fits = vec![false; numbers.len()];
        for pick in picks.values() {
            let pick = *pick as usize;
            self.told.extend(numbers.get(pick));
            if let Some(slot) = fits.get_mut(pick) {
                *slot = true;
            }
        }
        if leaving {
            let others = numbers.iter().zip(&fits).filter(|(_, fits)| !**fits);
            self.gone.extend(others.map(|(row, _)| *row));
        }
        if given.num_rows() > 0 {
            // A copy, so that no slice keeps its record in memory.
            let all: UInt32Array = (0..given.num_rows() as u32).collect();
            self.parts.push(take_record_batch(&given, &all)?);
        }
        Ok(())
    }

    pub(super) fn changes(
        mut self,
        looking: &Looking,
        batch: &RowBatch,
        keys: &RecordBatch,
        lsn: Lsn,
        first: u32,
    ) -> Result<Changes> {
        self.gone.sort_unstable();
        let gone = UInt32Array::from(self.gone);
        let mut gone_keys = take_record_batch(keys, &gone)?;
        let mut gone = gone.values().to_vec();
        if looking.query.judges_keys() && !gone.is_empty() && !looking.leaving {
            let needed = looking
                .query
                .needed()
                .iter()
                .zip(looking.query.input().fields());
            let cells = needed.map(|(_, field)| match gone_keys.column_by_name(field.name()) {
                Some(column) => column.clone(),
                None => new_null_array(field.data_type(), gone_keys.num_rows()),
            });
            let fits = looking.query.keys(&batch_of(
                looking.query.input(),
                cells.collect(),
                gone_keys.num_rows(),
            )?)?;
            gone_keys = filter_record_batch(&gone_keys, &fits)?;
            let mut fits = fits.values().iter();
            gone.retain(|_| fits.next().unwrap_or(true));
        }
        let mut list: Vec<(u32, What)> = Vec::with_capacity(self.told.len() + gone.len());
        let told = self.told.iter().enumerate();
        list.extend(told.map(|(at, row)| (*row, What::Upsert(at))));
        let gone = gone.iter().enumerate();
        list.extend(gone.map(|(at, row)| (*row, What::Delete(at))));
        list.sort_by_key(|(row, _)| *row);
        let list = list.into_iter().map(|(row, what)| Change {
            what,
            place: Place {
                lsn,
                row: first.saturating_add(row),
                stamp: batch.hlc.get(row as usize).copied().unwrap_or(0),
                among: None,
            },
        });
        Ok(Changes {
            list: list.collect(),
            rows: concat_batches(looking.query.output(), &self.parts)?,
            keys: gone_keys,
            ranges: Vec::new(),
            node: looking.node,
        })
    }
}
