//! Another try of what was set aside, or its end.

use std::sync::atomic::Ordering;

use activestore_store::{Note, WriteSet};
use activestore_types::{Error, OriginId, Result, RowBatch, TableName};
use serde::Serialize;

use super::{Aside, Part, written};
use crate::db::{Db, Inner};
use crate::inbox::table_of;
use crate::incoming::Incoming;
use crate::outbox::News;
use crate::outbox::segment::Segment;
use crate::reconcile::mended;

/// What became of rows that were set aside.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetryReport {
    /// Rows that were taken, or discarded where that was asked for.
    pub rows: u64,
    /// Rows that are still set aside.
    pub left: u64,
    /// Why, a sentence for each table and reason.
    pub reasons: Vec<String>,
}

impl Db {
    /// Tries rows again that were set aside, of one table or of all.
    ///
    /// # Errors
    /// What the store says; rows that still do not fit are no error.
    pub async fn retry_rejected(&self, table: Option<TableName>) -> Result<RetryReport> {
        let inner = self.inner.clone();
        self.blocking(move || inner.try_again(table.as_ref())).await
    }

    /// Lets go of rows that were set aside, and of those that processors refused, of one table or of all: they are lost
    /// here.
    ///
    /// # Errors
    /// What the store says.
    pub async fn discard_rejected(&self, table: Option<TableName>) -> Result<RetryReport> {
        let inner = self.inner.clone();
        self.blocking(move || inner.discard(table.as_ref())).await
    }
}

impl Inner {
    fn try_again(&self, table: Option<&TableName>) -> Result<RetryReport> {
        let _turn = self.set_aside.turn();
        let mut report = RetryReport::default();
        let wanted = |part: &Part| table.is_none_or(|table| part.table == *table);
        for (key, mut aside) in self.asides() {
            if !aside.parts.iter().any(wanted) {
                continue;
            }
            let content = Segment::unpack(&aside.payload)?;
            // From above, others may have seen them long since.
            let mut incoming = match aside.down {
                true => Incoming::default(),
                false => Incoming::first(),
            };
            let mut left = Vec::new();
            for mut part in std::mem::take(&mut aside.parts) {
                if !wanted(&part) {
                    left.push(part);
                    continue;
                }
                match self.taken_again(&aside, &part, &content) {
                    Ok(batch) => incoming.rows(batch),
                    Err(error) => {
                        part.reason = super::cut(error.to_string());
                        report.left(&part);
                        left.push(part);
                    }
                }
            }
            let rows = incoming.fragments();
            if aside.down {
                incoming.notes.push(mended()); // what is this node's own was shipped before
            }
            aside.parts = left;
            // The rows and the end of their being set aside are one log record.
            self.take_in(incoming, changed(key, &aside)?)?;
            self.set_aside.taken.fetch_add(rows, Ordering::Relaxed);
            report.rows += rows;
        }
        Ok(report)
    }

    fn taken_again(&self, aside: &Aside, part: &Part, content: &Segment) -> Result<RowBatch> {
        let missing = || Error::corrupt("a part that is set aside is not there");
        let number = part.section as usize;
        let section = content.sections.get(number).ok_or_else(missing)?;
        if aside.down {
            let origins = content.origins.as_ref().ok_or_else(missing)?;
            return self.section_from_above(number, section, origins);
        }
        let origin: OriginId = self.store.origin_id(aside.from)?;
        let schema = table_of(self, section)?;
        let batch = section.batch(&schema, origin.0)?;
        match aside.late {
            true => self.as_written_now(&schema, batch),
            false => Ok(batch),
        }
    }

    fn discard(&self, table: Option<&TableName>) -> Result<RetryReport> {
        let _turn = self.set_aside.turn();
        let mut report = RetryReport::default();
        let mut notes = self.forget_refused(table);
        report.rows = notes.len() as u64;
        for (key, mut aside) in self.asides() {
            let before = aside.rows();
            let other = |part: &Part| table.is_some_and(|table| part.table != *table);
            aside.parts.retain(other);
            report.rows += before - aside.rows();
            report.left += aside.rows();
            if aside.rows() < before || aside.parts.is_empty() {
                notes.push(changed(key, &aside)?);
            }
        }
        if !notes.is_empty() {
            self.store.commit(WriteSet {
                notes,
                ..WriteSet::default()
            })?;
            // The record holds nothing to ship, and the log is held until the outbox has seen that.
            self.wake_sealers(News::default());
        }
        let discarded = &self.set_aside.discarded;
        discarded.fetch_add(report.rows, Ordering::Relaxed);
        Ok(report)
    }
}

impl Aside {
    fn rows(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.rows)).sum()
    }
}

impl RetryReport {
    fn left(&mut self, part: &Part) {
        self.left += u64::from(part.rows);
        if !self.reasons.contains(&part.reason) {
            self.reasons.push(part.reason.clone());
        }
    }
}

/// The note of what is left, or of nothing any more.
fn changed(key: Vec<u8>, aside: &Aside) -> Result<Note> {
    let value = match aside.parts.is_empty() {
        true => None,
        false => Some(written(aside)?),
    };
    Ok(Note { key, value })
}
