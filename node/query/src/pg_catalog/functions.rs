//! Functions of the catalog: what a number stands for, how a thing is written, who asks. They are computed row by
//! row, over relations that are small.

use std::cell::OnceCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::from_datafusion;
use crate::tables::Tables;

use super::objects::{Table, index_definition, shown, tables};
use super::relations::{OWNER, name_of, number_of};
use super::types;

/// Who a node without roles belongs to.
const EVERYBODY: &str = "activestore";

/// What a function gives.
enum Given {
    Text(Option<String>),
    Int(Option<i64>),
    Flag(Option<bool>),
    Texts(Vec<&'static str>),
}

/// One row's arguments as texts, and what there is to look them up in.
struct Call<'a> {
    args: Vec<Option<String>>,
    all: &'a dyn Tables,
    listed: &'a OnceCell<Vec<Table>>,
    asker: Option<&'a str>,
}

impl Call<'_> {
    fn text(&self, place: usize) -> Option<&str> {
        self.args.get(place)?.as_deref()
    }

    fn number(&self, place: usize) -> Option<i64> {
        self.text(place)?.parse().ok()
    }

    fn tables(&self) -> &[Table] {
        self.listed
            .get_or_init(|| tables(self.all).unwrap_or_default())
    }
}

type Work = fn(&Call<'_>) -> Given;

/// Name, type of what it gives, and how.
const FUNCTIONS: &[(&str, Gives, Work)] = &[
    ("version", Gives::Text, |_| {
        text(concat!(
            "PostgreSQL 15.0 (activestore ",
            env!("CARGO_PKG_VERSION"),
            ")"
        ))
    }),
    ("current_schema", Gives::Text, |_| text("public")),
    ("current_schemas", Gives::Texts, |call| {
        Given::Texts(if call.text(0) == Some("true") {
            vec!["pg_catalog", "public"]
        } else {
            vec!["public"]
        })
    }),
    ("current_database", Gives::Text, |_| text(EVERYBODY)),
    ("current_catalog", Gives::Text, |_| text(EVERYBODY)),
    ("current_user", Gives::Text, asker),
    ("session_user", Gives::Text, asker),
    ("user", Gives::Text, asker),
    ("current_role", Gives::Text, asker),
    ("pg_backend_pid", Gives::Int, |_| {
        Given::Int(Some(i64::from(std::process::id())))
    }),
    ("pg_is_in_recovery", Gives::Flag, |_| {
        Given::Flag(Some(false))
    }),
    ("pg_encoding_to_char", Gives::Text, |_| text("UTF8")),
    ("pg_char_to_encoding", Gives::Int, |_| Given::Int(Some(6))),
    ("pg_client_encoding", Gives::Text, |_| text("UTF8")),
    ("pg_get_userbyid", Gives::Text, user_of),
    ("pg_table_is_visible", Gives::Flag, visible),
    ("pg_type_is_visible", Gives::Flag, always),
    ("pg_function_is_visible", Gives::Flag, always),
    ("pg_opclass_is_visible", Gives::Flag, always),
    ("pg_relation_is_publishable", Gives::Flag, |_| {
        Given::Flag(Some(false))
    }),
    ("has_database_privilege", Gives::Flag, always),
    ("has_schema_privilege", Gives::Flag, always),
    ("has_table_privilege", Gives::Flag, always),
    ("has_column_privilege", Gives::Flag, always),
    ("has_any_column_privilege", Gives::Flag, always),
    ("has_function_privilege", Gives::Flag, always),
    ("has_sequence_privilege", Gives::Flag, always),
    ("pg_has_role", Gives::Flag, always),
    ("pg_get_expr", Gives::Text, nothing),
    ("pg_get_viewdef", Gives::Text, nothing),
    ("pg_get_ruledef", Gives::Text, nothing),
    ("pg_get_triggerdef", Gives::Text, nothing),
    ("pg_get_partkeydef", Gives::Text, nothing),
    ("pg_get_partition_constraintdef", Gives::Text, nothing),
    ("pg_get_serial_sequence", Gives::Text, nothing),
    ("pg_get_statisticsobjdef_columns", Gives::Text, nothing),
    ("pg_get_function_result", Gives::Text, nothing),
    ("pg_get_function_arguments", Gives::Text, nothing),
    ("pg_get_function_identity_arguments", Gives::Text, nothing),
    ("pg_get_functiondef", Gives::Text, nothing),
    ("obj_description", Gives::Text, nothing),
    ("col_description", Gives::Text, nothing),
    ("shobj_description", Gives::Text, nothing),
    ("pg_tablespace_location", Gives::Text, |_| text("")),
    ("pg_get_indexdef", Gives::Text, index),
    ("pg_get_constraintdef", Gives::Text, constraint),
    ("format_type", Gives::Text, |call| {
        Given::Text(
            call.number(0)
                .map(|oid| types::written(oid, call.number(1))),
        )
    }),
    ("quote_ident", Gives::Text, |call| {
        Given::Text(call.text(0).map(shown))
    }),
    ("pg_advisory_unlock_all", Gives::Text, |_| text("")),
    // What casts become.
    ("to_regclass", Gives::Int, relation_number),
    ("pg_oid_of_relation", Gives::Int, relation_number),
    ("pg_name_of_relation", Gives::Text, |call| {
        let number = call.number(0);
        let name = number
            .map(|number| name_of(call.tables(), number).unwrap_or_else(|| number.to_string()));
        // What is a name already stays one.
        Given::Text(name.or_else(|| call.text(0).map(str::to_owned)))
    }),
    ("pg_oid_of_type", Gives::Int, |call| {
        Given::Int(
            call.text(0)
                .and_then(|name| name.parse().ok().or_else(|| types::named(name))),
        )
    }),
    ("pg_name_of_type", Gives::Text, |call| {
        let named = call.number(0).map(|oid| types::written(oid, None));
        Given::Text(named.or_else(|| call.text(0).map(str::to_owned)))
    }),
    ("pg_name_of_schema", Gives::Text, |call| {
        let schemas = super::objects::schemas(call.all);
        let number = call.number(0);
        let found = schemas.into_iter().find(|(oid, _)| Some(*oid) == number);
        Given::Text(found.map(|(_, name)| name))
    }),
];

fn text(text: &str) -> Given {
    Given::Text(Some(text.to_owned()))
}

fn always(_: &Call<'_>) -> Given {
    Given::Flag(Some(true))
}

fn nothing(_: &Call<'_>) -> Given {
    Given::Text(None)
}

fn asker(call: &Call<'_>) -> Given {
    text(call.asker.unwrap_or(EVERYBODY))
}

fn user_of(call: &Call<'_>) -> Given {
    Given::Text(match call.number(0) {
        Some(OWNER) => Some(EVERYBODY.to_owned()),
        Some(other) => Some(format!("unknown (OID={other})")),
        None => None,
    })
}

/// Tables of every keyspace are listed by \dt; the node's own are asked for by name.
fn visible(call: &Call<'_>) -> Given {
    let number = call.number(0);
    let is_system = |table: &Table| Some(table.oid) == number && table.is_system();
    Given::Flag(Some(!call.tables().iter().any(is_system)))
}

fn relation_number(call: &Call<'_>) -> Given {
    let name = call.text(0);
    Given::Int(name.and_then(|name| name.parse().ok().or_else(|| number_of(call.tables(), name))))
}

fn index(call: &Call<'_>) -> Given {
    let number = call.number(0);
    let found = call
        .tables()
        .iter()
        .find(|table| Some(table.index_oid()) == number);
    let column = call.number(1).filter(|place| *place > 0);
    Given::Text(found.map(|table| {
        match column.and_then(|place| usize::try_from(place - 1).ok()) {
            None => index_definition(table),
            Some(place) => table
                .key_columns()
                .split(", ")
                .nth(place)
                .unwrap_or_default()
                .to_owned(),
        }
    }))
}

fn constraint(call: &Call<'_>) -> Given {
    let number = call.number(0);
    let found = call
        .tables()
        .iter()
        .find(|table| Some(table.constraint_oid()) == number);
    Given::Text(found.map(|table| format!("PRIMARY KEY ({})", table.key_columns())))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gives {
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

/// Adds the functions to a state, for one statement.
///
/// # Errors
/// When DataFusion refuses one.
pub(crate) fn register(
    state: &mut SessionState,
    all: &Arc<dyn Tables>,
    asker: Option<&Arc<str>>,
) -> Result<()> {
    for (name, gives, work) in FUNCTIONS {
        let function = ScalarUDF::new_from_impl(CatalogFunction {
            name,
            gives: *gives,
            work: *work,
            signature: Signature::variadic_any(Volatility::Stable),
            all: all.clone(),
            asker: asker.cloned(),
        });
        state
            .register_udf(Arc::new(function))
            .map_err(from_datafusion)?;
    }
    Ok(())
}

struct CatalogFunction {
    name: &'static str,
    gives: Gives,
    work: Work,
    signature: Signature,
    all: Arc<dyn Tables>,
    /// The role that asks, where one logged in.
    asker: Option<Arc<str>>,
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

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        Ok(given.to_vec())
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
                    lists.append_value(texts.iter().copied().map(Some));
                } else {
                    lists.append_null();
                }
            }
            Arc::new(lists.finish())
        }
    }
}
