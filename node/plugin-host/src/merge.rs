//! A merge function: joins two values of one cell. What it gives is checked like everything that a guest
//! gives; that it keeps the laws of a join is tried out in `laws`.

use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array, new_empty_array};
use arrow::compute::{concat, filter, is_not_null, take};
use arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type};
use wasmtime::component::ComponentExportIndex;

use crate::abi::{Column, GuestError, MergeOf, OwnedColumn, ScalarType};
use crate::callable::Callable;
use crate::column::{Lowered, as_kind, lift};
use crate::instance::{Failure, Fault, Instance};
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX, check};

mod laws;

type MergeParams<'a> = (u32, u32, Column<'a>, Column<'a>);
type MergeResult = (std::result::Result<OwnedColumn, GuestError>,);

/// The exports of a plugin of merge functions.
#[derive(Clone, Copy)]
pub(crate) struct MergeExports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) merge: ComponentExportIndex,
}

impl MergeExports {
    /// Compares their types with the contract's.
    pub(crate) fn check(&self, instance: &mut Instance) -> std::result::Result<(), Failure> {
        check::<(), (Vec<MergeOf>,)>(instance, self.describe, "describe")?;
        check::<MergeParams<'_>, MergeResult>(instance, self.merge, "merge")
    }
}

/// One merge function of a plugin, for values of one type. Calls may come from several threads at once; each
/// takes an instance of its own from the plugin's pool.
#[derive(Debug)]
pub struct MergeFunction {
    callable: Callable,
    kind: ScalarType,
}

impl MergeFunction {
    pub(crate) fn all(plugin: &Arc<Plugin>, function: &str) -> Result<Vec<Self>> {
        let all = Callable::all(plugin, PluginKind::Merge, function)?;
        all.into_iter()
            .map(|callable| {
                Ok(MergeFunction {
                    kind: callable.value_kind()?,
                    callable,
                })
            })
            .collect()
    }

    /// The function's name in its plugin.
    pub fn name(&self) -> &str {
        &self.callable.signature.name
    }

    /// The type of its values.
    pub fn data_type(&self) -> DataType {
        self.kind.data_type()
    }

    /// Whether it joins values of a column of this type: DECIMAL is refused, since a plugin sees it only as a
    /// float, which may be another number.
    pub fn takes(&self, column: DataType) -> bool {
        !matches!(column, DataType::Decimal { .. }) && ScalarType::of(column) == self.kind
    }

    /// Joins two columns row by row, in the type of its values. Null is what joins with everything: where one
    /// side is null the other stands as it is. The result is [`settled`].
    ///
    /// # Errors
    /// `Invalid` for columns of different length or of another type, for what the function refuses, and for a
    /// fault (trap, deadline, memory, malformed result); `Overloaded` while the plugin is switched off.
    pub fn merge(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        if left.len() != right.len() {
            return Err(Error::invalid(format!(
                "merge function '{}' was given columns of {} and {} rows",
                self.name(),
                left.len(),
                right.len()
            )));
        }
        let left = settled(&as_kind(left, self.kind)?)?;
        let right = settled(&as_kind(right, self.kind)?)?;
        if left.null_count() == 0 && right.null_count() == 0 {
            return self.whole(&left, &right);
        }
        let there = |array: &ArrayRef| is_not_null(array);
        let both = arrow::compute::and(&there(&left)?, &there(&right)?)?;
        let merged = self.whole(&filter(&left, &both)?, &filter(&right, &both)?)?;
        woven(&left, &right, &merged, &both)
    }

    /// Joins columns without nulls, some rows a call.
    fn whole(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let rows = left.len();
        let mut parts = Vec::with_capacity(rows.div_ceil(ROWS_PER_CALL_MAX));
        for start in (0..rows).step_by(ROWS_PER_CALL_MAX) {
            let length = (rows - start).min(ROWS_PER_CALL_MAX);
            let (left, right) = (left.slice(start, length), right.slice(start, length));
            let plugin = &self.callable.plugin;
            parts.push(plugin.guarded(length, || self.call(&left, &right))?);
        }
        match parts.as_slice() {
            [] => Ok(new_empty_array(&self.kind.data_type().arrow())),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    fn call(&self, left: &ArrayRef, right: &ArrayRef) -> std::result::Result<ArrayRef, Failure> {
        let plugin = &self.callable.plugin;
        let Exports::Merge(exports) = &plugin.exports else {
            return Err(plugin.is_not(PluginKind::Merge).into());
        };
        let rows = left.len();
        let lowered = (
            Lowered::new(left, self.kind)?,
            Lowered::new(right, self.kind)?,
        );
        let mut instance = match plugin.pool.take() {
            Some(instance) => instance,
            None => plugin.mould.cast()?,
        };
        let params: MergeParams<'_> = (
            self.callable.index,
            rows as u32,
            lowered.0.column(),
            lowered.1.column(),
        );
        let (result,): MergeResult = instance.call(exports.merge, params, plugin.mould.deadline)?;
        let column = match result {
            Ok(column) => column,
            Err(refused) => {
                plugin.give_back(instance);
                return Err(refused.into());
            }
        };
        let wrong =
            |why: String| Fault::malformed(format!("merge function '{}': {why}", self.name()));
        let array = lift(column, self.kind, rows).map_err(wrong)?;
        if array.null_count() > 0 {
            return Err(wrong("it gave a null, which no two values join to".to_owned()).into());
        }
        plugin.give_back(instance);
        Ok(settled(&array)?)
    }
}

/// The merged rows where both sides have a value, and the side that has one elsewhere.
fn woven(
    left: &ArrayRef,
    right: &ArrayRef,
    merged: &ArrayRef,
    both: &BooleanArray,
) -> Result<ArrayRef> {
    let rows = left.len() as u64;
    let mut next = 2 * rows;
    let places: UInt64Array = (0..rows)
        .zip(both.values())
        .map(|(row, both)| {
            if both {
                next += 1;
                Some(next - 1)
            } else if left.is_valid(row as usize) {
                Some(row)
            } else {
                Some(rows + row)
            }
        })
        .collect();
    let all = concat(&[left.as_ref(), right.as_ref(), merged.as_ref()])?;
    Ok(take(&all, &places, None)?)
}

/// The array with one NaN for all and 0.0 for -0.0: values that are equal are so bit by bit then. Other types
/// than floats stay as they are.
///
/// # Errors
/// None in practice.
pub fn settled(array: &ArrayRef) -> Result<ArrayRef> {
    // A sum with 0.0 turns -0.0 into it and leaves every other number alone.
    let settled: ArrayRef = match array.data_type() {
        ArrowType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| {
                    if value.is_nan() {
                        f64::NAN
                    } else {
                        value + 0.0
                    }
                }),
        ),
        ArrowType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| {
                    if value.is_nan() {
                        f32::NAN
                    } else {
                        value + 0.0
                    }
                }),
        ),
        _ => array.clone(),
    };
    Ok(settled)
}
