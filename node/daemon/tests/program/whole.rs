//! Rows of a query that fails behind the first of them are not taken for all.

use super::process::{Node, run, said, wrote};

const FAILS: &str = "SELECT 1 / (150000 - value), 'text that makes the first rows a large answer' FROM generate_series(1, 300000)";

#[test]
fn no_format_takes_a_part_for_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    for format in ["table", "csv", "json", "ndjson", "arrow"] {
        let url = node.url();
        let output = run(&["sql", "--url", &url, "--format", format, "-c", FAILS]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(
            said(&output).contains("the answer broke off"),
            "{format}: {}",
            said(&output)
        );
        if matches!(format, "json" | "ndjson") {
            assert!(
                said(&output).to_lowercase().contains("division by zero"),
                "{format}"
            );
        }
        if format == "table" {
            assert_eq!(wrote(&output), "");
            continue;
        }
        let file = dir.path().join(format!("rows.{format}"));
        let file = file.to_str().unwrap();
        let output = run(&["export", "--url", &url, "--sql", FAILS, "--output", file]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(!std::path::Path::new(file).exists(), "{format}");
    }
    assert_eq!(node.rows("SELECT 1"), ["1"]);
    assert_eq!(node.stop(), Some(0));
}
