//! `predict('model', a, b, …)`: a model of the catalog as a SQL function. The model's name is a
//! constant, so that a wrong name or number of inputs is an error before any row is read.

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
    /// How many inputs a model takes, and the model.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, and what loading it says.
    fn model(&self, name: &str) -> Result<(usize, Predict)>;
}

pub(crate) fn udf(models: Arc<dyn Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(PredictFunction {
        signature: Signature::user_defined(Volatility::Stable),
        models: models.into(),
    })
}

#[derive(PartialEq, Eq, Hash)]
struct PredictFunction {
    signature: Signature,
    models: PtrEq<Arc<dyn Models>>,
}

impl fmt::Debug for PredictFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("predict")
    }
}

impl PredictFunction {
    fn find(&self, name: &ScalarValue, inputs: usize) -> Result<Predict> {
        let Some(Some(name)) = name.try_as_str() else {
            return Err(constant());
        };
        let (wanted, model) = self.models.model(name)?;
        if wanted != inputs {
            return Err(Error::invalid(format!(
                "model '{name}' takes {wanted} inputs, predict() is given {inputs}"
            )));
        }
        Ok(model)
    }
}

impl ScalarUDFImpl for PredictFunction {
    fn name(&self) -> &str {
        "predict"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        internal_err!("predict() says its type with its arguments")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let Some(Some(name)) = args.scalar_arguments.first() else {
            return Err(to_datafusion(constant()));
        };
        let inputs = args.arg_fields.len().saturating_sub(1);
        self.find(name, inputs).map_err(to_datafusion)?;
        Ok(Arc::new(Field::new("predict", ArrowType::Float64, true)))
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        if given.len() < 2 {
            return plan_err!(
                "predict() takes a model's name and its inputs: predict('model', a, b)"
            );
        }
        let mut types = vec![ArrowType::Utf8];
        for (number, given) in (2..).zip(given.iter().skip(1)) {
            let numeric = given.is_numeric()
                || matches!(given, ArrowType::Null | ArrowType::Boolean)
                    && can_cast_types(given, &ArrowType::Float64);
            if !numeric {
                return plan_err!("argument {number} of predict() is {given}, a number is needed");
            }
            types.push(ArrowType::Float64);
        }
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = args.number_rows;
        let mut values = args.args.into_iter();
        let Some(ColumnarValue::Scalar(name)) = values.next() else {
            return Err(to_datafusion(constant()));
        };
        let inputs = values
            .map(|value| value.into_array(rows))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let model = self.find(&name, inputs.len()).map_err(to_datafusion)?;
        let result = model(&inputs).map_err(to_datafusion)?;
        check("predict", &result, rows, &ArrowType::Float64).map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(result))
    }
}

fn constant() -> Error {
    Error::invalid("the first argument of predict() is the name of a model in single quotes")
        .with_hint("SHOW MODELS lists them")
}
