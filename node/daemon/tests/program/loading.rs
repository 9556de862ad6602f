//! `activestore load`: every format, odd files, what is refused, and what is said before a row is sent.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::FileWriter;

use super::process::{Node, program, run, said, wrote};

/// Loads with these arguments behind the table's.
pub fn load(node: &Node, table: &str, arguments: &[&str]) -> Output {
    let url = node.url();
    run(&[&["load", "--url", &url, "--table", table][..], arguments].concat())
}

fn loaded(node: &Node, table: &str, arguments: &[&str]) -> String {
    let output = load(node, table, arguments);
    assert!(
        output.status.success(),
        "{}{}",
        wrote(&output),
        said(&output)
    );
    wrote(&output)
}

fn gzip(path: &Path) -> PathBuf {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let file = std::fs::File::create(&packed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    packed
}

/// Lines of the reject file, without its first.
pub fn rejects(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Writes the table to a file.
pub fn export(node: &Node, file: &Path) {
    let (url, file) = (node.url(), file.to_str().unwrap());
    let output = run(&["export", "--url", &url, "--table", "k.t", "-o", file]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A load that goes on beside the test.
pub fn begin(node: &Node, file: &Path) -> Child {
    program()
        .args([
            "load",
            file.to_str().unwrap(),
            "--url",
            &node.url(),
            "--table",
            "k.t",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn every_format_gives_the_same_rows() {
    const ROWS: usize = 6_000;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let csv = dir.path().join("a.csv");
    let mut text = "\u{feff}device,ts,temp,on,n,note\r\n".to_owned();
    for row in 0..ROWS {
        let (minute, second) = (row / 60 % 60, row % 60);
        text.push_str(&format!(
            "p{},2026-01-01 {:02}:{minute:02}:{second:02}.25,{row}.5,{},{row},\"two\r\nlines, \"\"and\"\" é\"\r\n",
            row % 7,
            row / 3600,
            row % 2 == 0
        ));
    }
    std::fs::write(&csv, &text).unwrap();
    let path = |name: &str| dir.path().join(name);
    let create = ["--create", "--key", "device,ts"];
    loaded(
        &node,
        "k.a",
        &[&[csv.to_str().unwrap()][..], &create].concat(),
    );
    for name in ["a.parquet", "a.arrow", "a.ndjson"] {
        let file = path(name);
        let url = node.url();
        let output = run(&[
            "export",
            "--url",
            &url,
            "--table",
            "k.a",
            "-o",
            file.to_str().unwrap(),
        ]);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    let lines = std::fs::read_to_string(path("a.ndjson")).unwrap();
    let array = format!("[{}]\n", lines.trim_end().replace('\n', ",\n  "));
    std::fs::write(path("a.json"), array).unwrap();
    let stream =
        StreamReader::try_new(std::fs::File::open(path("a.arrow")).unwrap(), None).unwrap();
    let file = std::fs::File::create(path("file.arrow")).unwrap();
    let mut writer = FileWriter::try_new(file, &stream.schema()).unwrap();
    for batch in stream {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    // A name that says nothing: the content does.
    std::fs::copy(path("a.parquet"), path("unnamed")).unwrap();
    let mut files = vec![path("file.arrow"), path("unnamed"), path("a.json")];
    for name in ["a.csv", "a.ndjson", "a.arrow"] {
        files.push(gzip(&path(name)));
        files.push(path(name));
    }
    for (number, file) in files.iter().enumerate() {
        let table = format!("k.t{number}");
        let said = loaded(
            &node,
            &table,
            &[&[file.to_str().unwrap()][..], &create].concat(),
        );
        assert!(said.contains("6,000 rows"), "{said}");
        let same = format!(
            "SELECT count(*) FROM k.a x JOIN {table} y ON x.device = y.device AND x.ts = y.ts \
             AND x.temp = y.temp AND x.\"on\" = y.\"on\" AND x.n = y.n AND x.note = y.note"
        );
        assert_eq!(node.rows(&same), [ROWS.to_string()], "{}", file.display());
        assert!(!PathBuf::from(format!("{}.progress", file.display())).exists());
    }
    // Stdin, and several by a pattern.
    let mut child = program()
        .args([
            "load",
            "-",
            "--url",
            &node.url(),
            "--table",
            "k.stdin",
            "--create",
            "--key",
            "device,ts",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        wrote(&output).contains("stdin: 6,000 rows"),
        "{}",
        wrote(&output)
    );
    node.execute("CREATE TABLE k.many (device TEXT, ts TIMESTAMP, temp DOUBLE, \"on\" BOOLEAN, n BIGINT, note TEXT, PRIMARY KEY ((device), ts))");
    let pattern = path("a.*s*").to_str().unwrap().to_owned();
    let said = loaded(&node, "k.many", &[&pattern]);
    assert_eq!(said.lines().count(), 5, "{said}");
    assert_eq!(node.rows("SELECT count(*) FROM k.many"), [ROWS.to_string()]);
}

#[test]
fn what_does_not_fit_is_said_before_the_first_row() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let csv = dir.path().join("a.csv");
    std::fs::write(
        &csv,
        "sensor,time,temprature,comment\np1,1767225600,1.5,x\np2,1767225601,2,y\n",
    )
    .unwrap();
    let csv = csv.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let output = load(&node, "k.t", &[&[csv][..], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    assert!(refused(&[]).contains("--create"));
    let shown = loaded(
        &node,
        "k.t",
        &[csv, "--create", "--time", "time", "--dry-run"],
    );
    assert!(shown.contains("2 rows read"), "{shown}");
    assert!(refused(&[]).contains("does not exist"));
    node.execute("CREATE KEYSPACE k");
    node.execute("CREATE TABLE k.t (device TEXT, ts TIMESTAMP, temperature DOUBLE, PRIMARY KEY ((device), ts))");
    assert!(refused(&[]).contains("--map NAME=device"));
    let mapped = ["--map", "sensor=device", "--map", "time=ts"];
    let near = refused(&mapped);
    assert!(
        near.contains("'temprature'") && near.contains("temperature"),
        "{near}"
    );
    let mapped = [&mapped[..], &["--map", "temprature=temperature"]].concat();
    assert!(refused(&mapped).contains("--skip comment"));
    assert!(refused(&["--skip", "nothing"]).contains("no column 'nothing'"));
    assert_eq!(node.rows("SELECT count(*) FROM k.t"), ["0"]);
    loaded(
        &node,
        "k.t",
        &[&[csv, "--skip", "comment"][..], &mapped].concat(),
    );
    assert_eq!(
        node.rows("SELECT device, ts, temperature FROM k.t ORDER BY device"),
        ["p1,2026-01-01T00:00:00Z,1.5", "p2,2026-01-01T00:00:01Z,2.0"]
    );
    // Types that no cast brings together.
    let ndjson = dir.path().join("a.ndjson");
    std::fs::write(
        &ndjson,
        "{\"device\":\"p\",\"ts\":\"2026-01-01T00:00:00Z\",\"temperature\":true}\n",
    )
    .unwrap();
    let output = load(&node, "k.t", &[ndjson.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(rejects(&dir.path().join("a.ndjson.rejects"))[0].contains("DOUBLE expected"));
}

#[test]
fn a_cell_that_a_row_does_not_name_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    node.execute("CREATE KEYSPACE k");
    node.execute("CREATE TABLE k.t (id TEXT PRIMARY KEY, x BIGINT, y BIGINT)");
    let file = dir.path().join("a.ndjson");
    std::fs::write(
        &file,
        "{\"id\":\"a\",\"x\":1,\"y\":2}\n{\"id\":\"b\",\"x\":1,\"y\":2}\n",
    )
    .unwrap();
    loaded(&node, "k.t", &[file.to_str().unwrap()]);
    std::fs::write(
        &file,
        "{\"id\":\"a\",\"x\":5}\n{\"id\":\"b\",\"x\":null,\"y\":7}\n",
    )
    .unwrap();
    loaded(&node, "k.t", &[file.to_str().unwrap()]);
    assert_eq!(
        node.rows("SELECT id, x, y FROM k.t ORDER BY id"),
        ["a,5,2", "b,,7"]
    );
}

#[test]
fn what_is_cut_off_or_empty_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let csv = dir.path().join("a.csv");
    let rows: String = (0..50_000)
        .map(|row| format!("d{row},{}\n", row * 7919 % 50_021))
        .collect();
    std::fs::write(&csv, format!("id,n\n{rows}")).unwrap();
    loaded(
        &node,
        "k.t",
        &[csv.to_str().unwrap(), "--create", "--key", "id"],
    );
    let mut wholes = vec![gzip(&csv)];
    for name in ["a.parquet", "a.arrow"] {
        let file = dir.path().join(name);
        export(&node, &file);
        wholes.push(file);
    }
    for whole in &wholes {
        let bytes = std::fs::read(whole).unwrap();
        let name = whole.file_name().unwrap().to_str().unwrap();
        let cut = dir.path().join(format!("cut-{name}"));
        for length in [bytes.len() / 2, 20, 4] {
            std::fs::write(&cut, &bytes[..length]).unwrap();
            let output = load(&node, "k.t", &[cut.to_str().unwrap(), "--no-resume"]);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{name} {length}: {}{}",
                wrote(&output),
                said(&output)
            );
            assert!(
                !said(&output).contains("panicked"),
                "{name} {length}: {}",
                said(&output)
            );
        }
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 3;
        damaged[middle..middle + 64].fill(0xa5);
        std::fs::write(&cut, &damaged).unwrap();
        // Damage may lie in values, which no format but gzip protects; it must not end the program otherwise.
        let output = load(&node, "k.t", &[cut.to_str().unwrap(), "--no-resume"]);
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{name}: {}",
            said(&output)
        );
    }
    let empty = dir.path().join("empty.csv");
    for (text, code, says) in [
        ("", 1, "empty"),
        ("id,n\n", 0, "0 rows"),
        ("id,id\n1,2\n", 1, "twice"),
    ] {
        std::fs::write(&empty, text).unwrap();
        let output = load(&node, "k.t", &[empty.to_str().unwrap()]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{text}: {}",
            said(&output)
        );
        let all = wrote(&output) + &said(&output);
        assert!(all.contains(says), "{text}: {all}");
    }
    let output = load(
        &node,
        "k.t",
        &[dir.path().join("none*.csv").to_str().unwrap()],
    );
    assert!(said(&output).contains("no file fits"), "{}", said(&output));
}

#[test]
fn a_no_ends_the_load() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    for name in ["1.csv", "2.csv"] {
        std::fs::write(dir.path().join(name), "id,n\na,1\n").unwrap();
    }
    let load = format!(
        "'{}' load '{}/*.csv' --url {} --table k.t --create --key id",
        program().get_program().to_str().unwrap(),
        dir.path().display(),
        node.url()
    );
    // Only a terminal is asked.
    let mut child = Command::new("script")
        .args(["-qec", &load, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", wrote(&output));
    assert!(
        wrote(&output).contains("nothing is loaded") && !wrote(&output).contains("2.csv"),
        "{}",
        wrote(&output)
    );
    assert!(
        node.rows("SELECT name FROM system.tables WHERE keyspace = 'k'")
            .is_empty()
    );
}
