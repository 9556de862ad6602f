//! The table that a file asks for.

use super::*;

const TS: DataType = DataType::Timestamp;

fn columns(of: &[(&str, DataType)]) -> Vec<(String, DataType)> {
    let owned = |(name, data_type): &(&str, DataType)| ((*name).to_owned(), *data_type);
    of.iter().map(owned).collect()
}

#[test]
fn the_statement_holds_columns_and_key() {
    let wanted = Wanted {
        name: TableName::new("plant", "readings"),
        columns: columns(&[
            ("ts", TS),
            ("device", DataType::Text),
            ("Temp", DataType::Double),
        ]),
        key: vec!["device".to_owned(), "ts".to_owned()],
    };
    assert_eq!(
        wanted.statement(),
        "CREATE TABLE plant.readings (\n  ts TIMESTAMP,\n  device TEXT,\n  \"Temp\" DOUBLE,\n  PRIMARY KEY ((device), ts)\n)"
    );
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
    assert!(untold.hint().unwrap().contains("--key"));
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
