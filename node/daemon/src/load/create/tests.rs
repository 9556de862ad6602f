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
