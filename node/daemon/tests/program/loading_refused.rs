//! What a load refuses: by line and reason, found among rows of columns too, and however long a line is.

use std::io::Write;
use std::sync::Arc;

use activestore_test_links::memory;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::FileWriter;

use super::loading::{begin, load, rejects};
use super::process::{Node, eventually, said, wrote};

#[test]
fn refused_records_are_named_by_line_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    node.execute("CREATE KEYSPACE k");
    node.execute("CREATE TABLE k.t (id TEXT PRIMARY KEY, n INT, u UUID)");
    let csv = dir.path().join("a.csv");
    let mut text = b"id,n,u\n1,1,\n2,two,\n,3,\n4,4,\n5,5\n6,99999999999,\n".to_vec();
    text.extend(
        b"\xff,7,\n8,8,not-one\n\"9\n9\",9,6F9619FF-8B86-D011-B42D-00CF4FC964FF\n\"open,1,\n",
    );
    std::fs::write(&csv, &text).unwrap();
    let output = load(&node, "k.t", &[csv.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found = rejects(&dir.path().join("a.csv.rejects"));
    let lines: Vec<&str> = found
        .iter()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(lines, ["3", "4", "6", "7", "8", "9", "12"], "{found:#?}");
    for (line, reason) in found.iter().zip([
        "an INT",
        "primary key",
        "2 fields",
        "an INT",
        "UTF-8",
        "a UUID",
        "closing",
    ]) {
        assert!(line.contains(reason), "{line}");
    }
    assert_eq!(node.rows("SELECT count(*), sum(n) FROM k.t"), ["3,14"]);
    // The node alone knows what is no UUID in columns: it is found by halves.
    let ids = StringArray::from_iter_values((0..3_000).map(|row| format!("r{row}")));
    let uuids = (0..3_000).map(|row| match row {
        17 | 2_999 => "nonsense".to_owned(),
        _ => format!("6f9619ff-8b86-d011-b42d-{row:012x}"),
    });
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(ids)),
        ("u", Arc::new(StringArray::from_iter_values(uuids))),
        (
            "n",
            Arc::new(Int64Array::from_iter_values(
                (0..3_000).map(|row| if row == 5 { 1 << 40 } else { row }),
            )),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let arrow = dir.path().join("a.arrow");
    let mut writer =
        FileWriter::try_new(std::fs::File::create(&arrow).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let all = dir.path().join("all.csv");
    let output = load(
        &node,
        "k.t",
        &[arrow.to_str().unwrap(), "--rejects", all.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found = rejects(&all);
    let lines: Vec<&str> = found
        .iter()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(lines, ["6", "18", "3000"], "{found:#?}");
    assert!(found[1].contains("r17"), "{found:#?}");
    assert_eq!(node.rows("SELECT count(*) FROM k.t"), ["3000"]);
    // A bound on what may be refused.
    let output = load(
        &node,
        "k.t",
        &[csv.to_str().unwrap(), "--max-rejects", "6", "--no-resume"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--max-rejects"), "{}", said(&output));
}

#[test]
fn a_line_of_a_hundred_megabytes_is_refused_in_bounded_memory() {
    const MIB: u64 = 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    node.execute("CREATE KEYSPACE k");
    node.execute("CREATE TABLE k.t (id TEXT PRIMARY KEY, n INT)");
    let file = dir.path().join("a.csv");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    out.write_all(b"id,n\na,1\n").unwrap();
    for _ in 0..100 {
        out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    out.write_all(b"\nb,2\n").unwrap();
    out.into_inner().unwrap().sync_all().unwrap();
    let mut child = begin(&node, &file);
    let pid = child.id();
    let mut peak = 0;
    let status = eventually("the load's end", || {
        let ended = child.try_wait().unwrap();
        peak = peak.max(memory::peak_while_running(pid).unwrap_or(0));
        ended
    });
    assert_eq!(status.code(), Some(1));
    assert!(peak > 0 && peak < 120 * MIB, "{} MiB", peak / MIB);
    assert_eq!(node.rows("SELECT id FROM k.t ORDER BY id"), ["a", "b"]);
    assert!(rejects(&dir.path().join("a.csv.rejects"))[0].starts_with("3,"));
}

#[test]
fn no_digit_is_lost_to_types_that_the_first_rows_say() {
    const ROWS: usize = 106_000;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let (one, two) = (dir.path().join("1.csv"), dir.path().join("2.csv"));
    let mut text = "id,code,large,n\n".to_owned();
    for row in 0..ROWS {
        let code = if row == 1_500 { "007" } else { "7" };
        let large = match row {
            2 => "9007199254740993",
            1_600 => "1.5",
            _ => "1",
        };
        // Behind all that is looked at.
        let n = if row == 105_000 { "008" } else { "8" };
        text.push_str(&format!("r{row},{code},{large},{n}\n"));
    }
    std::fs::write(&one, text).unwrap();
    std::fs::write(&two, "id,code,large,n\na,09,1,09\nb,09,1,9\n").unwrap();
    let files = [one.to_str().unwrap(), two.to_str().unwrap()];
    let arguments = [&files[..], &["--create", "--key", "id"]].concat();
    let output = load(&node, "k.t", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(
        node.rows("SELECT name, type FROM system.columns WHERE \"table\" = 't' ORDER BY position"),
        ["id,TEXT", "code,TEXT", "large,TEXT", "n,BIGINT"]
    );
    assert_eq!(
        node.rows("SELECT id, code, large FROM k.t WHERE code <> '7' OR large <> '1' ORDER BY id"),
        [
            "b,09,1",
            "r1500,007,1",
            "r1600,7,1.5",
            "r2,7,9007199254740993"
        ]
    );
    for (file, line, text) in [(&one, "105002,", "'008'"), (&two, "2,", "'09'")] {
        let found = rejects(&dir.path().join(format!("{}.rejects", file.display())));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].starts_with(line) && found[0].contains(text),
            "{found:#?}"
        );
    }
}

#[test]
fn lines_without_a_time_are_not_doubled_by_being_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    node.execute("CREATE KEYSPACE k");
    let file = dir.path().join("a.lp");
    // More bad lines than the node names: the piece is halved, and good lines are sent again.
    let mut text = String::new();
    for line in 0..3_000 {
        text.push_str(if line % 2 == 0 { "nonsense\n" } else { "" });
        if line % 100 == 0 {
            text.push_str(&format!("m,device=d{line} f=1\n"));
        }
    }
    std::fs::write(&file, text).unwrap();
    let output = load(&node, "k.any", &[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(
        node.rows("SELECT count(*), count(DISTINCT device), count(DISTINCT time) FROM k.m"),
        ["30,30,1"]
    );
    assert_eq!(rejects(&dir.path().join("a.lp.rejects")).len(), 1_500);
    // The time of a load that broke off is the time of the one that goes on.
    let (one, two) = (dir.path().join("1.lp"), dir.path().join("2.lp"));
    std::fs::write(&one, "once,device=a f=1\n").unwrap();
    let both = [one.to_str().unwrap(), two.to_str().unwrap()];
    std::fs::write(&two, [0xff, 0xfe].repeat(2)).unwrap();
    let progress = dir.path().join("1.lp.progress");
    let arguments = [&both[..], &["--max-rejects", "0"]].concat();
    let output = load(&node, "k.any", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let kept = std::fs::read_to_string(&progress).unwrap();
    // As if the answer had been lost.
    let mut value: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert!(value["now_ns"].is_i64(), "{kept}");
    for name in ["offset", "rows", "next_line"] {
        value[name] = 0.into();
    }
    std::fs::write(&progress, value.to_string()).unwrap();
    std::fs::write(&two, "once,device=b f=1\n").unwrap();
    let output = load(&node, "k.any", &arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        node.rows("SELECT device, count(*) FROM k.once GROUP BY device ORDER BY device"),
        ["a,1", "b,1"]
    );
}

#[test]
fn a_record_with_a_long_text_of_many_lines_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    node.execute("CREATE KEYSPACE k");
    node.execute("CREATE TABLE k.t (id TEXT PRIMARY KEY, note TEXT)");
    let file = dir.path().join("a.csv");
    let mut text = "id,note\n".to_owned();
    for row in 0..3 {
        // Each line of the text looks like a record.
        let inside = "not,a record\n".repeat(if row == 1 { 300_000 } else { 100_000 });
        text.push_str(&format!("r{row},short\nl{row},\"{inside}\"\n"));
    }
    text.push_str("last,\"two\nlines\"\n");
    std::fs::write(&file, text).unwrap();
    let output = load(&node, "k.t", &[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        wrote(&output).contains("4 rows in") && wrote(&output).contains("3 refused"),
        "{}",
        wrote(&output)
    );
    assert_eq!(
        node.rows("SELECT id FROM k.t ORDER BY id"),
        ["last", "r0", "r1", "r2"]
    );
    let output = load(
        &node,
        "k.t",
        &[file.to_str().unwrap(), "--max-rejects", "2"],
    );
    assert!(
        said(&output).contains("the record is longer"),
        "{}",
        said(&output)
    );
}
