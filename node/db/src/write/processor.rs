//! Processors in the write path: a plugin that sees the rows and sends rows of its own, or a model
//! that adds a score to each row. What a processor sends, what it remembers and the rows it saw are
//! committed in one log record, so that a crash neither loses nor repeats an output.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use activestore_catalog::ProcessorDef;
use activestore_env::Rng;
use activestore_plugin_host::{Output, Plugin, Processed, Processor, StateReader};
use activestore_store::{Note, Store};
use activestore_types::{BatchColumn, Error, NamedBatch, Result, TableSchema};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, filter, nullif};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;

use super::replay::Start;
use super::resolve::Staged;
use super::timer::{timer_notes, timer_prefix};
use crate::outgoing::{Outgoing, Ticket};
use crate::plugins::Deployed;

/// Options of a processor that are the node's, not the plugin's.
const OWN_OPTIONS: [&str; 2] = ["on_error", "start"];
/// How much of the room for notes processors may fill: the rest is for rows that they refuse.
const STATE_EIGHTHS: usize = 6;

/// What becomes of a row whose processor failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The row is stored unprocessed.
    Keep,
    /// The row goes to `system.rejected_writes`.
    Reject,
    /// The whole write is refused.
    Fail,
}

impl OnError {
    pub(crate) fn from_options(options: &BTreeMap<String, String>) -> Result<Self> {
        match options.get("on_error").map(String::as_str) {
            None | Some("keep") => Ok(OnError::Keep),
            Some("reject") => Ok(OnError::Reject),
            Some("fail") => Ok(OnError::Fail),
            Some(other) => Err(Error::invalid(format!(
                "on_error = '{other}' is unknown: 'keep', 'reject' or 'fail' expected"
            ))),
        }
    }
}

/// What a processor runs, ready to run.
pub(crate) enum Source {
    /// A plugin; the instance belongs to one version of the table's schema.
    Plugin(Arc<Plugin>),
    /// A model, the columns it reads and the column it fills.
    Model {
        model: Arc<Deployed>,
        inputs: Vec<String>,
        column: String,
    },
}

/// One processor of the catalog, ready to run.
pub(crate) struct Runtime {
    pub(crate) def: ProcessorDef,
    pub(crate) source: Source,
    on_error: OnError,
    pub(super) start: Start,
    /// Whether it sees what is written.
    pub(super) awake: AtomicBool,
    /// Whether a thread shows it old rows.
    pub(super) replaying: AtomicBool,
    /// What the plugin is told of the options.
    config: BTreeMap<String, String>,
    instance: Mutex<Option<(u32, Processor)>>,
    pub(crate) rows: AtomicU64,
    pub(crate) rows_sent: AtomicU64,
    pub(crate) rows_rejected: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) timers_fired: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
}

/// A row that a processor refused: kept for `system.rejected_writes`.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) table: String,
    pub(crate) processor: String,
    pub(crate) reason: String,
    pub(crate) row: RecordBatch,
}

/// What one processor did with one batch.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<NamedBatch>,
    /// Whether it set timers.
    pub(crate) timers: bool,
    pub(crate) refused: Vec<Refused>,
}

/// Writes of processor state that are not committed yet, over those that are.
pub(crate) struct PendingState<'a> {
    store: &'a Store,
    pending: HashMap<Vec<u8>, Pending>,
    /// How often a processor added to them.
    additions: u32,
    outgoing: &'a Outgoing,
    rng: &'a dyn Rng,
    /// Requests among them.
    tickets: Vec<Ticket>,
}

struct Pending {
    value: Option<Vec<u8>>,
    /// Which addition it came with.
    addition: u32,
}

impl<'a> PendingState<'a> {
    pub(crate) fn new(store: &'a Store, outgoing: &'a Outgoing, rng: &'a dyn Rng) -> Self {
        PendingState {
            store,
            pending: HashMap::new(),
            additions: 0,
            outgoing,
            rng,
            tickets: Vec::new(),
        }
    }

    /// Adds what a processor writes, all of it or, where there is no room for it, nothing.
    pub(crate) fn add(
        &mut self,
        writes: impl ExactSizeIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<()> {
        self.additions += 1;
        let addition = self.additions;
        let mut replaced = Vec::new();
        self.pending.reserve(writes.len());
        for (key, value) in writes {
            match self.pending.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(Pending { value, addition });
                }
                Entry::Occupied(mut entry) => {
                    let before = entry.insert(Pending { value, addition });
                    replaced.push((entry.key().clone(), before));
                }
            }
        }
        let all = self.pending.iter();
        let all = all.map(|(key, pending)| (key.as_slice(), pending.value.as_deref()));
        let admitted = self.store.admit_notes(all, STATE_EIGHTHS);
        admitted.map_err(|error| {
            self.pending
                .retain(|_, pending| pending.addition != addition);
            self.pending.extend(replaced);
            Error::overloaded(format!(
                "there is no room for its state: {}",
                error.message()
            ))
            .with_hint(
                "have it watch fewer columns or keep less for each key, or raise limits.memory",
            )
        })
    }

    /// Notes, and the requests that are among them.
    pub(crate) fn into_notes(self) -> (Vec<Note>, Vec<Ticket>) {
        let notes = self.pending.into_iter();
        let notes = notes.map(|(key, pending)| Note {
            key,
            value: pending.value,
        });
        (notes.collect(), self.tickets)
    }

    /// A request's own number, which is never another's.
    fn id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        self.rng.fill(&mut id);
        id
    }
}

/// Writes under this prefix.
pub(super) fn prefixed(
    prefix: &[u8],
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let writes = writes.into_iter();
    writes
        .map(|(key, value)| ([prefix, key.as_slice()].concat(), value))
        .collect()
}

/// The state of one processor: its keys carry its name.
struct OwnState<'a, 'b> {
    state: &'a PendingState<'b>,
    prefix: Vec<u8>,
}

impl StateReader for OwnState<'_, '_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let key = [self.prefix.as_slice(), key].concat();
        match self.state.pending.get(&key) {
            Some(pending) => pending.value.clone(),
            None => self.state.store.note(&key),
        }
    }
}

/// The prefix of a processor's keys among the store's notes.
pub(crate) fn state_prefix(processor: &str) -> Vec<u8> {
    format!("processor/{processor}/").into_bytes()
}

impl Runtime {
    /// A processor that sees what is written from now on, unless it has a start and is not `started`.
    ///
    /// # Errors
    /// `Invalid` for options that there are not.
    pub(crate) fn new(def: ProcessorDef, source: Source, started: bool) -> Result<Self> {
        let mut config = def.options.clone();
        config.retain(|name, _| !OWN_OPTIONS.contains(&name.as_str()));
        let start = Start::parse(def.options.get("start").map(String::as_str))?;
        if start != Start::Now && matches!(source, Source::Model { .. }) {
            return Err(Error::invalid("a model scores what is written from now on")
                .with_hint("score old rows in a query: SELECT predict(…)"));
        }
        Ok(Runtime {
            on_error: OnError::from_options(&def.options)?,
            awake: AtomicBool::new(started || start == Start::Now),
            replaying: AtomicBool::new(false),
            start,
            config,
            def,
            source,
            instance: Mutex::new(None),
            rows: AtomicU64::new(0),
            rows_sent: AtomicU64::new(0),
            rows_rejected: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            timers_fired: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            last_error: Mutex::new(None),
        })
    }

    /// Runs over one staged batch, which it may change (a score added, rows taken out).
    ///
    /// # Errors
    /// What the plugin says, when the processor is declared `on_error = 'fail'`.
    pub(crate) fn run(
        &self,
        staged: &mut Staged,
        state: &mut PendingState<'_>,
        now_ns: i64,
    ) -> Result<Outcome> {
        self.rows.fetch_add(staged.rows as u64, Ordering::Relaxed);
        let done = match &self.source {
            Source::Model {
                model,
                inputs,
                column,
            } => score(staged, model, inputs, column).map(|()| Outcome::default()),
            Source::Plugin(plugin) => self.process(plugin, staged, state, now_ns),
        };
        match done {
            Ok(outcome) => {
                self.rows_rejected
                    .fetch_add(outcome.refused.len() as u64, Ordering::Relaxed);
                let sent = outcome.sent.iter().map(|batch| batch.rows).sum::<usize>();
                self.rows_sent.fetch_add(sent as u64, Ordering::Relaxed);
                Ok(outcome)
            }
            Err(error) => self.failed(error, staged),
        }
    }

    /// Drops the instance: what it remembers of rows that were not committed has not happened.
    pub(crate) fn forget(&self) {
        *self.instance.lock() = None;
    }

    fn failed(&self, error: Error, staged: &mut Staged) -> Result<Outcome> {
        let first = self.failures.fetch_add(1, Ordering::Relaxed) == 0;
        if first {
            tracing::warn!(processor = self.def.name, %error, "a processor failed");
        }
        *self.last_error.lock() = Some(error.to_string());
        match self.on_error {
            OnError::Keep => Ok(Outcome::default()),
            OnError::Fail => Err(error.context(format!("processor '{}'", self.def.name))),
            OnError::Reject => {
                let batch = staged.record_batch()?;
                let refused = (0..staged.rows)
                    .map(|row| Refused {
                        table: staged.schema.name.to_string(),
                        processor: self.def.name.clone(),
                        reason: error.to_string(),
                        row: batch.slice(row, 1),
                    })
                    .collect();
                self.rows_rejected
                    .fetch_add(staged.rows as u64, Ordering::Relaxed);
                staged.retain(&BooleanArray::from(vec![false; staged.rows]))?;
                Ok(Outcome {
                    refused,
                    ..Outcome::default()
                })
            }
        }
    }

    fn process(
        &self,
        plugin: &Arc<Plugin>,
        staged: &mut Staged,
        state: &mut PendingState<'_>,
        now_ns: i64,
    ) -> Result<Outcome> {
        let batch = staged.record_batch()?;
        let version = staged.schema.version;
        let done = self.with_instance(
            plugin,
            &batch.schema(),
            version,
            state,
            now_ns,
            |instance, own| instance.process(&batch, false, own),
        )?;
        let mut outcome = Outcome {
            sent: self.sent(&done.outputs),
            timers: !done.timers.is_empty(),
            refused: Vec::new(),
        };
        if !done.rejected.is_empty() {
            let mut keep = vec![true; staged.rows];
            for (row, reason) in done.rejected {
                if let Some(kept) = keep.get_mut(row) {
                    *kept = false;
                    outcome.refused.push(Refused {
                        table: staged.schema.name.to_string(),
                        processor: self.def.name.clone(),
                        reason,
                        row: batch.slice(row, 1),
                    });
                }
            }
            staged.retain(&BooleanArray::from(keep))?;
        }
        Ok(outcome)
    }

    /// Calls the instance for this version of the table's schema; what it remembers, its timers and its
    /// requests go to `state`, all or nothing.
    pub(super) fn with_instance(
        &self,
        plugin: &Arc<Plugin>,
        schema: &Schema,
        version: u32,
        state: &mut PendingState<'_>,
        now_ns: i64,
        call: impl FnOnce(&mut Processor, &dyn StateReader) -> Result<Processed>,
    ) -> Result<Processed> {
        let mut slot = self.instance.lock();
        let mut instance = match slot.take() {
            Some((built_for, instance)) if built_for == version => instance,
            _ => plugin.processor(&self.config, schema)?,
        };
        let own = OwnState {
            state,
            prefix: state_prefix(&self.def.name),
        };
        let done = call(&mut instance, &own);
        let prefix = own.prefix;
        let done = done.and_then(|mut done| {
            let mut writes = prefixed(&prefix, std::mem::take(&mut done.state));
            let timers = timer_notes(&done.timers, now_ns);
            writes.extend(prefixed(&timer_prefix(&self.def.name), timers));
            let requests = std::mem::take(&mut done.requests);
            let (requests, tickets) =
                state
                    .outgoing
                    .admit(&self.def.name, requests, &state.tickets, now_ns, &|| {
                        state.id()
                    })?;
            writes.extend(requests);
            state.add(writes.into_iter())?;
            state.tickets.extend(tickets);
            Ok(done)
        });
        // What it remembers of a batch that failed is not what is kept: another instance takes over.
        if done.is_ok() {
            *slot = Some((version, instance));
        }
        done
    }

    /// The rows that it sends, for the tables that take them.
    pub(super) fn sent(&self, outputs: &[RecordBatch]) -> Vec<NamedBatch> {
        let outputs = self.def.into.iter().zip(outputs);
        outputs
            .filter(|(_, rows)| rows.num_rows() > 0)
            .map(|(into, rows)| NamedBatch::from_record_batch(into.clone(), rows))
            .collect()
    }

    /// The rows this processor sends; `None` for a model.
    pub(crate) fn outputs(&self, schema: &TableSchema) -> Result<Option<Vec<Output>>> {
        match &self.source {
            Source::Model { .. } => Ok(None),
            Source::Plugin(plugin) => {
                let instance = plugin.processor(&self.config, &schema.arrow())?;
                Ok(Some(instance.outputs().to_vec()))
            }
        }
    }
}

impl Staged {
    /// All columns of the table as the processor sees them; what the write does not name is NULL.
    pub(crate) fn record_batch(&self) -> Result<RecordBatch> {
        let schema = self.schema.arrow();
        let arrays = self
            .schema
            .columns
            .iter()
            .map(|column| {
                self.columns
                    .iter()
                    .find(|candidate| candidate.id == column.id)
                    .map_or_else(
                        || Ok(new_null_array(&column.data_type.arrow(), self.rows)),
                        visible,
                    )
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        Ok(RecordBatch::try_new(schema, arrays)?)
    }

    /// Keeps the rows that are `true`.
    pub(crate) fn retain(&mut self, keep: &BooleanArray) -> Result<()> {
        for column in &mut self.columns {
            column.array = filter(&column.array, keep)?;
            if let Some(set) = &column.set {
                let set = filter(&BooleanArray::new(set.clone(), None), keep)?;
                column.set = Some(set.as_boolean().values().clone());
            }
        }
        self.expiry_ms = self.expiry_ms.take().map(|all| {
            let kept = all.iter().zip(keep).filter(|(_, keep)| *keep == Some(true));
            kept.map(|(expiry, _)| *expiry).collect()
        });
        self.rows = keep.true_count();
        Ok(())
    }

    fn column_named(&self, name: &str) -> Option<&BatchColumn> {
        let id = self.schema.column(name)?.id;
        self.columns.iter().find(|column| column.id == id)
    }
}

/// A column with its absent cells as NULL.
fn visible(column: &BatchColumn) -> Result<ArrayRef> {
    Ok(match &column.set {
        None => column.array.clone(),
        Some(set) => nullif(&column.array, &BooleanArray::new(!set, None))?,
    })
}

/// Fills `column` with the model's prediction for every row that has all its inputs.
fn score(staged: &mut Staged, model: &Deployed, inputs: &[String], column: &str) -> Result<()> {
    let Some(target) = staged.schema.column(column).map(|column| column.id) else {
        return Err(Error::conflict(format!(
            "table {} has lost the column '{column}' that the model fills",
            staged.schema.name
        )));
    };
    let mut ready = vec![true; staged.rows];
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(inputs.len());
    for name in inputs {
        let Some(input) = staged.column_named(name) else {
            return Ok(()); // a write that leaves an input out is not scored
        };
        let array = cast(&visible(input)?, &ArrowType::Float64)?;
        if array.null_count() > 0 {
            for (row, ready) in ready.iter_mut().enumerate() {
                *ready &= array.is_valid(row);
            }
        }
        arrays.push(array);
    }
    let ready = BooleanArray::from(ready);
    if ready.true_count() == 0 {
        return Ok(());
    }
    let whole = ready.true_count() == staged.rows;
    if !whole {
        for array in &mut arrays {
            *array = filter(array, &ready)?;
        }
    }
    let scores = model.predict(0, &arrays)?;
    let scores = scores
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| Error::internal("a model answered with something other than DOUBLE"))?;
    let (array, set): (ArrayRef, Option<BooleanBuffer>) = if whole {
        (Arc::new(scores.clone()), None)
    } else {
        let mut next = scores.iter();
        let spread: Float64Array = ready
            .values()
            .iter()
            .map(|ready| if ready { next.next().flatten() } else { None })
            .collect();
        (Arc::new(spread), Some(ready.values().clone()))
    };
    staged.columns.retain(|existing| existing.id != target);
    staged.columns.push(BatchColumn {
        id: target,
        array,
        set,
    });
    Ok(())
}
