//! A part of a view computed anew from its tables, and what of the view's rows that changes.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use activestore_query::{Engine, LeftOut, StatsHandle, ViewQuery, Within, cast_lossless, quote};
use activestore_types::{ColumnId, Error, KeyBuffer, Result, TableName, TableSchema, encode_keys};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Schema, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use futures::StreamExt;

use super::dirty::Piece;

/// Rows of a view that are compared at once.
pub(super) const ROWS_MAX: usize = if cfg!(test) { 5_000 } else { 100_000 };

/// Windows, of all groups or of those with some values.
pub(super) struct Part<'a> {
    /// The first window.
    pub(super) from: i64,
    /// The last one.
    pub(super) to: i64,
    /// Columns of the base with the values that they have.
    pub(super) among: Vec<(ColumnId, ArrayRef)>,
    /// Of these alone, where not all are meant.
    pub(super) piece: Option<&'a Piece>,
    /// Whether windows are meant as well that the table may have lost a part of to its age.
    pub(super) aged: bool,
    /// Of sessions, those that begin up to there.
    pub(super) aged_to: i64,
    /// Whether sessions that began before are done.
    pub(super) clean: bool,
}

/// What is to be written to the view.
pub(super) struct Difference {
    /// Rows that are new or other ones.
    pub(super) upserts: Option<RecordBatch>,
    /// Keys of rows that are no more, as columns in key order.
    pub(super) gone: Option<RecordBatch>,
    /// Rows that were computed, and those that were there.
    pub(super) looked_at: usize,
    /// Whether anything is there, of the table or of the view.
    pub(super) there: bool,
    /// What was touched of sessions that the table has not whole, and that stay as they are.
    pub(super) passed_over: u64,
}

/// A view as it is computed.
pub(super) struct Computed<'a> {
    pub(super) engine: &'a Engine,
    pub(super) sql: &'a str,
    pub(super) query: &'a ViewQuery,
    pub(super) view: &'a TableSchema,
    /// Rows of the table that are not of the view.
    pub(super) left_out: Option<LeftOut>,
    /// Counts the rows of tables that are read for it.
    pub(super) rows_read: &'a Cell<u64>,
}

impl Computed<'_> {
    /// What a part of the view lacks; `None` where it has too many rows to be looked at as one. `floor` tells the moment
    /// before which the table may have lost rows to their age.
    ///
    /// # Errors
    /// As the query.
    pub(super) async fn difference(
        &self,
        part: &Part<'_>,
        floor: &dyn Fn() -> Option<i64>,
    ) -> Result<Option<Difference>> {
        if let Some(gap) = self.query.windows.gap() {
            return self.difference_of_sessions(gap, part, floor).await;
        }
        let base = self.within_base(part)?;
        let meant =
            |batch: RecordBatch| Ok(filter_record_batch(&batch, &self.belongs(&batch, part)?)?);
        let Some(now) = self.rows(self.sql, &base, &meant, ROWS_MAX).await? else {
            return Ok(None);
        };
        let held = self.within_view(part)?;
        let Some(before) = self
            .rows(&self.sql_of_view(), &held, &meant, ROWS_MAX)
            .await?
        else {
            return Ok(None);
        };
        // Asked behind the reads: rows that went before them are of before it.
        match floor().filter(|_| !part.aged) {
            Some(floor) => {
                let (before, now) = (
                    self.since(&before, floor, part)?,
                    self.since(&now, floor, part)?,
                );
                self.compared(&before, &now).map(Some)
            }
            None => self.compared(&before, &now).map(Some),
        }
    }

    /// What reads the view's own rows.
    pub(super) fn sql_of_view(&self) -> String {
        let columns = self.query.columns.iter();
        let columns: Vec<String> = columns.map(|(name, _)| quote(name)).collect();
        format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            full(&self.view.name)
        )
    }

    /// The rows of windows that begin at a moment or later, or that somebody deleted rows of.
    fn since(&self, rows: &RecordBatch, floor: i64, part: &Part<'_>) -> Result<RecordBatch> {
        let starts = rows
            .columns()
            .get(self.query.window)
            .ok_or_else(lost)?
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(lost)?;
        let groups = self.groups(rows)?;
        let keeps: BooleanArray = (0..rows.num_rows())
            .map(|row| {
                let start = starts.value(row);
                let deletes = || {
                    part.piece.is_some_and(|piece| {
                        let group = groups.as_ref().map_or(&[][..], |groups| groups.key(row));
                        piece.deletes(group, start, &self.query.windows)
                    })
                };
                Some(start >= floor || deletes())
            })
            .collect();
        Ok(filter_record_batch(rows, &keeps)?)
    }

    /// The first and the last window in which there is something in the table, or in the view.
    ///
    /// # Errors
    /// As the queries.
    pub(super) async fn extent(&self, part: &Part<'_>) -> Result<Option<(i64, i64)>> {
        let windows = &self.query.windows;
        let mut base = self.within_base(part)?;
        // Late rows make it a little longer at the most, and telling them apart would hold what is between the ends.
        base.but = None;
        base.in_order = false;
        let base = self.ends(&self.query.base.name, &base).await?;
        let base = base.map(|(first, last)| (windows.from(first), windows.upto(last)));
        let held = self.within_view(part)?;
        let held = self.ends(&self.view.name, &held).await?;
        let held = held.map(|(first, last)| (first, windows.upto(last).max(last)));
        Ok(match (base, held) {
            (Some(base), Some(held)) => Some((base.0.min(held.0), base.1.max(held.1))),
            (base, held) => base.or(held),
        })
    }

    pub(super) async fn ends(
        &self,
        table: &TableName,
        within: &Within,
    ) -> Result<Option<(i64, i64)>> {
        let time = quote(&within.time);
        let sql = format!("SELECT min({time}), max({time}) FROM {}", full(table));
        let found = self.engine.query_within(&sql, within).await?;
        let stats = found.stats.clone();
        let rows = found.collect().await?;
        self.has_read(&stats);
        let end = |place: usize| {
            let column = rows.first()?.columns().get(place)?;
            let moments = column.as_primitive_opt::<TimestampNanosecondType>()?;
            (moments.len() > moments.null_count()).then(|| moments.value(0))
        };
        Ok(end(0).zip(end(1)))
    }

    /// Counts what a query read.
    pub(super) fn has_read(&self, stats: &StatsHandle) {
        let read = stats.read().rows_scanned;
        self.rows_read
            .set(self.rows_read.get().saturating_add(read));
    }

    fn within_base(&self, part: &Part<'_>) -> Result<Within> {
        let to = self.query.windows.end(part.to).saturating_sub(1);
        self.of_base(part.from, to.max(part.to), &part.among)
    }

    /// The table's rows of a stretch of time.
    pub(super) fn of_base(
        &self,
        from: i64,
        to: i64,
        among: &[(ColumnId, ArrayRef)],
    ) -> Result<Within> {
        let name = |id: ColumnId| {
            let column = self.query.base.column_by_id(id);
            column.map(|column| column.name.clone()).ok_or_else(lost)
        };
        Ok(Within {
            table: self.query.base.name.clone(),
            time: name(self.query.time)?,
            from,
            to,
            among: among
                .iter()
                .map(|(id, values)| Ok((name(*id)?, values.clone())))
                .collect::<Result<_>>()?,
            but: self.left_out.clone(),
            beside: self.query.looked_up(among),
            in_order: self.query.windows.gap().is_some(),
        })
    }

    fn within_view(&self, part: &Part<'_>) -> Result<Within> {
        self.of_view(part.from, part.to, &part.among)
    }

    /// The view's rows whose windows begin in a stretch of time.
    pub(super) fn of_view(
        &self,
        from: i64,
        to: i64,
        among: &[(ColumnId, ArrayRef)],
    ) -> Result<Within> {
        let name = |place: usize| {
            let column = self.query.columns.get(place);
            column.map(|(name, _)| name.clone()).ok_or_else(lost)
        };
        let among = among.iter().filter_map(|(id, values)| {
            let anchor = self.query.anchors.iter().find(|(anchor, _)| anchor == id)?;
            Some((anchor.1, values.clone()))
        });
        Ok(Within {
            table: self.view.name.clone(),
            time: name(self.query.window)?,
            from,
            to,
            among: among
                .map(|(place, values)| Ok((name(place)?, values)))
                .collect::<Result<_>>()?,
            but: None,
            beside: Vec::new(),
            in_order: false,
        })
    }

    /// The rows of a query that are meant, in the view's columns; `None` for more than these.
    pub(super) async fn rows(
        &self,
        sql: &str,
        within: &Within,
        meant: &dyn Fn(RecordBatch) -> Result<RecordBatch>,
        most: usize,
    ) -> Result<Option<RecordBatch>> {
        let found = self.engine.query_within(sql, within).await?;
        let (mut stream, stats) = (found.stream, found.stats);
        let mut kept = Vec::new();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = meant(self.as_stored(&batch?)?)?;
            rows += batch.num_rows();
            if rows > most {
                return Ok(None);
            }
            kept.push(batch);
        }
        self.has_read(&stats);
        Ok(Some(concat_batches(&self.schema(), &kept)?))
    }

    /// The view's columns in the order of the query, of which each may hold NULL: so much a query leaves open.
    pub(super) fn schema(&self) -> Arc<Schema> {
        let columns = self.query.columns.iter();
        let columns = columns.filter_map(|(name, _)| self.view.column(name));
        let fields = columns.map(|column| self.view.arrow_field(column).with_nullable(true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The columns in the types that the view has.
    fn as_stored(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.query.columns.iter().zip(batch.columns());
        let columns = columns
            .map(|((name, data_type), array)| cast_lossless(name, *data_type, array))
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    /// Which rows are of the part; a row whose group has no value for a column of the view's key is of none.
    fn belongs(&self, batch: &RecordBatch, part: &Part<'_>) -> Result<BooleanArray> {
        let column = |place: usize| batch.columns().get(place).cloned().ok_or_else(lost);
        let starts = column(self.query.window)?;
        let starts = starts
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(lost)?;
        let groups = self.groups(batch)?;
        let others = self.query.others.iter();
        let others = others
            .map(|place| column(*place))
            .collect::<Result<Vec<_>>>()?;
        Ok((0..batch.num_rows())
            .map(|row| {
                let start = starts.value(row);
                let within = starts.is_valid(row) && (part.from..=part.to).contains(&start);
                let named = others.iter().all(|other| other.is_valid(row));
                let meant = || {
                    part.piece.is_none_or(|piece| {
                        let group = groups.as_ref().map_or(&[][..], |groups| groups.key(row));
                        piece.holds(group, start, &self.query.windows)
                    })
                };
                Some(within && named && meant())
            })
            .collect())
    }

    /// The groups of rows as keys; `None` where there is one.
    fn groups(&self, batch: &RecordBatch) -> Result<Option<KeyBuffer>> {
        let anchors = self.query.anchors.iter();
        let anchors = anchors.map(|(_, place)| {
            let column = batch.columns().get(*place).cloned().ok_or_else(lost)?;
            Ok((column, false))
        });
        let anchors = anchors.collect::<Result<Vec<_>>>()?;
        if anchors.is_empty() {
            return Ok(None);
        }
        encode_keys(&anchors).map(Some)
    }

    /// What leads from the rows before to those that are now.
    pub(super) fn compared(&self, before: &RecordBatch, now: &RecordBatch) -> Result<Difference> {
        let fields = before.schema();
        let fields = fields.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let (rows_before, rows_now) = (
            converter.convert_columns(before.columns())?,
            converter.convert_columns(now.columns())?,
        );
        let (keys_before, keys_now) = (self.keys(before)?, self.keys(now)?);
        let mut left: HashMap<&[u8], u32> = keys_before.iter().zip(0..).collect();
        let mut other = Vec::new();
        for (key, row) in keys_now.iter().zip(0_u32..) {
            let known = left.remove(key);
            let same = known
                .is_some_and(|known| rows_before.row(known as usize) == rows_now.row(row as usize));
            if !same {
                other.push(row);
            }
        }
        let mut gone: Vec<u32> = left.into_values().collect();
        gone.sort_unstable();
        let picked = |rows: &RecordBatch, picks: Vec<u32>| -> Result<Option<RecordBatch>> {
            if picks.is_empty() {
                return Ok(None);
            }
            Ok(Some(take_record_batch(rows, &UInt32Array::from(picks))?))
        };
        let gone = picked(before, gone)?;
        Ok(Difference {
            upserts: picked(now, other)?,
            gone: gone.map(|rows| self.key_columns(&rows)).transpose()?,
            looked_at: before.num_rows() + now.num_rows(),
            there: before.num_rows() + now.num_rows() > 0,
            passed_over: 0,
        })
    }

    fn keys(&self, rows: &RecordBatch) -> Result<KeyBuffer> {
        let columns = self.key_columns(rows)?;
        let columns = columns.columns().iter().cloned();
        encode_keys(&columns.map(|column| (column, false)).collect::<Vec<_>>())
    }

    fn key_columns(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let places = self.view.key_columns().map(|key| {
            let column = self.view.column_by_id(key.id).ok_or_else(lost)?;
            Ok(rows.schema().index_of(&column.name)?)
        });
        Ok(rows.project(&places.collect::<Result<Vec<usize>>>()?)?)
    }
}

pub(super) fn full(table: &TableName) -> String {
    format!("{}.{}", quote(&table.keyspace), quote(&table.table))
}

pub(super) fn lost() -> Error {
    Error::internal("a materialized view and its query do not have the same columns")
}
