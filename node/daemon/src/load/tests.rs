//! How a load names its formats, and what it keeps between two runs.

use super::*;
use activestore_types::TableName;

#[test]
fn the_file_name_says_the_format_and_parquet_is_refused() {
    let format = |name: &str| file_format(None, Path::new(name));
    assert_eq!(format("a.csv").unwrap(), FileFormat::Csv);
    assert_eq!(format("a.jsonl").unwrap(), FileFormat::Ndjson);
    assert!(
        format("a.parquet")
            .unwrap_err()
            .message()
            .contains("Parquet")
    );
    assert!(
        format("a.dat")
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("--format")
    );
    assert_eq!(
        file_format(Some(FileFormat::Lp), Path::new("a.csv")).unwrap(),
        FileFormat::Lp
    );
}

#[test]
fn progress_is_kept_for_the_same_file_and_table_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "n\n1\n2\n").unwrap();
    let table = TableName::new("k", "t");
    let of = |table: &TableName| Progress::of(&path, table, FileFormat::Csv).unwrap();
    let mut progress = of(&table);
    progress.offset = 4;
    progress.rows = 1;
    progress.save().unwrap();
    assert_eq!(of(&table), progress);
    assert_eq!(of(&TableName::new("k", "other")).offset, 0);
    std::fs::write(&path, "n\n1\n2\n3\n").unwrap();
    assert_eq!(of(&table).offset, 0);
    progress.remove().unwrap();
    progress.remove().unwrap();
}
