//! COPY, in and out, in its three formats.

use crate::client::{Client, tags};
use crate::node::Node;
use crate::psql::{psql_is_here, psql_with};

fn copy(client: &mut Client, sql: &str, pieces: &[&[u8]]) -> String {
    client.send('Q', &crate::client::text(sql));
    match client.receive().unwrap() {
        reply if reply.tag == 'G' => {}
        reply => {
            client.until('Z');
            return reply.field('M').unwrap();
        }
    }
    for piece in pieces {
        client.send('d', piece);
    }
    client.send('c', &[]);
    let replies = client.until('Z');
    match replies[0].tag {
        'C' => String::from_utf8_lossy(&replies[0].body)
            .trim_end_matches('\0')
            .to_owned(),
        _ => replies[0].field('M').unwrap(),
    }
}

const ORDERED: &str = "SELECT k, ts, b, d, x FROM plant.types ORDER BY k, ts";

#[test]
fn rows_come_in_as_text_and_csv_however_they_are_cut() {
    let node = Node::with_types();
    let mut client = node.connect();
    let text =
        b"a\\tb\t2026-01-01 00:00:00\tt\t1.5\t\\\\x00ff\nb\t2026-01-01\t\\N\t\\N\t\\N\n\\.\n";
    let csv = b"k,ts,b,d,x\r\n\"a\"\"b,\nc\",2026-01-01,f,2,\"\\x01\"\r\n\"\",2026-01-02,,,\n";
    for size in [1, 3, 7, 1000] {
        let cut: Vec<&[u8]> = text.chunks(size).collect();
        assert_eq!(
            copy(
                &mut client,
                "COPY plant.types (k, ts, b, d, x) FROM STDIN",
                &cut
            ),
            "COPY 2"
        );
        assert_eq!(
            client.rows(ORDERED),
            [
                ["a\tb", "2026-01-01 00:00:00", "t", "1.5", "\\x00ff"],
                ["b", "2026-01-01 00:00:00", "NULL", "NULL", "NULL"],
            ]
        );
        client.query("DELETE FROM plant.types");
        let cut: Vec<&[u8]> = csv.chunks(size).collect();
        let sql = "COPY plant.types (k, ts, b, d, x) FROM STDIN WITH (FORMAT csv, HEADER)";
        assert_eq!(copy(&mut client, sql, &cut), "COPY 2");
        assert_eq!(
            client.rows(ORDERED),
            [
                ["", "2026-01-02 00:00:00", "NULL", "NULL", "NULL"],
                ["a\"b,\nc", "2026-01-01 00:00:00", "f", "2", "\\x01"],
            ]
        );
        client.query("DELETE FROM plant.types");
    }
}

#[test]
fn what_is_no_row_is_told_by_its_line_and_what_was_stored_stays() {
    let node = Node::with_types();
    let mut client = node.connect();
    let sql = "COPY plant.types (k, ts, i) FROM STDIN";
    for (row, wanted) in [
        (&b"a\t2026-01-01\n"[..], "line 1: it has 2 fields, not 3"),
        (b"a\t2026-01-01\tx\n", "'x' is not a valid INT"),
        (b"a\t2026-01-01\t\xff\n", "not UTF-8"),
    ] {
        let said = copy(&mut client, sql, &[row]);
        assert!(said.contains(wanted), "{said}");
    }
    let said = copy(&mut client, "COPY plant.nothing FROM STDIN", &[]);
    assert!(said.contains("does not exist"), "{said}");
    let said = copy(&mut client, "COPY plant.types FROM PROGRAM 'ls'", &[]);
    assert!(said.contains("PROGRAM is not available"), "{said}");
    client.send('Q', &crate::client::text(sql));
    assert_eq!(client.receive().unwrap().tag, 'G');
    client.send('f', b"no more\0");
    let replies = client.until('Z');
    assert!(
        replies[0].field('M').unwrap().contains("no more"),
        "{replies:?}"
    );
    // A first batch that is stored is told of.
    let rows: String = (0..9000)
        .map(|n| format!("a\t2026-01-01 00:00:00.{n:06}\t{n}\n"))
        .collect();
    client.send('Q', &crate::client::text(sql));
    client.receive().unwrap();
    client.send('d', rows.as_bytes());
    client.send('d', b"broken\n");
    client.send('c', &[]);
    let error = client.until('Z').remove(0);
    assert_eq!(error.field('C').unwrap(), "22P04");
    assert!(error.field('H').unwrap().contains("8192 rows"), "{error:?}");
}

#[test]
fn files_of_the_node_are_copied_as_by_every_other_way() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.query("INSERT INTO plant.types (k, ts, i) VALUES ('a', '2026-01-01', 7)");
    let said = copy(&mut client, "COPY plant.types TO '../x.csv'", &[]);
    assert!(said.contains("'../x.csv' is not the name"), "{said}");
    let replies = client.query("COPY (SELECT k, ts, i FROM plant.types) TO 'x.csv' (FORMAT csv)");
    assert_eq!(tags(&replies), "CZ", "{replies:?}");
    client.query("DELETE FROM plant.types");
    let replies = client.query("COPY plant.types (k, ts, i) FROM 'x.csv'");
    assert!(
        String::from_utf8_lossy(&replies[0].body).starts_with("COPY 1"),
        "{replies:?}"
    );
    assert_eq!(client.rows("SELECT k, i FROM plant.types"), [["a", "7"]]);
    // A transaction that only reads reads no file into a table.
    client.query("BEGIN READ ONLY");
    let said = copy(&mut client, "COPY plant.types FROM 'x.csv'", &[]);
    assert!(said.contains("read"), "{said}");
    client.query("ROLLBACK");
}

#[test]
fn what_goes_out_comes_in_again() {
    let node = Node::with_types();
    node.sql(
        "INSERT INTO plant.types VALUES ('a', '2026-01-01 10:00:00.123456', true, 1, 2, 1.5, 2.5, 3.125, NULL, '2026-01-02', \
         '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{\"a\":[1,2]}'), ('b\\c', '2026-01-01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    );
    let mut client = node.connect();
    let all = "SELECT * FROM plant.types ORDER BY k";
    let before = client.rows(all);
    assert_eq!(before.len(), 2);
    for layout in [
        "",
        "WITH (FORMAT csv, HEADER true)",
        "WITH BINARY",
        "(FORMAT text, DELIMITER '|', NULL 'none')",
    ] {
        let replies = client.query(&format!("COPY plant.types TO STDOUT {layout}"));
        let shape = tags(&replies);
        assert!(
            shape.starts_with("Hd") && shape.ends_with("cCZ"),
            "{layout}: {shape}"
        );
        let data: Vec<u8> = replies
            .iter()
            .filter(|reply| reply.tag == 'd')
            .flat_map(|reply| reply.body.clone())
            .collect();
        client.query("DELETE FROM plant.types");
        for size in [data.len(), 5] {
            let pieces: Vec<&[u8]> = data.chunks(size).collect();
            assert_eq!(
                copy(
                    &mut client,
                    &format!("COPY plant.types FROM STDIN {layout}"),
                    &pieces
                ),
                "COPY 2"
            );
        }
        assert_eq!(client.rows(all), before, "{layout}");
    }
    let replies =
        client.query("COPY (SELECT k, i FROM plant.types WHERE k = 'a') TO STDOUT WITH CSV");
    assert_eq!(replies[1].body, b"a,1\n");
}

#[test]
fn psql_copies_files_of_its_own() {
    if !psql_is_here() {
        return;
    }
    let node = Node::with_types();
    let rows: String = (0..20_000)
        .map(|n| format!("p{n},2026-01-01,{n}\n"))
        .collect();
    let loaded = psql_with(
        &node,
        "user=anna",
        &[
            "-c",
            "\\copy plant.types (k, ts, n) FROM pstdin WITH (FORMAT csv)",
        ],
        &rows,
    );
    assert_eq!(loaded.unwrap().trim(), "COPY 20000");
    let written = psql_with(
        &node,
        "user=anna",
        &["-c", "\\copy (SELECT sum(n) FROM plant.types) TO STDOUT"],
        "",
    );
    assert_eq!(written.unwrap().trim(), "199990000");
    assert!(
        node.metrics()
            .contains("activestore_pg_rows_copied_in_total 20000")
    );
}
