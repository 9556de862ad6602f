//! PostgreSQL's types of columns: numbers, names, and how they are written.

use activestore_types::DataType;

/// Number, name in the catalog, name in SQL, bytes, category, the number of the type of lists of it.
pub(super) type Known = (i64, &'static str, &'static str, i64, &'static str, i64);

/// What columns, parameters and results are of.
pub(super) const TYPES: &[Known] = &[
    (16, "bool", "boolean", 1, "B", 1000),
    (17, "bytea", "bytea", -1, "U", 1001),
    (18, "char", "\"char\"", 1, "Z", 1002),
    (19, "name", "name", 64, "S", 1003),
    (20, "int8", "bigint", 8, "N", 1016),
    (21, "int2", "smallint", 2, "N", 1005),
    (23, "int4", "integer", 4, "N", 1007),
    (24, "regproc", "regproc", 4, "N", 1008),
    (25, "text", "text", -1, "S", 1009),
    (26, "oid", "oid", 4, "N", 1028),
    (114, "json", "json", -1, "U", 199),
    (700, "float4", "real", 4, "N", 1021),
    (701, "float8", "double precision", 8, "N", 1022),
    (705, "unknown", "unknown", -2, "X", 0),
    (1042, "bpchar", "character", -1, "S", 1014),
    (1043, "varchar", "character varying", -1, "S", 1015),
    (1082, "date", "date", 4, "D", 1182),
    (1083, "time", "time without time zone", 8, "D", 1183),
    (
        1114,
        "timestamp",
        "timestamp without time zone",
        8,
        "D",
        1115,
    ),
    (
        1184,
        "timestamptz",
        "timestamp with time zone",
        8,
        "D",
        1185,
    ),
    (1186, "interval", "interval", 16, "T", 1187),
    (1700, "numeric", "numeric", -1, "N", 1231),
    (2205, "regclass", "regclass", 4, "N", 2210),
    (2206, "regtype", "regtype", 4, "N", 2211),
    (2249, "record", "record", -1, "P", 2287),
    (2278, "void", "void", 4, "P", 0),
    (2950, "uuid", "uuid", 16, "U", 2951),
    (3802, "jsonb", "jsonb", -1, "U", 3807),
];

/// The number and the modifier of a column's type.
pub(super) fn of_column(data_type: DataType) -> (i64, i64) {
    match data_type {
        DataType::Boolean => (16, -1),
        DataType::Int => (23, -1),
        DataType::BigInt => (20, -1),
        DataType::Real => (700, -1),
        DataType::Double => (701, -1),
        DataType::Decimal { precision, scale } => {
            (1700, ((i64::from(precision) << 16) | i64::from(scale)) + 4)
        }
        DataType::Text => (25, -1),
        DataType::Bytes => (17, -1),
        DataType::Timestamp => (1114, -1),
        DataType::Date => (1082, -1),
        DataType::Uuid => (2950, -1),
        DataType::Json => (114, -1),
    }
}

/// A type as SQL writes it.
pub(super) fn written(oid: i64, modifier: Option<i64>) -> String {
    if let Some((.., name, _, _, _)) = TYPES.iter().find(|(known, ..)| *known == oid) {
        return match modifier {
            Some(modifier) if oid == 1700 && modifier >= 4 => {
                let both = modifier - 4;
                format!("{name}({},{})", both >> 16, both & 0xffff)
            }
            _ => (*name).to_owned(),
        };
    }
    match TYPES.iter().find(|(.., list)| *list == oid && oid != 0) {
        Some((_, _, name, ..)) => format!("{name}[]"),
        None if oid == 0 => "-".to_owned(),
        None => "???".to_owned(),
    }
}

/// The number of a type of this name, in the catalog's words or in SQL's.
pub(super) fn named(name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let found = TYPES
        .iter()
        .find(|(_, catalog, sql, ..)| *catalog == name || *sql == name);
    found.map(|(oid, ..)| *oid)
}
