//! Aggregates that plugins provide, as SQL aggregates: grouped, over all rows, and over windows; where a
//! frame leaves rows behind, those aggregates that can take rows out again.

use std::fmt::{self, Debug};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activestore_types::{DataType, Error, Result};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result as DataFusionResult, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::ptr_eq::PtrEq;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;

use crate::error::to_datafusion;
use crate::function::{check, coerce, parameter_names};

/// An aggregate. Several aggregations by it may run at once.
pub trait GroupFunction: Send + Sync + Debug {
    /// Its name in SQL.
    fn name(&self) -> &str;
    /// The names of its arguments; none where they cannot be given by name.
    fn arg_names(&self) -> &[String] {
        &[]
    }
    /// The types of its arguments.
    fn args(&self) -> &[DataType];
    /// How many of its arguments have to be given.
    fn required_args(&self) -> usize {
        self.args().len()
    }
    /// The type of its result.
    fn returns(&self) -> DataType;
    /// How many of its aggregations of single groups hold memory of their own at once.
    fn open_max(&self) -> usize {
        OPEN_MAX
    }
    /// Whether rows can be taken out again.
    fn retracts(&self) -> bool {
        false
    }
    /// Begins an aggregation without groups.
    ///
    /// # Errors
    /// What the aggregate says; the query fails with it.
    fn begin(&self) -> Result<Box<dyn Grouping>>;
}

/// An aggregation under way, its groups numbered from 0. Every error fails the query.
pub trait Grouping: Send {
    /// Adds rows: row `i` to group `groups[i]`, where `wanted`, if given, is true. There are `total` groups
    /// from now on.
    ///
    /// # Errors
    /// What the aggregate says.
    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()>;
    /// Takes rows out that were added before, oldest first.
    ///
    /// # Errors
    /// What the aggregate says; that it cannot.
    fn retract(&mut self, groups: &[usize], args: &[ArrayRef]) -> Result<()> {
        let _unused = (groups, args);
        Err(Error::internal("an aggregate that takes no rows out again"))
    }
    /// Adds states that [`Grouping::states`] gave, as `update` adds rows.
    ///
    /// # Errors
    /// What the aggregate says.
    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()>;
    /// How many groups there are.
    fn groups(&self) -> usize;
    /// The states of some groups, as binary values.
    ///
    /// # Errors
    /// What the aggregate says.
    fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef>;
    /// The values of some groups.
    ///
    /// # Errors
    /// What the aggregate says.
    fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef>;
    /// Forgets the first groups; the numbers of the others fall by as much.
    ///
    /// # Errors
    /// What the aggregate says.
    fn forget(&mut self, count: usize) -> Result<()>;
    /// Memory that it holds, in bytes.
    fn memory_bytes(&self) -> usize;
}

pub(crate) fn udaf(function: Arc<dyn GroupFunction>) -> AggregateUDF {
    let mut signature = Signature::user_defined(Volatility::Immutable);
    signature.parameter_names = parameter_names([function.arg_names()]);
    AggregateUDF::new_from_impl(PluginAggregate {
        signature,
        function: function.into(),
        open: Arc::new(AtomicUsize::new(0)).into(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PluginAggregate {
    signature: Signature,
    function: PtrEq<Arc<dyn GroupFunction>>,
    /// Aggregations of single groups that are open.
    open: PtrEq<Arc<AtomicUsize>>,
}

impl PluginAggregate {
    fn check(&self, args: &AccumulatorArgs<'_>) -> DataFusionResult<()> {
        if args.is_distinct {
            return plan_err!(
                "{}(DISTINCT …) is not supported over windows and beside other aggregates; take the distinct values in a subquery first",
                self.function.name()
            );
        }
        Ok(())
    }
}

impl AggregateUDFImpl for PluginAggregate {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(self.function.returns().arrow())
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        let declared = self.function.args();
        let count = given
            .len()
            .clamp(self.function.required_args(), declared.len());
        coerce(
            self.name(),
            declared.get(..count).unwrap_or(declared),
            given,
        )
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DataFusionResult<Vec<FieldRef>> {
        let name = format!("{}[state]", args.name);
        Ok(vec![Arc::new(Field::new(name, ArrowType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        self.check(&args)?;
        Ok(Box::new(Single::new(&self.function, &self.open)?))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DataFusionResult<Box<dyn Accumulator>> {
        if self.function.retracts() {
            return self.accumulator(args);
        }
        plan_err!(
            "{}() cannot take rows back, so a window's frame must not leave any behind: let it begin at UNBOUNDED PRECEDING",
            self.function.name()
        )
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        self.check(&args)?;
        Ok(Box::new(Aggregating::begin(&self.function)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_null_handling_clause(&self) -> bool {
        false
    }
}

fn empty(data_type: &DataType) -> ArrayRef {
    arrow::array::new_empty_array(&data_type.arrow())
}

/// Groups as DataFusion asks for them.
struct Aggregating {
    function: Arc<dyn GroupFunction>,
    grouping: Box<dyn Grouping>,
}

impl Debug for Aggregating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregating")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl Aggregating {
    fn begin(function: &Arc<dyn GroupFunction>) -> DataFusionResult<Self> {
        Ok(Aggregating {
            function: Arc::clone(function),
            grouping: function.begin().map_err(to_datafusion)?,
        })
    }

    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> DataFusionResult<()> {
        let updated = self.grouping.update(groups, wanted, total, args);
        updated.map_err(to_datafusion)
    }

    /// The groups that are asked for.
    fn range(&self, emit: EmitTo) -> Range<usize> {
        match emit {
            EmitTo::All => 0..self.grouping.groups(),
            EmitTo::First(count) => 0..count,
        }
    }

    fn finish(&mut self, groups: Range<usize>) -> DataFusionResult<ArrayRef> {
        let rows = groups.len();
        let values = self.grouping.finish(groups).map_err(to_datafusion)?;
        let wanted = self.function.returns().arrow();
        check(self.function.name(), &values, rows, &wanted).map_err(to_datafusion)?;
        Ok(values)
    }

    fn states(&mut self, groups: Range<usize>) -> DataFusionResult<ArrayRef> {
        let rows = groups.len();
        let states = self.grouping.states(groups).map_err(to_datafusion)?;
        check(self.function.name(), &states, rows, &ArrowType::Binary).map_err(to_datafusion)?;
        Ok(states)
    }

    fn merge(
        &mut self,
        groups: &[usize],
        total: usize,
        states: &[ArrayRef],
    ) -> DataFusionResult<()> {
        let [states] = states else {
            return Err(broken("a plugin's aggregate has one column of states"));
        };
        let merged = self.grouping.merge(groups, total, states);
        merged.map_err(to_datafusion)
    }
}

fn broken(what: &str) -> DataFusionError {
    to_datafusion(Error::internal(what))
}

impl GroupsAccumulator for Aggregating {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        self.update(groups, wanted, total, values)
    }

    fn evaluate(&mut self, emit: EmitTo) -> DataFusionResult<ArrayRef> {
        let groups = self.range(emit);
        let values = self.finish(groups.clone())?;
        let forgotten = self.grouping.forget(groups.end);
        forgotten.map_err(to_datafusion)?;
        Ok(values)
    }

    fn state(&mut self, emit: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        let groups = self.range(emit);
        let states = self.states(groups.clone())?;
        let forgotten = self.grouping.forget(groups.end);
        forgotten.map_err(to_datafusion)?;
        Ok(vec![states])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> DataFusionResult<()> {
        self.merge(groups, total, values)
    }

    /// Where rows hardly share groups: each row a group of its own, in another instance.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        wanted: Option<&BooleanArray>,
    ) -> DataFusionResult<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut alone = Aggregating::begin(&self.function)?;
        alone.update(&groups, wanted, rows, values)?;
        Ok(vec![alone.states(0..rows)?])
    }

    fn size(&self) -> usize {
        self.grouping.memory_bytes()
    }
}

/// Aggregations of single groups that hold memory of their own at once, for each aggregate. A window
/// makes one for each of its partitions, and there may be thousands of those.
const OPEN_MAX: usize = 8;

/// One group: an aggregate over all rows, or over a window.
struct Single {
    function: Arc<dyn GroupFunction>,
    open: Arc<AtomicUsize>,
    held: Mutex<Held>,
}

enum Held {
    /// The aggregation under way.
    Open(Aggregating),
    /// The state of one that is begun anew for each call; `None` before the first row.
    Folded(Option<ArrayRef>),
}

impl Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Single")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl Single {
    fn new(function: &Arc<dyn GroupFunction>, open: &Arc<AtomicUsize>) -> DataFusionResult<Self> {
        let taken = open.fetch_add(1, Ordering::Relaxed);
        let held = if taken < function.open_max() {
            begin_single(function).map(Held::Open)
        } else {
            Ok(Held::Folded(None))
        };
        if !matches!(held, Ok(Held::Open(_))) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(Single {
            function: Arc::clone(function),
            open: Arc::clone(open),
            held: Mutex::new(held?),
        })
    }

    /// Calls the aggregation of the one group; `changes` says that its state is another afterwards.
    fn with<T>(
        &mut self,
        changes: bool,
        call: impl FnOnce(&mut Aggregating) -> DataFusionResult<T>,
    ) -> DataFusionResult<T> {
        match self.held.get_mut() {
            Held::Open(aggregating) => call(aggregating),
            Held::Folded(state) => {
                let mut aggregating = begin_single(&self.function)?;
                if let Some(state) = state {
                    aggregating.merge(&[0], 1, std::slice::from_ref(state))?;
                }
                let result = call(&mut aggregating)?;
                if changes {
                    *state = Some(aggregating.states(0..1)?);
                }
                Ok(result)
            }
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if matches!(self.held.get_mut(), Held::Open(_)) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// An aggregation whose one group is there without any row.
fn begin_single(function: &Arc<dyn GroupFunction>) -> DataFusionResult<Aggregating> {
    let mut aggregating = Aggregating::begin(function)?;
    let none: Vec<ArrayRef> = function.args().iter().map(empty).collect();
    aggregating.update(&[], None, 1, &none)?;
    Ok(aggregating)
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.with(true, |single| {
            single.update(&vec![0; rows], None, 1, values)
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.with(true, |single| {
            let retracted = single.grouping.retract(&vec![0; rows], values);
            retracted.map_err(to_datafusion)
        })
    }

    fn supports_retract_batch(&self) -> bool {
        self.function.retracts()
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let value = self.with(false, |single| single.finish(0..1))?;
        ScalarValue::try_from_array(&value, 0)
    }

    fn size(&self) -> usize {
        match &*self.held.lock() {
            Held::Open(aggregating) => aggregating.grouping.memory_bytes(),
            Held::Folded(state) => state.as_ref().map_or(0, |s| s.get_array_memory_size()),
        }
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let state = self.with(false, |single| single.states(0..1))?;
        Ok(vec![ScalarValue::try_from_array(&state, 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = states.first().map_or(0, |array| array.len());
        self.with(true, |single| single.merge(&vec![0; rows], 1, states))
    }
}
