//! Functions of the catalog: what a number stands for, how a thing is written, who asks.

use std::sync::Arc;

use activestore_types::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};

use crate::error::from_datafusion;
use crate::tables::Tables;

use super::calls::{Call, CatalogFunction, Given, Gives, Work};
use super::lists::{Expanded, parts_of_name};
use super::objects::file_bytes;
use super::objects::{Table, index_definition, shown};
use super::relations::{KNOWN_SETTINGS, OWNER, name_of, number_of};
use super::types;

/// Who a node without roles belongs to.
const EVERYBODY: &str = "activestore";

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
            vec!["pg_catalog".to_owned(), "public".to_owned()]
        } else {
            vec!["public".to_owned()]
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
    ("pg_postmaster_start_time", Gives::Text, nothing),
    ("inet_server_addr", Gives::Text, nothing),
    ("inet_server_port", Gives::Int, |_| Given::Int(None)),
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
    ("pg_get_function_sqlbody", Gives::Text, nothing),
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
    ("parse_ident", Gives::Texts, |call| {
        call.text(0)
            .map_or(Given::Text(None), |name| Given::Texts(parts_of_name(name)))
    }),
    ("pg_table_size", Gives::Int, size),
    ("pg_relation_size", Gives::Int, size),
    ("pg_total_relation_size", Gives::Int, size),
    ("pg_indexes_size", Gives::Int, |_| Given::Int(Some(0))),
    ("pg_database_size", Gives::Int, size_of_all),
    ("pg_tablespace_size", Gives::Int, size_of_all),
    ("pg_size_pretty", Gives::Text, |call| {
        Given::Text(call.number(0).map(pretty))
    }),
    ("current_setting", Gives::Text, |call| {
        let known = KNOWN_SETTINGS.iter();
        let mut known = known.filter(|(name, _)| call.text(0) == Some(name));
        Given::Text(known.next().map(|(_, setting)| (*setting).to_owned()))
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
    ("to_regtype", Gives::Int, |call| {
        Given::Int(call.text(0).and_then(types::named))
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
    ("pg_oid_of_schema", Gives::Int, |call| {
        let name = call.text(0).map(|name| name.replace('"', ""));
        let schemas = super::objects::schemas(call.all);
        let found = schemas
            .into_iter()
            .find(|(_, known)| Some(known) == name.as_ref());
        Given::Int(found.map(|(oid, _)| oid))
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

/// What the files of a table take, where the asker may know of them.
fn size(call: &Call<'_>) -> Given {
    let number = call.number(0);
    let table = call.tables().iter().find(|table| Some(table.oid) == number);
    Given::Int(table.and_then(|table| file_bytes(call.all, Some(&table.name))))
}

fn size_of_all(call: &Call<'_>) -> Given {
    Given::Int(file_bytes(call.all, None))
}

fn pretty(bytes: i64) -> String {
    let mut bytes = bytes;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if bytes.abs() < 10 * 1024 {
            return format!("{bytes} {unit}");
        }
        bytes /= 1024;
    }
    format!("{bytes} TB")
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
            signature: Signature::one_of(
                vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
                Volatility::Stable,
            ),
            all: all.clone(),
            asker: asker.cloned(),
        });
        state
            .register_udf(Arc::new(function))
            .map_err(from_datafusion)?;
    }
    state
        .register_udf(Arc::new(ScalarUDF::new_from_impl(Expanded::new())))
        .map_err(from_datafusion)?;
    Ok(())
}
