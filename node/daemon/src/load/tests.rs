//! What a load keeps between two runs.

use std::path::Path;

use super::*;
use activestore_types::TableName;

#[test]
fn progress_is_kept_for_the_same_file_table_and_node_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "n\n1\n2\n").unwrap();
    let table = TableName::new("k", "t");
    let of =
        |table: &TableName, node: &str| Progress::of(&path, table, FileFormat::Csv, node).unwrap();
    let mut progress = of(&table, "http://a");
    progress.offset = 4;
    progress.rows = 1;
    progress.save().unwrap();
    assert_eq!(of(&table, "http://a"), progress);
    assert_eq!(of(&table, "http://b").offset, 0);
    assert_eq!(of(&TableName::new("k", "other"), "http://a").offset, 0);
    std::fs::write(&path, "n\n1\n2\n3\n").unwrap();
    assert_eq!(of(&table, "http://a").offset, 0);
    progress.remove().unwrap();
    progress.remove().unwrap();
}

#[test]
fn the_reject_file_of_a_load_that_broke_off_is_cut_to_what_was_noted() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::File(dir.path().join("a.csv"));
    let rejected = |line| rejects::Rejected {
        line,
        reason: "it \"is\" so".to_owned(),
        record: b"a,b\n".to_vec(),
    };
    let mut rejects = Rejects::open(&source, None, 0, true);
    rejects.note(&[rejected(2)]).unwrap();
    let kept = rejects.bytes();
    rejects.note(&[rejected(3)]).unwrap();
    drop(rejects);
    let mut rejects = Rejects::open(&source, None, kept, true);
    rejects.note(&[rejected(4)]).unwrap();
    let text = std::fs::read_to_string(rejects.path()).unwrap();
    assert_eq!(rejects.bytes(), text.len() as u64);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].starts_with("2,\"it \"\"is\"\" so\",\"a,b\","),
        "{text}"
    );
    assert!(lines[2].starts_with("4,"), "{text}");
    drop(rejects);
    let fresh = Rejects::open(&source, None, 0, true);
    fresh.clear().unwrap();
    assert!(!Path::new(fresh.path()).exists());
}
