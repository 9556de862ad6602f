//! A load that breaks off, by its own end or the node's, goes on where it was and gives exactly the rows of its file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use super::loading::{begin, export, load, rejects};
use super::process::{Node, eventually, said, wrote};

/// Rows of the file: enough for a dozen pieces.
const ROWS: usize = 300_000;

/// How often a load may be quicker than the test.
const ATTEMPTS: usize = 5;

/// Every so many rows one is refused.
const BROKEN_EVERY: usize = 50_000;

fn text(rows: usize) -> String {
    let filler = "x".repeat(120);
    let mut text = "id,n,note\n".to_owned();
    for row in 0..rows {
        if row % BROKEN_EVERY == BROKEN_EVERY / 2 {
            text.push_str("broken\n");
        }
        text.push_str(&format!("r{row},{row},\"{filler}\"\n"));
    }
    text
}

fn progress(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.progress", file.display()))
}

/// Waits until a piece is through; false where the load was quicker.
fn is_under_way(child: &mut Child, file: &Path) -> bool {
    eventually("a piece that is through", || {
        if progress(file).exists() {
            return Some(true);
        }
        child.try_wait().unwrap().map(|_| false)
    })
}

/// Begins loads into an empty table until one is broken off by the signal before its end; how that one ended.
fn broken_off(node: &Node, file: &Path, signal: &str) -> Output {
    for _ in 0..ATTEMPTS {
        table(node);
        let mut child = begin(node, file);
        if is_under_way(&mut child, file) {
            let pid = child.id().to_string();
            let sent = Command::new("kill").args([signal, &pid]).status();
            assert!(sent.unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        if progress(file).exists() {
            return output;
        }
    }
    panic!("every load was through before it could be broken off");
}

/// An empty table.
fn table(node: &Node) {
    node.execute("CREATE KEYSPACE IF NOT EXISTS k");
    node.execute("DROP TABLE IF EXISTS k.t");
    node.execute("CREATE TABLE k.t (id TEXT PRIMARY KEY, n BIGINT, note TEXT)");
}

fn is_whole(node: &Node, file: &Path) {
    let sum = ROWS * (ROWS - 1) / 2;
    assert_eq!(
        node.rows("SELECT count(*), sum(n), min(length(note)) FROM k.t"),
        [format!("{ROWS},{sum},120")]
    );
    assert!(!progress(file).exists());
    let found = rejects(&PathBuf::from(format!("{}.rejects", file.display())));
    let lines: Vec<usize> = found
        .iter()
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    let expected: Vec<usize> = (0..ROWS / BROKEN_EVERY)
        .map(|number| 2 + number * BROKEN_EVERY + BROKEN_EVERY / 2 + number)
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_load_that_is_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let plain = dir.path().join("a.csv");
    std::fs::write(&plain, text(ROWS)).unwrap();
    let packed = dir.path().join("b.csv.gz");
    let status = Command::new("gzip")
        .arg("-1c")
        .arg(&plain)
        .stdout(std::fs::File::create(&packed).unwrap())
        .status();
    assert!(status.unwrap().success());
    for file in [&plain, &packed] {
        let output = broken_off(&node, file, "-KILL");
        assert_eq!(output.status.code(), None);
        let output = load(&node, "k.t", &[file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("resuming"), "{}", said(&output));
        is_whole(&node, file);
    }
}

#[test]
fn ctrl_c_finishes_what_is_on_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let file = dir.path().join("a.csv");
    std::fs::write(&file, text(ROWS)).unwrap();
    let output = broken_off(&node, &file, "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(
        wrote(&output).contains("goes on from here"),
        "{}",
        wrote(&output)
    );
    let output = load(&node, "k.t", &[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    is_whole(&node, &file);
}

#[test]
fn a_load_outlives_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let file = dir.path().join("a.csv");
    std::fs::write(&file, text(ROWS)).unwrap();
    for _ in 0..ATTEMPTS {
        let node = Node::start(&data, &[]);
        table(&node);
        let mut child = begin(&node, &file);
        is_under_way(&mut child, &file);
        drop(node); // by SIGKILL
        let output = child.wait_with_output().unwrap();
        if progress(&file).exists() {
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            break;
        }
    }
    let node = Node::start(&data, &[]);
    let output = load(&node, "k.t", &[file.to_str().unwrap()]);
    assert!(said(&output).contains("resuming"), "{}", said(&output));
    is_whole(&node, &file);
}

#[test]
fn row_groups_that_are_done_are_not_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    table(&node);
    let csv = dir.path().join("a.csv");
    std::fs::write(&csv, text(ROWS).replace("broken\n", "")).unwrap();
    assert!(
        load(&node, "k.t", &[csv.to_str().unwrap()])
            .status
            .success()
    );
    for name in ["a.parquet", "a.arrow"] {
        let file = dir.path().join(name);
        export(&node, &file);
        broken_off(&node, &file, "-KILL");
        let output = load(&node, "k.t", &[file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("resuming"), "{}", said(&output));
        assert!(
            wrote(&output).contains("300,000 rows"),
            "{}",
            wrote(&output)
        );
        let sum = ROWS * (ROWS - 1) / 2;
        assert_eq!(
            node.rows("SELECT count(*), sum(n) FROM k.t"),
            [format!("{ROWS},{sum}")]
        );
    }
}

#[test]
fn of_rows_with_one_key_the_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    table(&node);
    let file = dir.path().join("a.csv");
    let mut rows = "id,n,note\n".to_owned();
    for row in 0..ROWS {
        // Keys of their own between, so that pieces differ in most of them.
        let key = if row % 3 == 0 { row % 9 } else { row };
        rows.push_str(&format!("r{key},{row},{:0100}\n", row));
    }
    std::fs::write(&file, rows).unwrap();
    assert!(
        load(&node, "k.t", &[file.to_str().unwrap()])
            .status
            .success()
    );
    let last: Vec<String> = [0, 3, 6]
        .iter()
        .map(|key| {
            format!(
                "r{key},{}",
                (0..ROWS).rev().find(|row| row % 9 == *key).unwrap()
            )
        })
        .collect();
    assert_eq!(
        node.rows("SELECT id, n FROM k.t WHERE id IN ('r0', 'r3', 'r6') ORDER BY id"),
        last
    );
}

#[test]
fn of_several_files_those_that_are_done_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    table(&node);
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("1.csv"), "id,n,note\na,1,x\nbroken\n").unwrap();
    std::fs::write(path("2.csv"), "id,m\nb,2\n").unwrap();
    std::fs::write(path("3.csv"), "id,n,note\nc,3,x\nbroken\n").unwrap();
    let (pattern, all) = (path("*.csv"), path("all.rejects"));
    let arguments = [
        pattern.to_str().unwrap(),
        "--rejects",
        all.to_str().unwrap(),
    ];
    let output = load(&node, "k.t", &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("'m'"), "{}", said(&output));
    assert_eq!(node.rows("SELECT id FROM k.t"), ["a"]);
    node.execute("INSERT INTO k.t (id, n) VALUES ('a', 7)");
    std::fs::write(path("2.csv"), "id,n\nb,2\n").unwrap();
    let output = load(&node, "k.t", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("1.csv after 1 rows"),
        "{}",
        said(&output)
    );
    assert_eq!(
        node.rows("SELECT id, n FROM k.t ORDER BY id"),
        ["a,7", "b,2", "c,3"]
    );
    let found = rejects(&all);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].contains("1.csv") && found[1].contains("3.csv"),
        "{found:#?}"
    );
    for name in ["1.csv", "2.csv", "3.csv"] {
        assert!(!path(&format!("{name}.progress")).exists());
    }
}

#[test]
fn what_is_gone_from_the_table_is_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let path = |name: &str| dir.path().join(name);
    let (one, two) = (path("1.csv"), path("2.csv"));
    let both = [one.to_str().unwrap(), two.to_str().unwrap()];
    std::fs::write(&one, "id,n,note\na,1,x\n").unwrap();
    // The first file is through and the second breaks the load off.
    let broken = || {
        std::fs::write(&two, "id,m\nb,2\n").unwrap();
        assert_eq!(load(&node, "k.t", &both).status.code(), Some(1));
        assert!(progress(&one).exists());
        std::fs::write(&two, "id,n\nb,2\n").unwrap();
    };
    let are_loaded = |arguments: &[&str]| {
        let output = load(&node, "k.t", &[&both[..], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        assert!(!said(&output).contains("resuming"), "{}", said(&output));
        assert_eq!(
            node.rows("SELECT id, n FROM k.t ORDER BY id"),
            ["a,1", "b,2"]
        );
        assert!(!progress(&one).exists());
    };
    table(&node);
    broken();
    table(&node); // another of the same name, and somebody else's row in it
    node.execute("INSERT INTO k.t (id, n) VALUES ('b', 0)");
    are_loaded(&[]);
    broken();
    node.execute("DROP TABLE k.t");
    are_loaded(&["--create", "--key", "id"]);
    table(&node);
    broken();
    node.execute("DELETE FROM k.t WHERE id = 'a'");
    are_loaded(&[]);
    table(&node);
    broken();
    // What was left is forgotten even where the load without it breaks off as well.
    std::fs::write(&two, "id,m\nb,2\n").unwrap();
    let output = load(&node, "k.t", &[&both[..], &["--no-resume"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(!progress(&one).exists());
}
