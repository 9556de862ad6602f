//! Functions that make much of little, such as `repeat('x', 1000000000)`: what they would make is worked out before they
//! are called, since no limit of memory sees a single allocation before it is made.

use std::sync::Arc;

use activestore_types::Error;
use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::kernels::length::length;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use crate::error::to_datafusion;

/// The most that one call may make, for all rows of a batch together.
const MADE_BYTES_MAX: i128 = 64 << 20;
/// Bytes of an element of a list, at least.
const ELEMENT_BYTES: i128 = 8;
/// Bytes of a character, at most.
const CHARACTER_BYTES: i128 = 4;

/// How much a function makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// So many characters as the second says.
    Padded,
    /// So many elements as the second says.
    Elements,
    /// The whole numbers from one to another.
    Series,
}

const FUNCTIONS: [(&str, Growth); 7] = [
    ("repeat", Growth::Times),
    ("lpad", Growth::Padded),
    ("rpad", Growth::Padded),
    ("array_repeat", Growth::Elements),
    ("array_resize", Growth::Elements),
    ("generate_series", Growth::Series),
    ("range", Growth::Series),
];

/// Puts bounds on the functions of a state.
pub(crate) fn bound(state: &mut SessionState) -> Result<()> {
    for (name, growth) in FUNCTIONS {
        let Some(inner) = state.scalar_functions().get(name).cloned() else {
            continue;
        };
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded {
            inner,
            growth,
        })))?;
    }
    Ok(())
}

/// A function that is called only where what it makes is bounded.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let made = self.made(args)?;
        if made <= MADE_BYTES_MAX {
            return Ok(());
        }
        Err(to_datafusion(
            Error::invalid(format!(
                "{}() would make {made} bytes at once; at most {MADE_BYTES_MAX} are made",
                self.inner.name()
            ))
            .with_hint("ask for less of it, or for fewer rows"),
        ))
    }

    /// Bytes that a call makes, at about.
    fn made(&self, args: &ScalarFunctionArgs) -> Result<i128> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let numbers = |place: usize, missing: i64| -> Result<Int64Array> {
            match args.args.get(place) {
                Some(arg) => whole(&arg.to_array(rows)?),
                None => Ok(Int64Array::from(vec![missing; rows])),
            }
        };
        let counts = |each: i128| -> Result<i128> {
            let counts = numbers(1, 0)?;
            Ok(counts
                .iter()
                .flatten()
                .map(|count| i128::from(count.max(0)) * each)
                .sum())
        };
        match self.growth {
            Growth::Padded => counts(CHARACTER_BYTES),
            Growth::Elements => counts(ELEMENT_BYTES),
            Growth::Times => {
                let Some(text) = args.args.first() else {
                    return Ok(0);
                };
                let lengths = whole(&length(&text.to_array(rows)?)?)?;
                let counts = numbers(1, 0)?;
                let each = lengths.iter().zip(&counts).map(|(length, count)| {
                    let (length, count) = (length.unwrap_or(0), count.unwrap_or(0));
                    i128::from(length.max(0)) * i128::from(count.max(0))
                });
                Ok(each.sum())
            }
            Growth::Series => {
                let types = args.arg_fields.iter().map(|field| field.data_type());
                let mut types = types.filter(|given| **given != ArrowType::Null);
                if !types.all(ArrowType::is_integer) {
                    return Ok(0);
                }
                let alone = args.args.len() < 2;
                let stops = numbers(usize::from(!alone), 0)?;
                let starts = if alone {
                    Int64Array::from(vec![0; rows])
                } else {
                    numbers(0, 0)?
                };
                let steps = numbers(2, 1)?;
                let each = starts.iter().zip(&stops).zip(&steps);
                let each = each.map(|((start, stop), step)| {
                    let (start, stop) = (start.unwrap_or(0), stop.unwrap_or(0));
                    let step = i128::from(step.unwrap_or(1).unsigned_abs().max(1));
                    let span = i128::from(stop) - i128::from(start);
                    span.abs() / step * ELEMENT_BYTES
                });
                Ok(each.sum())
            }
        }
    }
}

/// Numbers of any kind; what is none counts nothing, since the function itself refuses it.
fn whole(array: &dyn Array) -> Result<Int64Array> {
    let cast = cast_with_options(array, &ArrowType::Int64, &CastOptions::default())?;
    Ok(cast.as_primitive::<Int64Type>().clone())
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[ArrowType]) -> Result<ArrowType> {
        self.inner.return_type(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.inner.coerce_types(given)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
