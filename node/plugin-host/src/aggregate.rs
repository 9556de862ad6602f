//! An aggregate: the rows of many groups in, one value a group out. Each aggregation has an instance to
//! itself from its begin to its end, because the groups live in the guest.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{concat, filter};
use arrow::datatypes::UInt32Type;
use wasmtime::component::ComponentExportIndex;

use crate::abi::{
    Column, GuestError, OwnedColumn, OwnedValues, OwnedVarBytes, ScalarType, VarBytes,
};
use crate::callable::Callable;
use crate::column::{Lowered, lift};
use crate::instance::{Failure, Fault, Instance};
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX, check};
use crate::shape::FunctionSignature;

type Nothing = (std::result::Result<(), GuestError>,);
type UpdateParams<'a> = (&'a [u32], u32, &'a [Column<'a>]);
type RetractParams<'a> = (&'a [u32], &'a [Column<'a>]);
type MergeParams<'a> = (&'a [u32], u32, VarBytes<'a>);
type StateResult = (std::result::Result<OwnedVarBytes, GuestError>,);
type FinishResult = (std::result::Result<OwnedColumn, GuestError>,);

/// Linear memory that an instance may hold to wait for the next aggregation.
const IDLE_BYTES_MAX: usize = 4 << 20;
/// Groups whose states or values are asked for first.
const GROUPS_FIRST: usize = 1024;
/// What states or values should take in one call, in bytes.
const PART_BYTES: usize = 1 << 20;

/// The exports of a plugin of aggregates.
#[derive(Clone, Copy)]
pub(crate) struct AggregateExports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) init: ComponentExportIndex,
    pub(crate) update: ComponentExportIndex,
    pub(crate) retract: ComponentExportIndex,
    pub(crate) merge: ComponentExportIndex,
    pub(crate) state: ComponentExportIndex,
    pub(crate) finish: ComponentExportIndex,
    pub(crate) forget: ComponentExportIndex,
}

impl AggregateExports {
    /// Compares their types with the contract's.
    pub(crate) fn check(&self, instance: &mut Instance) -> std::result::Result<(), Failure> {
        check::<(), (Vec<crate::abi::Aggregate>,)>(instance, self.describe, "describe")?;
        check::<(u32,), Nothing>(instance, self.init, "init")?;
        check::<UpdateParams<'_>, Nothing>(instance, self.update, "update")?;
        check::<RetractParams<'_>, Nothing>(instance, self.retract, "retract")?;
        check::<MergeParams<'_>, Nothing>(instance, self.merge, "merge")?;
        check::<(u32, u32), StateResult>(instance, self.state, "state")?;
        check::<(u32, u32), FinishResult>(instance, self.finish, "finish")?;
        check::<(u32,), Nothing>(instance, self.forget, "forget")
    }
}

/// One aggregate of a plugin. Many aggregations by it may run at once.
#[derive(Debug)]
pub struct AggregateFunction {
    callable: Callable,
    returns: ScalarType,
}

impl AggregateFunction {
    pub(crate) fn new(plugin: &Arc<Plugin>, function: &str) -> Result<Self> {
        let callable = Callable::find(plugin, PluginKind::Aggregate, function)?;
        Ok(AggregateFunction {
            returns: callable.value_kind()?,
            callable,
        })
    }

    /// Its shape.
    pub fn signature(&self) -> &FunctionSignature {
        &self.callable.signature
    }

    /// The type of its values.
    pub fn returns(&self) -> DataType {
        self.returns.data_type()
    }

    /// Begins an aggregation without groups. It takes an instance when it is first called.
    pub fn begin(self: &Arc<Self>) -> Aggregation {
        Aggregation {
            function: Arc::clone(self),
            guest: Guest::None,
            groups: 0,
            memory_bytes: 0,
        }
    }

    /// An instance in which the aggregation by this function has begun.
    fn cast(&self) -> std::result::Result<Instance, Failure> {
        let plugin = &self.callable.plugin;
        let mut instance = match plugin.pool.take() {
            Some(instance) => instance,
            None => plugin.mould.cast()?,
        };
        let exports = self.exports()?;
        let (begun,): Nothing =
            instance.call(exports.init, (self.callable.index,), plugin.mould.deadline)?;
        begun?;
        Ok(instance)
    }

    fn exports(&self) -> Result<AggregateExports> {
        match &self.callable.plugin.exports {
            Exports::Aggregate(exports) => Ok(*exports),
            _ => Err(self.callable.plugin.is_not(PluginKind::Aggregate)),
        }
    }
}

/// An aggregation under way. Groups are numbered from 0. After an error it is of no use.
///
/// Every call fails with `Invalid` for wrong arguments, for what the aggregate refuses and for a fault
/// (trap, deadline, memory, malformed result), and with `Overloaded` while the plugin is switched off.
pub struct Aggregation {
    function: Arc<AggregateFunction>,
    guest: Guest,
    groups: usize,
    memory_bytes: usize,
}

/// Where the groups are.
enum Guest {
    /// There are none.
    None,
    Some(Instance),
    /// Lost: a call failed.
    Lost,
}

impl std::fmt::Debug for Aggregation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aggregation")
            .field("function", &self.function)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl Aggregation {
    /// Groups that it has.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Linear memory that it holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Adds rows: row `i` to group `groups[i]`, but only where `wanted`, if given, is true. There are
    /// `total` groups from now on. Arguments of other Arrow types are cast.
    ///
    /// # Errors
    /// As the type says.
    pub fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()> {
        self.rows(
            groups,
            wanted,
            total,
            args,
            |instance, exports, deadline, (numbers, total, columns)| {
                let params: UpdateParams<'_> = (numbers, total, columns);
                let (added,): Nothing = instance.call(exports.update, params, deadline)?;
                Ok(added?)
            },
        )
    }

    /// Takes rows out that were added before, oldest first: row `i` from group `groups[i]`.
    ///
    /// # Errors
    /// As the type says; `Invalid` where the aggregate cannot.
    pub fn retract(&mut self, groups: &[usize], args: &[ArrayRef]) -> Result<()> {
        let signature = &self.function.callable.signature;
        if !signature.retracts {
            return Err(Error::invalid(format!(
                "aggregate '{}' cannot take rows out again",
                signature.name
            )));
        }
        let total = self.groups;
        self.rows(
            groups,
            None,
            total,
            args,
            |instance, exports, deadline, (numbers, _, columns)| {
                let params: RetractParams<'_> = (numbers, columns);
                let (taken,): Nothing = instance.call(exports.retract, params, deadline)?;
                Ok(taken?)
            },
        )
    }

    /// Gives rows to the guest, as many at once as a call may take.
    fn rows(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
        mut give: impl FnMut(
            &mut Instance,
            AggregateExports,
            Duration,
            UpdateParams<'_>,
        ) -> std::result::Result<(), Failure>,
    ) -> Result<()> {
        let function = self.function.clone();
        function.callable.check_count(args.len())?;
        let strict = if function.callable.signature.strict {
            args
        } else {
            &[]
        };
        let (groups, args) = kept(&self.numbers(groups, total)?, wanted, strict, args)?;
        for rows in self.grow(total, groups.len()) {
            let args: Vec<ArrayRef> = args
                .iter()
                .map(|array| array.slice(rows.start, rows.len()))
                .collect();
            let lowered = args
                .iter()
                .zip(&function.callable.args)
                .map(|(array, kind)| Lowered::new(array, *kind))
                .collect::<Result<Vec<_>>>()?;
            let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
            let numbers = groups.values().slice(rows.start, rows.len());
            let total = self.total();
            self.call(rows.len(), false, |instance, exports, deadline| {
                give(instance, exports, deadline, (&numbers, total, &columns))
            })?;
        }
        Ok(())
    }

    /// Adds states that [`Aggregation::states`] gave: value `i` to group `groups[i]`. There are `total`
    /// groups from now on.
    ///
    /// # Errors
    /// As the type says.
    pub fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()> {
        let args = std::slice::from_ref(states);
        let (groups, args) = kept(&self.numbers(groups, total)?, None, args, args)?;
        let states = args
            .first()
            .and_then(|states| states.as_binary_opt::<i32>());
        let states = states.ok_or_else(|| Error::internal("states are bytes"))?;
        let fewer = self.grow(total, groups.len());
        for rows in fewer.flat_map(|rows| pieces(states, rows)) {
            let part: ArrayRef = Arc::new(states.slice(rows.start, rows.len()));
            let lowered = Lowered::new(&part, ScalarType::Bytes)?;
            let crate::abi::Values::Binary(part) = lowered.column().values else {
                return Err(Error::internal("states are bytes"));
            };
            let numbers = groups.values().slice(rows.start, rows.len());
            let total = self.total();
            self.call(rows.len(), false, |instance, exports, deadline| {
                let params: MergeParams<'_> = (&numbers, total, part);
                let (added,): Nothing = instance.call(exports.merge, params, deadline)?;
                Ok(added?)
            })?;
        }
        Ok(())
    }

    /// The states of some groups, one value each, as bytes.
    ///
    /// # Errors
    /// As the type says.
    pub fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let empty: ArrayRef = Arc::new(BinaryArray::from_iter_values(Vec::<&[u8]>::new()));
        self.each(
            groups,
            false,
            &empty,
            |instance, exports, deadline, (first, count)| {
                let (states,): StateResult =
                    instance.call(exports.state, (first, count), deadline)?;
                let states = OwnedColumn {
                    values: OwnedValues::Binary(states?),
                    validity: None,
                };
                let states = lift(states, ScalarType::Bytes, count as usize)
                    .map_err(|error| Fault::malformed(format!("its states: {error}")))?;
                Ok(states)
            },
        )
    }

    /// The values of some groups.
    ///
    /// # Errors
    /// As the type says.
    pub fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let function = self.function.clone();
        let empty = arrow::array::new_empty_array(&function.returns.data_type().arrow());
        self.each(
            groups,
            true,
            &empty,
            |instance, exports, deadline, (first, count)| {
                let (values,): FinishResult =
                    instance.call(exports.finish, (first, count), deadline)?;
                let values = lift(values?, function.returns, count as usize).map_err(|error| {
                    Fault::malformed(format!(
                        "aggregate '{}': {error}",
                        function.callable.signature.name
                    ))
                })?;
                Ok(values)
            },
        )
    }

    /// Forgets the first groups; the numbers of the others fall by as much. Without groups it holds no
    /// memory.
    ///
    /// # Errors
    /// As the type says.
    pub fn forget(&mut self, count: usize) -> Result<()> {
        let count = count.min(self.groups);
        if count == self.groups {
            self.let_go();
            self.groups = 0;
            return Ok(());
        }
        let number = u32::try_from(count).map_err(|_| too_many())?;
        self.call(0, false, |instance, exports, deadline| {
            let (forgotten,): Nothing = instance.call(exports.forget, (number,), deadline)?;
            Ok(forgotten?)
        })?;
        self.groups -= count;
        Ok(())
    }

    /// Gives the instance back, unless its groups made it large: linear memory never shrinks, and
    /// what waits in a pool is missing elsewhere.
    fn let_go(&mut self) {
        self.memory_bytes = 0;
        if let Guest::Some(instance) = std::mem::replace(&mut self.guest, Guest::None)
            && instance.memory_bytes() <= IDLE_BYTES_MAX
        {
            self.function.callable.plugin.give_back(instance);
        }
    }

    /// Asks for a few groups at first, and for more at once while what comes back is small.
    fn each(
        &mut self,
        groups: Range<usize>,
        last: bool,
        empty: &ArrayRef,
        mut ask: impl FnMut(
            &mut Instance,
            AggregateExports,
            Duration,
            (u32, u32),
        ) -> std::result::Result<ArrayRef, Failure>,
    ) -> Result<ArrayRef> {
        if groups.start > groups.end || groups.end > self.groups {
            return Err(Error::internal("there are not so many groups"));
        }
        let (mut parts, mut next, mut at_once) = (Vec::new(), groups.start, GROUPS_FIRST);
        while next < groups.end {
            let count = at_once.min(groups.end - next);
            let first = u32::try_from(next).map_err(|_| too_many())?;
            let part = self.call(0, last, |instance, exports, deadline| {
                ask(instance, exports, deadline, (first, count as u32))
            })?;
            at_once = if part.get_array_memory_size() <= PART_BYTES {
                (at_once * 2).min(ROWS_PER_CALL_MAX)
            } else {
                (at_once / 2).max(1)
            };
            next += count;
            parts.push(part);
        }
        match parts.as_slice() {
            [] => Ok(Arc::clone(empty)),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    /// A call into the guest; where it is the `last` of an aggregation, faults before are forgiven. After
    /// a failure its groups are in doubt, and it is not called again.
    fn call<T>(
        &mut self,
        rows: usize,
        last: bool,
        call: impl FnOnce(&mut Instance, AggregateExports, Duration) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let function = self.function.clone();
        let plugin = &function.callable.plugin;
        let exports = function.exports()?;
        let deadline = plugin.mould.deadline;
        let guest = std::mem::replace(&mut self.guest, Guest::Lost);
        let calls = || {
            let mut instance = match guest {
                Guest::Some(instance) => instance,
                Guest::None => function.cast()?,
                Guest::Lost => {
                    return Err(Error::internal("an aggregation that failed is used again").into());
                }
            };
            let result = call(&mut instance, exports, deadline)?;
            Ok((instance, result))
        };
        let (instance, result) = if last {
            plugin.guarded(rows, calls)?
        } else {
            plugin.step(rows, calls)?
        };
        plugin.note_memory(&instance);
        self.memory_bytes = instance.memory_bytes();
        self.guest = Guest::Some(instance);
        Ok(result)
    }

    /// The groups' numbers as the guest takes them.
    fn numbers(&self, groups: &[usize], total: usize) -> Result<UInt32Array> {
        let total = total.max(self.groups);
        if u32::try_from(total).is_err() {
            return Err(too_many());
        }
        if groups.iter().any(|group| *group >= total) {
            return Err(Error::internal("a row of a group that there is not"));
        }
        Ok(groups
            .iter()
            .map(|group| *group as u32)
            .collect::<Vec<_>>()
            .into())
    }

    /// Notes new groups; the rows of each call that adds `rows` rows. Of new groups the guest is told
    /// also where no row is added.
    fn grow(&mut self, total: usize, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let grows = total > self.groups;
        self.groups = self.groups.max(total);
        let empty = (grows && rows == 0).then_some(0..0);
        empty.into_iter().chain(calls(rows))
    }

    fn total(&self) -> u32 {
        u32::try_from(self.groups).unwrap_or(u32::MAX)
    }
}

impl Drop for Aggregation {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The rows to be added: where `wanted` is true and none of `strict` is null.
fn kept(
    groups: &UInt32Array,
    wanted: Option<&BooleanArray>,
    strict: &[ArrayRef],
    args: &[ArrayRef],
) -> Result<(UInt32Array, Vec<ArrayRef>)> {
    let rows = groups.len();
    let lengths = args.iter().map(|array| array.len());
    if lengths
        .chain(wanted.map(BooleanArray::len))
        .any(|len| len != rows)
    {
        return Err(Error::internal("columns of unequal length are aggregated"));
    }
    let nulls = strict.iter().fold(None, |nulls, array| {
        NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref())
    });
    let mut mask: Option<BooleanBuffer> = nulls
        .filter(|nulls| nulls.null_count() > 0)
        .map(|nulls| nulls.inner().clone());
    if let Some(wanted) = wanted {
        let trues = match wanted.nulls() {
            Some(nulls) => wanted.values() & nulls.inner(),
            None => wanted.values().clone(),
        };
        mask = Some(mask.map_or(trues.clone(), |mask| &mask & &trues));
    }
    let Some(mask) = mask else {
        return Ok((groups.clone(), args.to_vec()));
    };
    let mask = BooleanArray::new(mask, None);
    let args = args.iter().map(|array| Ok(filter(array, &mask)?));
    Ok((
        filter(groups, &mask)?.as_primitive::<UInt32Type>().clone(),
        args.collect::<Result<_>>()?,
    ))
}

/// Some rows of states in pieces of about [`PART_BYTES`] at most; no rows in one piece.
fn pieces(states: &BinaryArray, rows: Range<usize>) -> Vec<Range<usize>> {
    let (mut pieces, mut start, mut bytes) = (Vec::new(), rows.start, 0);
    for row in rows.clone() {
        let length = usize::try_from(states.value_length(row)).unwrap_or(0);
        if row > start && bytes + length > PART_BYTES {
            pieces.push(start..row);
            (start, bytes) = (row, 0);
        }
        bytes += length;
    }
    pieces.push(start..rows.end);
    pieces
}

/// The rows of each call.
fn calls(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..rows).step_by(ROWS_PER_CALL_MAX);
    starts.map(move |start| start..rows.min(start + ROWS_PER_CALL_MAX))
}

fn too_many() -> Error {
    Error::overloaded("an aggregate has more groups than a plugin can number")
}
