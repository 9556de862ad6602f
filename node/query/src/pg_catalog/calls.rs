//! How functions of the catalog are called: row by row, with arguments as texts, over relations that are small.

use std::cell::OnceCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use datafusion::scalar::ScalarValue;

use crate::tables::Tables;

use super::objects::{Table, tables};

/// What a function gives.
pub(super) enum Given {
    Text(Option<String>),
    Int(Option<i64>),
    Flag(Option<bool>),
    Texts(Vec<String>),
}

/// One row's arguments as texts, and what there is to look them up in.
pub(super) struct Call<'a> {
    pub(super) args: Vec<Option<String>>,
    pub(super) all: &'a dyn Tables,
    pub(super) listed: &'a OnceCell<Vec<Table>>,
    pub(super) asker: Option<&'a str>,
}

impl Call<'_> {
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        self.args.get(place)?.as_deref()
    }

    pub(super) fn number(&self, place: usize) -> Option<i64> {
        self.text(place)?.parse().ok()
    }

    pub(super) fn tables(&self) -> &[Table] {
        self.listed
            .get_or_init(|| tables(self.all).unwrap_or_default())
    }
}

pub(super) type Work = fn(&Call<'_>) -> Given;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Gives {
    Text,
    Int,
    Flag,
    Texts,
}

impl Gives {
    fn arrow(self) -> ArrowType {
        match self {
            Gives::Text => ArrowType::Utf8,
            Gives::Int => ArrowType::Int64,
            Gives::Flag => ArrowType::Boolean,
            Gives::Texts => ArrowType::List(Arc::new(Field::new_list_field(ArrowType::Utf8, true))),
        }
    }
}

pub(super) struct CatalogFunction {
    pub(super) name: &'static str,
    pub(super) gives: Gives,
    pub(super) work: Work,
    pub(super) signature: Signature,
    pub(super) all: Arc<dyn Tables>,
    /// The role that asks, where one logged in.
    pub(super) asker: Option<Arc<str>>,
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogFunction({})", self.name)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.asker == other.asker && Arc::ptr_eq(&self.all, &other.all)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(self.gives.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let all_scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let columns = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        let listed = OnceCell::new();
        let mut given = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut args = Vec::with_capacity(columns.len());
            for column in &columns {
                let value = ScalarValue::try_from_array(column, row)?;
                args.push((!value.is_null()).then(|| value.to_string()));
            }
            given.push((self.work)(&Call {
                args,
                all: self.all.as_ref(),
                listed: &listed,
                asker: self.asker.as_deref(),
            }));
        }
        let array = gathered(self.gives, &given);
        if all_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn gathered(gives: Gives, given: &[Given]) -> ArrayRef {
    match gives {
        Gives::Text => Arc::new(
            given
                .iter()
                .map(|given| match given {
                    Given::Text(text) => text.as_deref(),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        Gives::Int => Arc::new(
            given
                .iter()
                .map(|given| match given {
                    Given::Int(number) => *number,
                    _ => None,
                })
                .collect::<Int64Array>(),
        ),
        Gives::Flag => Arc::new(
            given
                .iter()
                .map(|given| match given {
                    Given::Flag(flag) => *flag,
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        Gives::Texts => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for given in given {
                if let Given::Texts(texts) = given {
                    lists.append_value(texts.iter().map(Some));
                } else {
                    lists.append_null();
                }
            }
            Arc::new(lists.finish())
        }
    }
}
