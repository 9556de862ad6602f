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
        statement(&table, &columns, &key),
        "CREATE TABLE plant.readings (\n  ts TIMESTAMP,\n  device TEXT,\n  \"Temp\" DOUBLE,\n  ok BOOLEAN,\n  PRIMARY KEY ((device), ts)\n)"
    );
}
