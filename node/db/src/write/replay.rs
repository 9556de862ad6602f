//! Rows that were stored before a processor was made, shown to it: `WITH (start = 'beginning')`.
//!
//! A processor with a start is asleep at first. Once no write to its table is under way that passed it by,
//! a stamp is noted: rows with a later one are shown to it as they are written, the others by a thread that
//! goes through the table in the order of the keys. What the processor made of some rows and how far it
//! is are one log record, so each row is shown once, also where the node stops in between.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_store::{Note, ScanRequest, WriteSet};
use activestore_types::{Error, Hlc, KeyRange, Result, TableSchema, encode_keys};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use super::gates::Way;
use super::process::Wave;
use super::processor::{Runtime, Source};
use crate::db::Inner;
use crate::visit::Visits;

/// Rows that are shown at once.
const ROWS_AT_ONCE: usize = 4_096;
/// How long the thread waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long it lets others write between two parts.
const BETWEEN_PARTS: Duration = Duration::from_millis(2);

/// Where a processor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what is written from now on.
    Now,
    /// With rows that were written after this stamp.
    After(Hlc),
}

impl Start {
    /// Reads the option `start`.
    ///
    /// # Errors
    /// `Invalid` for what is none.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Start::Now);
        };
        match text {
            "now" => Ok(Start::Now),
            "beginning" => Ok(Start::After(Hlc(0))),
            moment => {
                let parsed = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(moment);
                let ms = parsed
                    .ok()
                    .and_then(|ns| u64::try_from(ns / 1_000_000).ok());
                ms.map(|ms| Start::After(Hlc::from_ms(ms))).ok_or_else(|| {
                    Error::invalid(format!("start = '{moment}' is unknown")).with_hint(
                        "start = 'now', 'beginning' or a moment like '2026-01-31T06:00:00Z'",
                    )
                })
            }
        }
    }
}

/// How far a processor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// Rows stamped after `from` and up to `upto` are still to be shown, keys from `next` on.
    Under {
        from: u64,
        upto: u64,
        next: Vec<u8>,
        rows: u64,
    },
    /// All are shown.
    Done { rows: u64 },
}

/// The key of the note that says how far a processor is.
pub(crate) fn progress_key(processor: &str) -> Vec<u8> {
    format!("replay/{processor}").into_bytes()
}

impl Inner {
    /// Begins or goes on to show old rows to the processors that ask for them; each once.
    pub(crate) fn replay_where_asked(self: &Arc<Self>) {
        for runtime in self.plugins.current().all_processors() {
            let asleep = matches!(runtime.start, Start::After(_)) && self.is_under_way(runtime);
            if !asleep || runtime.replaying.swap(true, Ordering::AcqRel) {
                continue;
            }
            let (inner, runtime) = (Arc::downgrade(self), runtime.clone());
            let visits = self.visits.clone();
            let spawned = std::thread::Builder::new()
                .name("replay".to_owned())
                .spawn(move || run(&visits, &inner, &runtime));
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread can be had to show old rows to a processor");
            }
        }
    }

    fn is_under_way(&self, runtime: &Runtime) -> bool {
        !matches!(
            self.progress(&runtime.def.name),
            Some(Progress::Done { .. })
        )
    }

    /// How far a processor is; `None` of one that has not begun or begins now.
    pub(crate) fn progress(&self, processor: &str) -> Option<Progress> {
        let note = self.store.note(&progress_key(processor))?;
        postcard::from_bytes(&note).ok()
    }

    /// Wakes a processor: from the stamp that is noted on it sees what is written.
    fn wake(&self, runtime: &Arc<Runtime>, from: Hlc) -> Result<()> {
        let table = self.catalog.state().table(&runtime.def.table)?.clone();
        // No write is under way that passed it by.
        let _alone = self
            .gates
            .pass_blocking(self.gates_of([(table, Way::Alone)]));
        // No other is put in its place until this is done.
        let _turn = self.changing.lock();
        if !self.plugins.current().is_in_force(runtime) {
            return Ok(());
        }
        let progress = Progress::Under {
            from: from.0,
            upto: self.clock.last().0,
            next: Vec::new(),
            rows: 0,
        };
        let notes = vec![note(&runtime.def.name, &progress)?];
        self.store.commit(WriteSet {
            notes,
            ..WriteSet::default()
        })?;
        runtime.awake.store(true, Ordering::Release);
        Ok(())
    }

    /// Shows a part of the old rows; whether there are more.
    fn show_part(&self, runtime: &Arc<Runtime>) -> Result<bool> {
        let Start::After(from) = runtime.start else {
            return Ok(false);
        };
        let (from, upto, next, shown) = match self.progress(&runtime.def.name) {
            None => {
                self.wake(runtime, from)?;
                return Ok(true);
            }
            Some(Progress::Done { .. }) => return Ok(false),
            Some(Progress::Under {
                from,
                upto,
                next,
                rows,
            }) => (from, upto, next, rows),
        };
        self.admit()?;
        let schema = self.catalog.state().table(&runtime.def.table)?.clone();
        let part = self.part(&schema, next, |stamp| stamp.0 > from && stamp.0 <= upto)?;
        let state = self.catalog.state();
        let into = runtime.def.into.iter();
        let into = into.filter_map(|table| state.tables.get(table).cloned());
        let _passage = self
            .gates
            .pass_blocking(self.gates_of(into.map(|schema| (schema, Way::Together))));
        let mut wave = Wave::begin(self);
        if !wave.is_in_force(runtime) {
            return Ok(false);
        }
        let rows = shown + part.rows.num_rows() as u64;
        if part.rows.num_rows() > 0 {
            wave.ran(runtime);
            let sent = runtime.replay(&schema, &part.rows, &mut wave)?;
            wave.send(sent)?;
            wave.finish()?;
        }
        let progress = match part.next {
            Some(next) => Progress::Under {
                from,
                upto,
                next,
                rows,
            },
            None => Progress::Done { rows },
        };
        let more = matches!(progress, Progress::Under { .. });
        let mut processed = wave.end()?;
        processed.notes.push(note(&runtime.def.name, &progress)?);
        let staged = self.join_staged(processed.staged, &[])?;
        let set = self.stamp(staged, Vec::new(), processed.notes);
        let sent = set.batches.iter().map(|batch| batch.rows as u64).sum();
        self.commit(set)?;
        if let Some(turn) = processed.turn {
            turn.committed();
        }
        if processed.timers {
            self.alarm.set();
        }
        self.counts.rows_written.fetch_add(sent, Ordering::Relaxed);
        Ok(more)
    }

    /// Some rows from a key on, those whose stamp is wanted.
    fn part(
        &self,
        schema: &Arc<TableSchema>,
        next: Vec<u8>,
        wanted: impl Fn(Hlc) -> bool,
    ) -> Result<Part> {
        let snapshot = self.store.snapshot(schema.id)?;
        let now_ms = self.wall_ms();
        let scan = snapshot.scan(ScanRequest {
            columns: schema.columns.iter().map(|column| column.id).collect(),
            ranges: vec![KeyRange {
                start: next,
                end: Vec::new(),
            }],
            limit: Some(ROWS_AT_ONCE),
            now_ms,
            ..ScanRequest::default()
        })?;
        let batches = scan.collect::<Result<Vec<RecordBatch>>>()?;
        let rows = concat_batches(&schema.arrow(), &batches)?;
        let keys = schema
            .key_columns()
            .filter_map(|key| {
                let column = schema.column_by_id(key.id)?;
                let array: ArrayRef = rows.column_by_name(&column.name)?.clone();
                Some((array, key.descending))
            })
            .collect::<Vec<_>>();
        let keys = encode_keys(&keys)?;
        let mut show = Vec::with_capacity(keys.len());
        for key in keys.iter() {
            show.push(snapshot.written(key, now_ms)?.is_some_and(&wanted));
        }
        let whole = rows.num_rows() >= ROWS_AT_ONCE;
        let next = whole.then(|| [keys.key(keys.len() - 1), &[0]].concat());
        Ok(Part {
            rows: filter_record_batch(&rows, &BooleanArray::from(show))?,
            next,
        })
    }
}

/// Rows to be shown.
struct Part {
    rows: RecordBatch,
    /// Where the next part begins; `None` behind the last.
    next: Option<Vec<u8>>,
}

fn note(processor: &str, progress: &Progress) -> Result<Note> {
    let value = postcard::to_stdvec(progress)
        .map_err(|error| Error::internal(format!("progress cannot be kept: {error}")))?;
    Ok(Note {
        key: progress_key(processor),
        value: Some(value),
    })
}

fn run(visits: &Arc<Visits>, inner: &Weak<Inner>, runtime: &Arc<Runtime>) {
    loop {
        let Some(inner) = visits.enter(inner) else {
            return;
        };
        if !inner.plugins.current().is_in_force(runtime) {
            return;
        }
        let pause = match inner.show_part(runtime) {
            Ok(true) => BETWEEN_PARTS,
            Ok(false) => return,
            Err(error) => {
                runtime.failed_beside_writes("old rows cannot be shown to a processor", &error);
                AFTER_FAILURE
            }
        };
        let alarm = inner.alarm.clone();
        drop(inner);
        if !alarm.pause(pause) {
            return;
        }
    }
}

impl Runtime {
    fn replay(
        &self,
        schema: &TableSchema,
        rows: &RecordBatch,
        wave: &mut Wave<'_>,
    ) -> Result<Vec<activestore_types::NamedBatch>> {
        let Source::Plugin(plugin) = &self.source else {
            return Err(Error::internal("a model is shown no old rows"));
        };
        let now_ns = wave.now_ns();
        let done = self.with_instance(
            plugin,
            &rows.schema(),
            schema.version,
            &mut wave.state,
            now_ns,
            |instance, own| instance.process(rows, true, own),
        )?;
        wave.set_timers(!done.timers.is_empty());
        self.rows
            .fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        let sent = self.sent(&done.outputs);
        let count = sent.iter().map(|batch| batch.rows as u64).sum();
        self.rows_sent.fetch_add(count, Ordering::Relaxed);
        Ok(sent)
    }
}
