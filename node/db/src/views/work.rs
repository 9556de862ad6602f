//! The work that brings a view up to date: marked groups in pieces, and regions in steps.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use activestore_query::ViewQuery;
use activestore_types::{ColumnId, Error, ErrorKind, Result, TableSchema};
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use tokio::runtime::Runtime;

use super::compute::{Computed, Difference, Part};
use super::dirty::Piece;
use super::upkeep::Upkeep;
use crate::db::Inner;
use crate::subscribe::key_value;

/// A view rests so many times as long as it worked: so it takes a bounded part of one core, whatever is written.
const REST_FACTOR: u32 = 5;
/// A region rests as long as it worked.
const REGION_REST_FACTOR: u32 = 1;
/// How long marked groups are worked on in one go …
const PIECES_WORK: Duration = Duration::from_secs(1);
/// … and how many pieces of them may fail in it.
const FAILURES_MAX: usize = 64;
/// How often whoever computes something looks whether the node is closing.
const LOOK: Duration = Duration::from_millis(100);
/// How long regions are worked on in one go.
const REGIONS_WORK: Duration = Duration::from_millis(250);

impl Upkeep {
    /// Brings the view up to date as far as it has seen the log, or a part of the way: the log and the other views wait
    /// meanwhile. In a hurry it is due again at once. `goes_on` is asked between steps.
    pub(super) fn work(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        hurry: bool,
        goes_on: &dyn Fn() -> bool,
    ) {
        self.tries += 1;
        let began = inner.env.clock.monotonic();
        if self.query.is_none() {
            self.compile(inner, runtime);
        }
        let Some(query) = self.query.clone() else {
            return self.mind_log(inner);
        };
        if hurry || self.retry_at <= began {
            self.dirty.retry();
        }
        let mut rest = REST_FACTOR;
        let sent = self.send_late(inner);
        let mut followed = Ok(());
        let worked = sent.and_then(|()| {
            followed = self.follow(inner, runtime, &query, goes_on);
            // What is marked does not wait for a row that cannot be read.
            self.pieces(inner, runtime, &query, goes_on)
        });
        let worked = worked.and_then(|()| {
            let ends = began + REGIONS_WORK;
            while let Some(region) = self.dirty.regions.first().cloned() {
                if !goes_on() || inner.env.clock.monotonic() >= ends {
                    break;
                }
                rest = REGION_REST_FACTOR;
                self.region(inner, runtime, &query, region)?;
            }
            Ok(())
        });
        let ailing = self.ailing.take();
        match worked.and(followed) {
            Ok(()) => {
                if let Some(error) = &ailing {
                    self.ails(inner, error);
                } else if !self.dirty.has_aside() {
                    self.error = None;
                    self.failures = 0;
                }
                let now = inner.env.clock.monotonic();
                let rests = now + now.saturating_sub(began).saturating_mul(rest);
                let refresh = match self.dirty.regions.is_empty() {
                    true => began + Duration::from_millis(self.def.refresh_ms),
                    false => Duration::ZERO,
                };
                let comes_back = hurry && (self.dirty.has_work() || self.joined.has_work());
                self.due = if comes_back { now } else { rests.max(refresh) };
            }
            Err(error) => self.failed(inner, &error),
        }
        self.mind_log(inner);
    }

    /// Computes the groups that are marked, for a while at the most.
    fn pieces(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let ends = inner.env.clock.monotonic() + PIECES_WORK;
        if let Some(floor) = self.floor_ns(inner) {
            let slots = query.windows.since(floor);
            self.late += self.dirty.forget_aged(slots) as u64;
        }
        let mut pieces: VecDeque<Piece> = self.dirty.take(&query.windows).into();
        let (mut done, mut failed) = (0, 0);
        let mut worked = Ok(());
        while let Some(piece) = pieces.pop_front() {
            // One that is too large is split until a part of it is done, however long that takes: so each round
            // comes further.
            let over = done > 0 && inner.env.clock.monotonic() >= ends;
            if !goes_on() || over || failed >= FAILURES_MAX {
                self.dirty.put_back(&piece);
                break;
            }
            match self.piece(inner, runtime, query, &piece, pieces.is_empty()) {
                Ok(None) => done += 1,
                Ok(Some(error)) => {
                    failed += 1;
                    match piece.split(&query.windows) {
                        Some([first, second]) => {
                            pieces.push_front(second);
                            pieces.push_front(first);
                        }
                        None => {
                            done += 1;
                            self.dirty.set_aside(piece);
                            self.ailing = Some(error);
                        }
                    }
                }
                Err(error) => {
                    self.dirty.put_back(&piece);
                    worked = Err(error);
                    break;
                }
            }
        }
        pieces.iter().for_each(|piece| self.dirty.put_back(piece));
        worked
    }

    /// Computes a piece. Why it cannot be computed, where less of it maybe can.
    fn piece(
        &mut self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        piece: &Piece,
        last: bool,
    ) -> Result<Option<Error>> {
        let part = Part {
            from: piece.from,
            to: piece.to,
            among: anchors_of(query, piece.slots.keys().map(Vec::as_slice)),
            piece: Some(piece),
            aged: false,
            aged_to: i64::MAX,
            clean: false,
        };
        match self.difference(inner, runtime, query, &part) {
            Ok(Some(difference)) => {
                let passed_over = difference.passed_over;
                self.late += passed_over;
                let written = self.write(inner, difference, last);
                if written.is_err() {
                    self.late -= passed_over;
                }
                written.map(|()| None)
            }
            Ok(None) => Ok(Some(too_many_groups())),
            Err(error) if is_of_all(&error) => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    pub(super) fn schema(&self, inner: &Inner) -> Result<Arc<TableSchema>> {
        let state = inner.catalog.state();
        let view = state.table_by_id(self.id).cloned();
        view.ok_or_else(|| Error::not_found("the view was dropped"))
    }

    pub(super) fn computed<'a>(
        &'a self,
        inner: &'a Inner,
        query: &'a ViewQuery,
        view: &'a TableSchema,
    ) -> Computed<'a> {
        Computed {
            engine: &inner.engine,
            sql: &self.def.query,
            query,
            view,
            left_out: self.left_out(&query.base),
            rows_read: &self.rows_read,
        }
    }

    pub(super) fn difference(
        &self,
        inner: &Inner,
        runtime: &Runtime,
        query: &ViewQuery,
        part: &Part<'_>,
    ) -> Result<Option<Difference>> {
        let view = self.schema(inner)?;
        let computed = self.computed(inner, query, &view);
        let floor = || self.floor_ns(inner);
        runtime.block_on(async {
            let mut difference = pin!(computed.difference(part, &floor));
            loop {
                match tokio::time::timeout(LOOK, &mut difference).await {
                    Ok(difference) => return difference,
                    // A session that never pauses is read whole, which nobody who closes waits for.
                    Err(_) if inner.views.is_closing() => {
                        return Err(Error::closed("the node is closing"));
                    }
                    Err(_) => {}
                }
            }
        })
    }
}

/// The values of each column that groups are told apart by.
pub(super) fn anchors_of<'a>(
    query: &ViewQuery,
    groups: impl Iterator<Item = &'a [u8]>,
) -> Vec<(ColumnId, ArrayRef)> {
    let mut values: Vec<Vec<ArrayRef>> = vec![Vec::new(); query.anchors.len()];
    for group in groups {
        let mut rest = group;
        for ((id, _), values) in query.anchors.iter().zip(&mut values) {
            let data_type = query.base.column_by_id(*id).map(|column| column.data_type);
            let read = data_type.and_then(|data_type| key_value(data_type, false, rest));
            let Some((value, left)) = read else {
                return Vec::new(); // all groups, of which those that are not meant are passed over
            };
            values.push(value);
            rest = left;
        }
    }
    let columns = query.anchors.iter().zip(values);
    let columns = columns.map(|((id, _), values)| {
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        Some((*id, concat(&values).ok()?))
    });
    columns.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The first window that begins at a moment or later.
pub(super) fn first_since(query: &ViewQuery, ns: i64) -> i64 {
    let slot = query.windows.slot(ns);
    if query.windows.gap().is_some() {
        ns
    } else if slot < ns {
        query.windows.next(slot)
    } else {
        slot
    }
}

/// Whether an error is about everything, so that less would meet it as well.
pub(super) fn is_of_all(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::DiskFull | ErrorKind::Poisoned | ErrorKind::Closed
    )
}

pub(super) fn too_many_groups() -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "one window of the view has more groups than can be compared at once",
    )
    .with_hint("make the view anew with shorter windows, or with fewer columns behind GROUP BY")
}

#[cfg(test)]
mod tests;
