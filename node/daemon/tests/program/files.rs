//! Files in and out: load with refused lines, resume, create; export.

use super::process::{Node, run, said, wrote};

#[test]
fn a_broken_line_is_set_aside_and_the_rest_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let csv = dir.path().join("readings.csv");
    let mut text = "device,ts,temp,note\n".to_owned();
    for second in 0..2_500 {
        let (minute, second) = (second / 60, second % 60);
        text.push_str(&format!(
            "p{},2026-01-01T00:{minute:02}:{second:02}Z,{second}.5,\"two\nlines, and a comma\"\n",
            second % 7
        ));
    }
    text.push_str("p1,yesterday,1.0,\n");
    text.push_str("p1,2026-01-02T00:00:00Z,warm,\n");
    std::fs::write(&csv, &text).unwrap();
    let path = csv.to_str().unwrap();
    let output = run(&[
        "load",
        path,
        "--url",
        &node.url(),
        "--table",
        "plant.readings",
        "--create",
        "--key",
        "device,ts",
    ]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}{}",
        wrote(&output),
        said(&output)
    );
    assert!(
        said(&output).contains("CREATE TABLE plant.readings"),
        "{}",
        said(&output)
    );
    assert!(wrote(&output).contains("2,500 rows"), "{}", wrote(&output));
    let rejects = std::fs::read_to_string(dir.path().join("readings.csv.rejects")).unwrap();
    let lines: Vec<_> = rejects.lines().collect();
    assert_eq!(lines.len(), 3, "{rejects}");
    assert!(
        lines[1].starts_with("5002,") && lines[1].contains("yesterday"),
        "{rejects}"
    );
    assert!(
        lines[2].starts_with("5003,") && lines[2].contains("warm"),
        "{rejects}"
    );
    assert!(!dir.path().join("readings.csv.progress").exists());
    assert_eq!(node.rows("SELECT count(*) FROM plant.readings"), ["2500"]);

    let ndjson = dir.path().join("out.ndjson");
    let output = run(&[
        "export",
        "--url",
        &node.url(),
        "--table",
        "plant.readings",
        "-o",
        ndjson.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let exported = std::fs::read_to_string(&ndjson).unwrap();
    assert_eq!(exported.lines().count(), 2_500);
    assert!(exported.contains("two\\nlines, and a comma"));

    node.execute("CREATE TABLE plant.copy (device TEXT, ts TIMESTAMP, temp DOUBLE, note TEXT, PRIMARY KEY ((device), ts))");
    for (extension, copy) in [
        ("ndjson", true),
        ("arrow", true),
        ("csv", true),
        ("json", false),
    ] {
        let file = dir.path().join(format!("out.{extension}"));
        let file = file.to_str().unwrap();
        let output = run(&[
            "export",
            "--url",
            &node.url(),
            "--sql",
            "SELECT * FROM plant.readings",
            "-o",
            file,
        ]);
        assert!(output.status.success(), "{extension}: {}", said(&output));
        if copy {
            let output = run(&["load", file, "--url", &node.url(), "--table", "plant.copy"]);
            assert!(output.status.success(), "{extension}: {}", said(&output));
            assert!(
                wrote(&output).contains("2,500 rows"),
                "{extension}: {}",
                wrote(&output)
            );
        }
    }
    let differ = "SELECT count(*) FROM plant.readings r JOIN plant.copy c ON r.device = c.device AND r.ts = c.ts AND r.temp = c.temp AND r.note = c.note";
    assert_eq!(node.rows(differ), ["2500"]);
}

#[test]
fn an_array_and_line_protocol_are_loaded_too() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"), &[]);
    let json = dir.path().join("a.json");
    std::fs::write(
        &json,
        "[\n  {\"id\": \"a\", \"n\": 1},\n  {\"id\": \"b\",\n   \"n\": 2}\n]\n",
    )
    .unwrap();
    let output = run(&[
        "load",
        json.to_str().unwrap(),
        "--url",
        &node.url(),
        "--table",
        "k.t",
        "--create",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        node.rows("SELECT id, n FROM k.t ORDER BY id"),
        ["a,1", "b,2"]
    );
    let lines = dir.path().join("m.lp");
    std::fs::write(&lines, "# pumps\nm,d=1 v=1 1\nm,d=2 v=2 2\nm,d=3 v=\n").unwrap();
    let output = run(&[
        "load",
        lines.to_str().unwrap(),
        "--url",
        &node.url(),
        "--table",
        "k.m",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let rejects = std::fs::read_to_string(dir.path().join("m.lp.rejects")).unwrap();
    assert!(
        rejects.lines().nth(1).unwrap().starts_with("4,"),
        "{rejects}"
    );
    assert_eq!(node.rows("SELECT count(*) FROM k.m"), ["2"]);
    let missing = run(&[
        "load",
        json.to_str().unwrap(),
        "--url",
        &node.url(),
        "--table",
        "k.none",
    ]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("--create"), "{}", said(&missing));
}
