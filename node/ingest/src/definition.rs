//! The table that rows ask for which come before there is one: its columns, its key, and the statement that makes it.

use activestore_types::{DataType, Error, Result, TableName};

/// The key that was asked for, or: the first TEXT, UUID, INT or BIGINT column as the partition key and the time after it,
/// which is the first TIMESTAMP column where none is named.
///
/// # Errors
/// `Invalid` for a column that is not there, and where no key can be told.
pub fn key(
    columns: &[(String, DataType)],
    asked: &[String],
    time: Option<&str>,
) -> Result<Vec<String>> {
    let named = asked.iter().map(String::as_str).chain(time);
    for name in named {
        if !columns.iter().any(|(column, _)| column == name) {
            return Err(Error::invalid(format!("there is no column '{name}'")));
        }
    }
    let first = |fits: fn(&DataType) -> bool| {
        columns
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != time)
            .find(|(_, data_type)| fits(data_type))
            .map(|(name, _)| name.clone())
    };
    let time = time.map(str::to_owned);
    if !asked.is_empty() {
        let time = time.filter(|time| !asked.contains(time));
        return Ok(asked.iter().cloned().chain(time).collect());
    }
    let text = first(|data_type| matches!(data_type, DataType::Text | DataType::Uuid));
    let number = first(|data_type| matches!(data_type, DataType::Int | DataType::BigInt));
    let time = time.or_else(|| first(|data_type| *data_type == DataType::Timestamp));
    let key: Vec<String> = text.or(number).into_iter().chain(time).collect();
    if key.is_empty() {
        return Err(Error::invalid("the columns do not say what a row's key is"));
    }
    Ok(key)
}

/// The statement that creates the table.
pub fn statement(table: &TableName, columns: &[(String, DataType)], key: &[String]) -> String {
    let mut lines: Vec<String> = columns
        .iter()
        .map(|(name, data_type)| format!("  {} {data_type}", quoted(name)))
        .collect();
    let mut parts = key.iter().map(|name| quoted(name));
    let mut primary = format!("({})", parts.next().unwrap_or_default());
    for part in parts {
        primary.push_str(", ");
        primary.push_str(&part);
    }
    lines.push(format!("  PRIMARY KEY ({primary})"));
    format!(
        "CREATE TABLE {}.{} (\n{}\n)",
        quoted(&table.keyspace),
        quoted(&table.table),
        lines.join(",\n")
    )
}

/// A name as SQL writes it: in quotes unless it is a plain lower-case word.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that SQL does not take as a name without quotes.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 24] = [
        "select", "from", "where", "group", "order", "by", "having", "limit", "offset", "table",
        "primary", "key", "values", "set", "and", "or", "not", "null", "in", "is", "as", "on",
        "with", "end",
    ];
    RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TS: DataType = DataType::Timestamp;

    fn columns(of: &[(&str, DataType)]) -> Vec<(String, DataType)> {
        let columns = of.iter().map(|(name, kind)| ((*name).to_owned(), *kind));
        columns.collect()
    }

    #[test]
    fn the_key_is_the_first_name_and_the_time() {
        let all = columns(&[
            ("ts", TS),
            ("device", DataType::Text),
            ("at", DataType::BigInt),
        ]);
        let of = |asked: &[&str], time| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            key(&all, &asked, time).unwrap()
        };
        assert_eq!(of(&[], None), ["device", "ts"]);
        assert_eq!(of(&[], Some("at")), ["device", "at"]);
        assert_eq!(of(&["at"], None), ["at"]);
        assert_eq!(of(&["at", "device"], Some("ts")), ["at", "device", "ts"]);
        assert_eq!(of(&["device", "ts"], Some("ts")), ["device", "ts"]);
    }

    #[test]
    fn a_key_must_exist_and_must_be_named_where_it_cannot_be_told() {
        let columns = columns(&[("x", DataType::Double)]);
        let untold = key(&columns, &[], None).unwrap_err();
        assert!(untold.message().contains("key"), "{untold}");
        assert!(key(&columns, &["y".to_owned()], None).is_err());
        assert!(key(&columns, &["x".to_owned()], Some("y")).is_err());
        assert_eq!(key(&columns, &["x".to_owned()], None).unwrap(), ["x"]);
    }

    #[test]
    fn names_are_quoted_where_sql_asks_for_it() {
        assert_eq!(quoted("temp_1"), "temp_1");
        assert_eq!(quoted("order"), "\"order\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(quoted("1st"), "\"1st\"");
    }
}
