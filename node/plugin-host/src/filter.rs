//! A sync filter: says which of the rows that are about to leave the node do leave, and with which values. A
//! row that leaves is one of those given, so its key is.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, new_empty_array, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use wasmtime::component::ComponentExportIndex;

use crate::abi::{Batch, Field, FilterSpec, FilteredBatch, GuestError};
use crate::column::{Lowered, lift, scalar_type};
use crate::instance::{Failure, Fault, Instance};
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX, check};
use crate::pool::Pool;

type InitParams<'a> = (&'a [(String, String)], &'a [Field]);
type InitResult = (std::result::Result<FilterSpec, GuestError>,);
type FilterParams<'a> = (Batch<'a>,);
type FilterResult = (std::result::Result<FilteredBatch, GuestError>,);

/// The exports of a filter.
#[derive(Clone, Copy)]
pub(crate) struct FilterExports {
    pub(crate) init: ComponentExportIndex,
    pub(crate) filter: ComponentExportIndex,
}

impl FilterExports {
    /// Compares their types with the contract's.
    pub(crate) fn check(&self, instance: &mut Instance) -> std::result::Result<(), Failure> {
        check::<InitParams<'_>, InitResult>(instance, self.init, "init")?;
        check::<FilterParams<'_>, FilterResult>(instance, self.filter, "filter")
    }
}

/// What a filter lets through of a batch.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// The rows that leave, by their number in the batch, ascending.
    pub rows: Vec<u32>,
    /// For each of [`SyncFilter::gives`] one value a row that leaves.
    pub columns: Vec<ArrayRef>,
}

/// A filter with its settings, for rows of one shape. It holds instances that may go on at any batch, since
/// a filter remembers nothing.
pub struct SyncFilter {
    plugin: Arc<Plugin>,
    config: Vec<(String, String)>,
    fields: Vec<Field>,
    spec: FilterSpec,
    pool: Pool<Instance>,
}

impl std::fmt::Debug for SyncFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncFilter")
            .field("plugin", &self.plugin)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl SyncFilter {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        config: &BTreeMap<String, String>,
        input: &Schema,
    ) -> Result<Self> {
        if plugin.kind() != PluginKind::Filter {
            return Err(plugin.is_not(PluginKind::Filter));
        }
        let fields = input.fields().iter().filter_map(|field| {
            Some(Field {
                name: field.name().clone(),
                kind: scalar_type(field.data_type())?,
                nullable: field.is_nullable(),
            })
        });
        let fields: Vec<Field> = fields.collect();
        let config: Vec<_> = config.clone().into_iter().collect();
        let (instance, spec) = plugin.guarded(0, || init(plugin, &config, &fields))?;
        check_spec(&spec, &fields)
            .map_err(|error| error.context(format_args!("plugin '{}'", plugin.name())))?;
        let filter = SyncFilter {
            plugin: plugin.clone(),
            config,
            fields,
            spec,
            pool: Pool::new(),
        };
        filter.pool.put(instance);
        Ok(filter)
    }

    /// The names of the columns that it is given.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        named(&self.fields, &self.spec.columns).map(|field| field.name.as_str())
    }

    /// The names of the columns that it gives values for.
    pub fn gives(&self) -> impl Iterator<Item = &str> {
        named(&self.fields, &self.spec.gives).map(|field| field.name.as_str())
    }

    /// The names of the columns that never leave.
    pub fn withholds(&self) -> impl Iterator<Item = &str> {
        named(&self.fields, &self.spec.withholds).map(|field| field.name.as_str())
    }

    /// What leaves of a batch. Columns are found by name; one that the batch lacks is null.
    ///
    /// # Errors
    /// `Invalid` for what the filter refuses and for a fault (trap, deadline, memory, malformed result);
    /// `Overloaded` while the plugin is switched off. Nothing of the batch may leave then.
    pub fn filter(&self, batch: &RecordBatch) -> Result<Filtered> {
        let mut rows = Vec::new();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.spec.gives.len()];
        for start in (0..batch.num_rows()).step_by(ROWS_PER_CALL_MAX) {
            let length = (batch.num_rows() - start).min(ROWS_PER_CALL_MAX);
            let slice = batch.slice(start, length);
            let part = self.plugin.guarded(length, || self.call(&slice))?;
            rows.extend(part.rows.into_iter().map(|row| row + start as u32));
            for (parts, column) in parts.iter_mut().zip(part.columns) {
                parts.push(column);
            }
        }
        let columns = parts.iter().zip(named(&self.fields, &self.spec.gives));
        let columns = columns.map(|(parts, field)| match parts.as_slice() {
            [] => Ok(new_empty_array(&field.kind.data_type().arrow())),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        });
        Ok(Filtered {
            rows,
            columns: columns.collect::<Result<_>>()?,
        })
    }

    fn call(&self, batch: &RecordBatch) -> std::result::Result<Filtered, Failure> {
        let Exports::Filter(exports) = &self.plugin.exports else {
            return Err(self.plugin.is_not(PluginKind::Filter).into());
        };
        let rows = batch.num_rows();
        let lowered = named(&self.fields, &self.spec.columns)
            .map(|field| match batch.column_by_name(&field.name) {
                Some(array) => Lowered::new(array, field.kind)
                    .map_err(|error| error.context(format_args!("column '{}'", field.name))),
                None => {
                    let nulls = new_null_array(&field.kind.data_type().arrow(), rows);
                    Lowered::new(&nulls, field.kind)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let input = Batch {
            rows: rows as u32,
            columns: &columns,
        };
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => self.fresh()?,
        };
        let deadline = self.plugin.mould.deadline;
        let (result,): FilterResult = instance.call(exports.filter, (input,), deadline)?;
        // After a refusal the guest may have half of a batch in its own memory.
        let filtered = self.lift(result?, rows)?;
        self.plugin.note_memory(&instance);
        if !instance.is_bloated() {
            self.pool.put(instance);
        }
        Ok(filtered)
    }

    /// Another instance, which must declare what the first one did.
    fn fresh(&self) -> std::result::Result<Instance, Failure> {
        let (instance, spec) = init(&self.plugin, &self.config, &self.fields)?;
        if spec == self.spec {
            Ok(instance)
        } else {
            Err(Fault::malformed("it declares other columns than before").into())
        }
    }

    fn lift(&self, batch: FilteredBatch, rows_in: usize) -> std::result::Result<Filtered, Fault> {
        let FilteredBatch { rows, columns } = batch;
        let ascending = rows.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !ascending || rows.last().is_some_and(|row| *row as usize >= rows_in) {
            return Err(Fault::malformed(format!(
                "the rows that it lets through do not rise within the {rows_in} rows given"
            )));
        }
        if columns.len() != self.spec.gives.len() {
            return Err(Fault::malformed(format!(
                "it gave {} columns where it declared {}",
                columns.len(),
                self.spec.gives.len()
            )));
        }
        let columns = columns
            .into_iter()
            .zip(named(&self.fields, &self.spec.gives));
        let columns = columns.map(|(column, field)| {
            lift(column, field.kind, rows.len())
                .map_err(|error| Fault::malformed(format!("column '{}': {error}", field.name)))
        });
        Ok(Filtered {
            columns: columns.collect::<std::result::Result<_, _>>()?,
            rows,
        })
    }
}

fn named<'a>(fields: &'a [Field], places: &'a [u32]) -> impl Iterator<Item = &'a Field> {
    places
        .iter()
        .filter_map(|place| fields.get(*place as usize))
}

/// Checks that a specification names columns that there are, each once, and none of the key where values
/// change or stay back.
fn check_spec(spec: &FilterSpec, fields: &[Field]) -> Result<()> {
    let mut seen = vec![false; fields.len()];
    for (what, places, keys) in [
        ("to be given", &spec.columns, true),
        ("to give", &spec.gives, false),
        ("to withhold", &spec.withholds, false),
    ] {
        if what != "to withhold" {
            // What is given back may not be withheld as well; what is asked for may be either.
            seen = vec![false; fields.len()];
        }
        for place in places {
            let place = *place as usize;
            let (Some(field), Some(seen)) = (fields.get(place), seen.get_mut(place)) else {
                return Err(Error::invalid(format!(
                    "it asks {what} column {place} of {}",
                    fields.len()
                )));
            };
            if std::mem::replace(seen, true) {
                return Err(Error::invalid(format!(
                    "it asks {what} column '{}', which it has named before",
                    field.name
                )));
            }
            if !keys && !field.nullable {
                return Err(Error::invalid(format!(
                    "it asks {what} column '{}', which belongs to the primary key",
                    field.name
                )));
            }
        }
    }
    Ok(())
}

fn init(
    plugin: &Plugin,
    config: &[(String, String)],
    fields: &[Field],
) -> std::result::Result<(Instance, FilterSpec), Failure> {
    let Exports::Filter(exports) = &plugin.exports else {
        return Err(plugin.is_not(PluginKind::Filter).into());
    };
    let mut instance = plugin.mould.cast()?;
    let params: InitParams<'_> = (config, fields);
    let (result,): InitResult = instance.call(exports.init, params, plugin.mould.deadline)?;
    Ok((instance, result?))
}
