//! The relations of the catalog, and how each is made.

use activestore_types::{Result, TableName};
use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;

use crate::tables::Tables;

use super::columns::{
    ACCESS_METHODS, ATTRIBUTE, CLASS, CONSTRAINT, DATABASES, EMPTY, EMPTY_COLUMNS, INDEX, LISTED,
    NAMESPACE, PROCEDURES, ROLES, SETTINGS, TABLESPACES, TYPE,
};
use super::objects::{Table, index_definition, oid, schemas, tables};
use super::relation::{Row, Value, batch, row};
use super::types::{TYPES, of_column};

/// Whom everything belongs to.
pub(super) const OWNER: i64 = 10;
/// The way tables are kept.
const ACCESS_METHOD: i64 = 2;

type Maker = fn(&dyn Tables) -> Result<Vec<Row>>;

/// Name, columns, and what makes the rows.
const FULL: &[(&str, &str, Maker)] = &[
    ("pg_am", ACCESS_METHODS, access_methods),
    ("pg_attribute", ATTRIBUTE, attributes),
    ("pg_authid", ROLES, roles),
    ("pg_class", CLASS, classes),
    ("pg_constraint", CONSTRAINT, constraints),
    ("pg_database", DATABASES, one),
    ("pg_index", INDEX, indexes),
    ("pg_indexes", LISTED, listed_indexes),
    ("pg_matviews", LISTED, listed_views),
    ("pg_namespace", NAMESPACE, namespaces),
    ("pg_proc", PROCEDURES, procedures),
    ("pg_roles", ROLES, roles),
    ("pg_settings", SETTINGS, settings),
    ("pg_stat_user_tables", LISTED, listed),
    ("pg_tables", LISTED, listed),
    ("pg_tablespace", TABLESPACES, one),
    ("pg_type", TYPE, types),
    ("pg_user", ROLES, roles),
];

/// Every relation's name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FULL.iter()
        .map(|(name, ..)| *name)
        .chain(EMPTY.split_whitespace())
}

/// Whether there are no rows in the relation of this name, whoever asks.
pub(super) fn has_no_rows(name: &str) -> bool {
    EMPTY.split_whitespace().any(|known| known == name)
}

/// A relation as the asker may see it; `None` where there is none of the name.
///
/// # Errors
/// What the store says.
pub(super) fn relation(tables: &dyn Tables, name: &str) -> Result<Option<RecordBatch>> {
    if let Some((_, columns, rows)) = FULL.iter().find(|(known, ..)| *known == name) {
        return batch(columns, &rows(tables)?).map(Some);
    }
    if has_no_rows(name) {
        return batch(EMPTY_COLUMNS, &[]).map(Some);
    }
    Ok(None)
}

fn one(_: &dyn Tables) -> Result<Vec<Row>> {
    Ok(vec![Row::new()])
}

fn access_methods(_: &dyn Tables) -> Result<Vec<Row>> {
    Ok(vec![
        row([("oid", ACCESS_METHOD.into()), ("amname", "heap".into())]),
        row([
            ("oid", 403.into()),
            ("amname", "btree".into()),
            ("amtype", "i".into()),
        ]),
    ])
}

fn namespaces(all: &dyn Tables) -> Result<Vec<Row>> {
    let schemas = schemas(all).into_iter();
    Ok(schemas
        .map(|(oid, name)| row([("oid", oid.into()), ("nspname", name.into())]))
        .collect())
}

fn count(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn classes(all: &dyn Tables) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for table in tables(all)? {
        rows.push(row([
            ("oid", table.oid.into()),
            ("relname", table.name.table.as_str().into()),
            ("relnamespace", table.schema_oid.into()),
            ("relkind", table.kind().into()),
            ("relnatts", count(table.columns.len())),
            ("relhasindex", (!table.key.is_empty()).into()),
            ("row_estimate", table.rows.into()),
        ]));
        if !table.key.is_empty() {
            rows.push(row([
                ("oid", table.index_oid().into()),
                ("relname", table.index_name().into()),
                ("relnamespace", table.schema_oid.into()),
                ("relkind", "i".into()),
                ("relam", 403.into()),
                ("relnatts", count(table.key.len())),
            ]));
        }
    }
    Ok(rows)
}

fn attributes(all: &dyn Tables) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut push = |relation: i64, place: i64, table: &Table, column: i64| {
        let at = usize::try_from(column).unwrap_or(0).saturating_sub(1);
        if let Some((name, data_type)) = table.columns.get(at) {
            let (type_oid, modifier) = of_column(*data_type);
            rows.push(row([
                ("attrelid", relation.into()),
                ("attname", name.as_str().into()),
                ("atttypid", type_oid.into()),
                ("atttypmod", modifier.into()),
                ("attnum", place.into()),
                ("attnotnull", table.key.contains(&column).into()),
            ]));
        }
    };
    for table in tables(all)? {
        for (place, _) in (1..).zip(&table.columns) {
            push(table.oid, place, &table, place);
        }
        for (place, column) in (1..).zip(&table.key) {
            push(table.index_oid(), place, &table, *column);
        }
    }
    Ok(rows)
}

fn types(_: &dyn Tables) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (oid, name, _, length, category, list) in TYPES {
        rows.push(row([
            ("oid", (*oid).into()),
            ("typname", (*name).into()),
            ("typlen", (*length).into()),
            ("typbyval", (1..=8).contains(length).into()),
            ("typcategory", (*category).into()),
            ("typtype", if *category == "P" { "p" } else { "b" }.into()),
            ("typarray", (*list).into()),
            ("typinput", format!("{name}in").into()),
            ("typoutput", format!("{name}out").into()),
            ("typreceive", format!("{name}recv").into()),
            ("typsend", format!("{name}send").into()),
        ]));
        if *list != 0 {
            rows.push(row([
                ("oid", (*list).into()),
                ("typname", format!("_{name}").into()),
                ("typcategory", "A".into()),
                ("typelem", (*oid).into()),
                ("typinput", "array_in".into()),
                ("typoutput", "array_out".into()),
                ("typreceive", "array_recv".into()),
                ("typsend", "array_send".into()),
            ]));
        }
    }
    Ok(rows)
}

/// Tables with a primary key, which all but the node's own have.
fn keyed(all: &dyn Tables) -> Result<impl Iterator<Item = Table>> {
    Ok(tables(all)?
        .into_iter()
        .filter(|table| !table.key.is_empty()))
}

fn indexes(all: &dyn Tables) -> Result<Vec<Row>> {
    let rows = keyed(all)?.map(|table| {
        row([
            ("indexrelid", table.index_oid().into()),
            ("indrelid", table.oid.into()),
            ("indnatts", count(table.key.len())),
            ("indnkeyatts", count(table.key.len())),
            ("indoption", vec![0; table.key.len()].into()),
            ("indkey", table.key.into()),
        ])
    });
    Ok(rows.collect())
}

fn constraints(all: &dyn Tables) -> Result<Vec<Row>> {
    let rows = keyed(all)?.map(|table| {
        row([
            ("oid", table.constraint_oid().into()),
            ("conname", table.index_name().into()),
            ("connamespace", table.schema_oid.into()),
            ("conrelid", table.oid.into()),
            ("conindid", table.index_oid().into()),
            ("conkey", table.key.into()),
        ])
    });
    Ok(rows.collect())
}

fn listed(all: &dyn Tables) -> Result<Vec<Row>> {
    let tables = tables(all)?.into_iter();
    let rows = tables.filter(|table| table.kind() == "r").map(|table| {
        row([
            ("schemaname", table.name.keyspace.as_str().into()),
            ("tablename", table.name.table.as_str().into()),
            ("relname", table.name.table.as_str().into()),
            ("n_live_tup", table.rows.into()),
        ])
    });
    Ok(rows.collect())
}

fn listed_views(all: &dyn Tables) -> Result<Vec<Row>> {
    let views = tables(all)?.into_iter().filter_map(|table| {
        Some(row([
            ("schemaname", table.name.keyspace.into()),
            ("matviewname", table.name.table.into()),
            ("definition", table.view?.into()),
        ]))
    });
    Ok(views.collect())
}

fn listed_indexes(all: &dyn Tables) -> Result<Vec<Row>> {
    let rows = keyed(all)?.map(|table| {
        row([
            ("schemaname", table.name.keyspace.as_str().into()),
            ("tablename", table.name.table.as_str().into()),
            ("indexname", table.index_name().into()),
            ("indexdef", index_definition(&table).into()),
        ])
    });
    Ok(rows.collect())
}

/// The texts of a column of a system table that the asker may see; none where it may not be read.
fn texts(all: &dyn Tables, table: &str, column: &str) -> Vec<String> {
    let Ok(Some(batch)) = all.system_table(table) else {
        return Vec::new();
    };
    let found = batch.column_by_name(column);
    let texts = found.and_then(|column| column.as_string_opt::<i32>());
    texts.map_or_else(Vec::new, |texts| {
        (0..texts.len())
            .map(|place| texts.value(place).to_owned())
            .collect()
    })
}

fn flags(all: &dyn Tables, table: &str, column: &str) -> Vec<bool> {
    let Ok(Some(batch)) = all.system_table(table) else {
        return Vec::new();
    };
    let found = batch.column_by_name(column);
    let flags = found.and_then(|column| column.as_boolean_opt());
    flags.map_or_else(Vec::new, |flags| {
        flags.iter().map(|flag| flag == Some(true)).collect()
    })
}

fn roles(all: &dyn Tables) -> Result<Vec<Row>> {
    let names = texts(all, "roles", "name");
    if names.is_empty() {
        // A node without roles: whoever connects may do everything.
        return Ok(vec![role("activestore", OWNER, true, true)]);
    }
    let (superusers, logins) = (
        flags(all, "roles", "superuser"),
        flags(all, "roles", "login"),
    );
    let is = |flags: &[bool], place: usize| flags.get(place).copied().unwrap_or(false);
    let rows = names.iter().enumerate();
    Ok(rows
        .map(|(place, name)| {
            role(
                name,
                oid("role", "", name),
                is(&superusers, place),
                is(&logins, place),
            )
        })
        .collect())
}

fn role(name: &str, oid: i64, superuser: bool, login: bool) -> Row {
    row([
        ("oid", oid.into()),
        ("rolname", name.into()),
        ("rolsuper", superuser.into()),
        ("rolcreaterole", superuser.into()),
        ("rolcreatedb", superuser.into()),
        ("rolcanlogin", login.into()),
        ("usename", name.into()),
        ("usesysid", oid.into()),
        ("usesuper", superuser.into()),
    ])
}

/// Functions that plugins bring.
fn procedures(all: &dyn Tables) -> Result<Vec<Row>> {
    let names = texts(all, "functions", "name");
    let kinds = texts(all, "functions", "kind");
    let rows = names.iter().enumerate().map(|(place, name)| {
        let kind = kinds.get(place).map_or("", String::as_str);
        row([
            ("oid", oid("function", "", name).into()),
            ("proname", name.as_str().into()),
            (
                "prokind",
                if kind == "aggregate" { "a" } else { "f" }.into(),
            ),
            ("proretset", (kind == "table").into()),
        ])
    });
    Ok(rows.collect())
}

/// Settings that are the same for every session, or begin so.
pub(super) const KNOWN_SETTINGS: [(&str, &str); 11] = [
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("standard_conforming_strings", "on"),
    ("integer_datetimes", "on"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "\"$user\", public"),
];

fn settings(_: &dyn Tables) -> Result<Vec<Row>> {
    let rows = KNOWN_SETTINGS
        .map(|(name, setting)| row([("name", name.into()), ("setting", setting.into())]));
    Ok(rows.into())
}

/// What a number stands for, as SQL names it.
pub(super) fn name_of(tables: &[Table], number: i64) -> Option<String> {
    let mut known = names().map(|name| (oid("table", super::PG_CATALOG, name), name));
    if let Some((_, name)) = known.find(|(known, _)| *known == number) {
        return Some(name.to_owned());
    }
    tables.iter().find_map(|table| {
        if table.oid == number {
            return Some(table.full_name());
        }
        (table.index_oid() == number && !table.key.is_empty()).then(|| table.index_name())
    })
}

/// The number of a relation of this name.
pub(super) fn number_of(tables: &[Table], name: &str) -> Option<i64> {
    let name = name.trim().replace('"', "");
    let (keyspace, table) = name.split_once('.').unwrap_or(("", &name));
    if names().any(|known| known == table) && matches!(keyspace, "" | super::PG_CATALOG) {
        return Some(oid("table", super::PG_CATALOG, table));
    }
    let wanted = TableName::new(
        if keyspace.is_empty() {
            "public"
        } else {
            keyspace
        },
        table,
    );
    let found = tables.iter().find_map(|one| {
        if one.name == wanted {
            return Some(one.oid);
        }
        let is_index = one.index_name() == wanted.table && one.name.keyspace == wanted.keyspace;
        is_index.then(|| one.index_oid())
    });
    // What is found by its name alone is found as \d finds it, in every keyspace.
    found.or_else(|| {
        let mut alike = tables
            .iter()
            .filter(|one| keyspace.is_empty() && one.name.table == table);
        alike.next().map(|one| one.oid)
    })
}
