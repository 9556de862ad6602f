//! `predict('model', a, b, …)` and `predict_proba`: a model of the catalog as SQL functions. The model's
//! name is a constant, so that a wrong name or number of inputs is an error before any row is read.
//! `predict('model.output', …)` asks for another output than the first.

use std::fmt;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::ArrayRef;
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{Result as DataFusionResult, internal_err, plan_err};
use datafusion::logical_expr::ptr_eq::PtrEq;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::to_datafusion;
use crate::function::check;

/// Runs a model: DOUBLE columns of equal length in, one DOUBLE column of the same length out.
pub type Predict = Arc<dyn Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync>;

/// The models that SQL may name; `db` has them.
pub trait Models: Send + Sync {
    /// How many inputs a model takes, and the model: its first output, or the named one.
    ///
    /// # Errors
    /// `NotFound` for an unknown name or output, and what loading it says.
    fn model(&self, name: &str, output: Option<&str>) -> Result<(usize, Predict)>;
}

/// The output that `predict_proba` asks for.
const PROBABILITY: &str = "probability";
/// The functions that ask a model, each with the output that it asks for.
const FUNCTIONS: [(&str, Option<&str>); 2] =
    [("predict", None), ("predict_proba", Some(PROBABILITY))];

/// Whether a function is one of those that ask a model.
pub(crate) fn is_asked_by(function: &str) -> bool {
    FUNCTIONS.iter().any(|(name, _)| *name == function)
}

pub(crate) fn udfs(models: &Arc<dyn Models>) -> [ScalarUDF; 2] {
    FUNCTIONS.map(|(name, output)| {
        ScalarUDF::new_from_impl(PredictFunction {
            name,
            output,
            signature: Signature::user_defined(Volatility::Stable),
            models: models.clone().into(),
        })
    })
}

#[derive(PartialEq, Eq, Hash)]
struct PredictFunction {
    name: &'static str,
    /// The output that it asks for, where it is not for the caller to say.
    output: Option<&'static str>,
    signature: Signature,
    models: PtrEq<Arc<dyn Models>>,
}

impl fmt::Debug for PredictFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PredictFunction {
    fn find(&self, name: &ScalarValue, inputs: usize) -> Result<Predict> {
        let Some(Some(given)) = name.try_as_str() else {
            return Err(self.constant());
        };
        let (name, output) = match (self.output, given.split_once('.')) {
            (None, Some((name, output))) => (name, Some(output)),
            (output, _) => (given, output),
        };
        let (wanted, model) = self.models.model(name, output)?;
        if wanted != inputs {
            return Err(Error::invalid(format!(
                "model '{name}' takes {wanted} inputs, {}() is given {inputs}",
                self.name
            )));
        }
        Ok(model)
    }

    fn constant(&self) -> Error {
        Error::invalid(format!(
            "the first argument of {}() is the name of a model in single quotes",
            self.name
        ))
        .with_hint("SHOW MODELS lists them")
    }
}

impl ScalarUDFImpl for PredictFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        internal_err!("{}() says its type with its arguments", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let Some(Some(name)) = args.scalar_arguments.first() else {
            return Err(to_datafusion(self.constant()));
        };
        let inputs = args.arg_fields.len().saturating_sub(1);
        self.find(name, inputs).map_err(to_datafusion)?;
        Ok(Arc::new(Field::new(self.name, ArrowType::Float64, true)))
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        if given.len() < 2 {
            return plan_err!(
                "{0}() takes a model's name and its inputs: {0}('model', a, b)",
                self.name
            );
        }
        let mut types = vec![ArrowType::Utf8];
        for (number, given) in (2..).zip(given.iter().skip(1)) {
            let numeric = given.is_numeric()
                || matches!(given, ArrowType::Null | ArrowType::Boolean)
                    && can_cast_types(given, &ArrowType::Float64);
            if !numeric {
                return plan_err!(
                    "argument {number} of {}() is {given}, a number is needed",
                    self.name
                );
            }
            types.push(ArrowType::Float64);
        }
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = args.number_rows;
        let mut values = args.args.into_iter();
        let Some(ColumnarValue::Scalar(name)) = values.next() else {
            return Err(to_datafusion(self.constant()));
        };
        let inputs = values
            .map(|value| value.into_array(rows))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let model = self.find(&name, inputs.len()).map_err(to_datafusion)?;
        let result = model(&inputs).map_err(to_datafusion)?;
        check(self.name, &result, rows, &ArrowType::Float64).map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(result))
    }
}
