//! The table that a file asks for.

use super::*;

fn file(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn types_and_key_come_from_the_first_records() {
    let table = TableName::new("plant", "readings");
    let (_dir, path) = file(
        "r.csv",
        "ts,device,Temp,ok\n2026-01-01T00:00:00Z,p1,21.5,true\n2026-01-01T00:00:01Z,p2,,false\n",
    );
    let columns = columns(&path, FileFormat::Csv, &table).unwrap();
    let key = key(&columns, &[]).unwrap();
    assert_eq!(
        definition(&table, &columns, &key),
        "CREATE TABLE plant.readings (\n  ts TIMESTAMP,\n  device TEXT,\n  \"Temp\" DOUBLE,\n  ok BOOLEAN,\n  PRIMARY KEY ((device), ts)\n)"
    );
}

#[test]
fn a_key_must_exist_and_must_be_named_where_it_cannot_be_told() {
    let columns = vec![("x".to_owned(), DataType::Double)];
    assert!(
        key(&columns, &[])
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("--key")
    );
    assert!(key(&columns, &["y".to_owned()]).is_err());
    assert_eq!(key(&columns, &["x".to_owned()]).unwrap(), ["x"]);
}

#[test]
fn names_are_quoted_where_sql_asks_for_it() {
    assert_eq!(quoted("temp_1"), "temp_1");
    assert_eq!(quoted("order"), "\"order\"");
    assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    assert_eq!(quoted("1st"), "\"1st\"");
}
