//! Prepared statements, portals, and every type of a column as text and as bytes.

use crate::client::{Client, Reply, tags};
use crate::node::Node;

/// `TIMESTAMP '2026-01-01 12:00:00.25'`, as PostgreSQL's binary format has it.
const NOON_MICROS: i64 = 820_584_000_250_000;

fn oids(replies: &[Reply]) -> Vec<u32> {
    let described = replies.iter().find(|reply| reply.tag == 't').unwrap();
    described.body[2..]
        .chunks(4)
        .map(|oid| u32::from_be_bytes(oid.try_into().unwrap()))
        .collect()
}

fn rows(replies: &[Reply]) -> Vec<&Reply> {
    replies.iter().filter(|reply| reply.tag == 'D').collect()
}

fn error(replies: &[Reply]) -> (String, String) {
    let error = replies
        .iter()
        .find(|reply| reply.tag == 'E')
        .unwrap_or_else(|| panic!("{replies:?}"));
    (error.field('C').unwrap(), error.field('M').unwrap())
}

/// Bytes of each type, in the order of the table's columns.
fn values() -> Vec<Option<Vec<u8>>> {
    let numeric: Vec<u8> = [3_i16, 1, 0x4000, 3, 1, 2345, 6780]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    let uuid = 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8_u128;
    [
        b"p1".to_vec(),
        NOON_MICROS.to_be_bytes().to_vec(),
        vec![1],
        (-7_i32).to_be_bytes().to_vec(),
        (1_i64 << 40).to_be_bytes().to_vec(),
        1.5_f32.to_be_bytes().to_vec(),
        f64::NAN.to_be_bytes().to_vec(),
        numeric,
        vec![0, 1, 255],
        9_497_i32.to_be_bytes().to_vec(),
        uuid.to_be_bytes().to_vec(),
        b"{\"a\": 1}".to_vec(),
    ]
    .into_iter()
    .map(Some)
    .collect()
}

const TEXTS: [&str; 12] = [
    "p1",
    "2026-01-01 12:00:00.25",
    "t",
    "-7",
    "1099511627776",
    "1.5",
    "NaN",
    "-12345.678",
    "\\x0001ff",
    "2026-01-01",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "{\"a\":1}",
];

const TYPES: [u32; 12] = [25, 1114, 16, 23, 20, 700, 701, 1700, 17, 1082, 2950, 114];

const INSERT: &str =
    "INSERT INTO plant.types VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

#[test]
fn every_type_goes_in_and_out_as_bytes_and_as_text() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.parse("in", INSERT, &[]);
    client.describe('S', "in");
    client.bind("", "in", 1, &values(), 1);
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(tags(&replies), "1tn2CZ", "{replies:?}");
    // The columns of the table say the types.
    assert_eq!(oids(&replies), TYPES);

    client.parse(
        "out",
        "SELECT * FROM plant.types WHERE k = $1 AND d > $2",
        &[],
    );
    client.describe('S', "out");
    let key = [Some(b"p1".to_vec()), Some(1.0_f64.to_be_bytes().to_vec())];
    client.bind("", "out", 1, &key, 1);
    client.execute("", 0);
    client.bind("", "out", 1, &key, 0);
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(tags(&replies), "1tT2DC2DCZ", "{replies:?}");
    assert_eq!(oids(&replies), [25, 701]);
    let found = rows(&replies);
    let mut wanted = values();
    // Stored JSON has no spaces.
    wanted[11] = Some(b"{\"a\":1}".to_vec());
    assert_eq!(found[0].values(), wanted);
    assert_eq!(found[1].texts(), TEXTS);

    // The same as texts, of the next day, and NULL everywhere but in the key.
    let mut texts: Vec<_> = TEXTS
        .iter()
        .map(|text| Some(text.as_bytes().to_vec()))
        .collect();
    texts[1] = Some(b"2026-01-02 12:00:00.25+00".to_vec());
    client.bind("", "in", 0, &texts, 0);
    client.execute("", 0);
    let mut nothing = vec![None; 12];
    nothing[..2].clone_from_slice(&[Some(b"p2".to_vec()), Some(b"2026-01-03".to_vec())]);
    client.bind("", "in", 0, &nothing, 0);
    client.execute("", 0);
    assert_eq!(tags(&client.sync()), "2C2CZ");
    let found = client.rows("SELECT * FROM plant.types ORDER BY k, ts");
    assert_eq!(found[1][2..], TEXTS[2..]);
    assert_eq!(found[2][2..], ["NULL"; 10]);
}

#[test]
fn types_come_from_what_a_parameter_is_beside_and_from_who_sends_it() {
    let node = Node::with_types();
    let mut client = node.connect();
    for (sql, given, wanted) in [
        ("SELECT $1", &[][..], &[25][..]),
        ("SELECT $1", &[23], &[23]),
        ("SELECT 1 + $1", &[], &[20]),
        (
            "SELECT * FROM plant.types WHERE u = $1 OR n IN ($2, $3) LIMIT $4",
            &[],
            &[2950, 20, 20, 20],
        ),
        (
            "UPDATE plant.types SET j = $1, b = $2 WHERE k = $3",
            &[],
            &[114, 16, 25],
        ),
        (
            "DELETE FROM plant.types WHERE k = $1 AND ts < $2",
            &[0, 1184],
            &[25, 1184],
        ),
        (
            "INSERT INTO plant.types (ts, k) SELECT $1, $2",
            &[],
            &[1114, 25],
        ),
        (
            "BEGIN BATCH; INSERT INTO plant.types (k, ts) VALUES ($1, $2); DELETE FROM plant.types WHERE k = $3; APPLY BATCH",
            &[],
            &[25, 1114, 25],
        ),
    ] {
        client.parse("", sql, given);
        client.describe('S', "");
        let replies = client.sync();
        assert!(
            replies.iter().all(|reply| reply.tag != 'E'),
            "{sql}: {replies:?}"
        );
        assert_eq!(oids(&replies), wanted, "{sql}");
    }
}

#[test]
fn a_portal_gives_its_rows_in_pieces() {
    let node = Node::start();
    let mut client = node.connect();
    client.query("BEGIN");
    client.parse(
        "",
        "SELECT value FROM generate_series(1, 10) ORDER BY 1",
        &[],
    );
    client.bind("p", "", 0, &[], 0);
    for _ in 0..3 {
        client.execute("p", 4);
    }
    client.execute("p", 4);
    let replies = client.sync();
    assert_eq!(tags(&replies), "12DDDDsDDDDsDDCCZ");
    let values: Vec<String> = rows(&replies).into_iter().flat_map(Reply::texts).collect();
    assert_eq!(values, (1..=10).map(|n| n.to_string()).collect::<Vec<_>>());
    client.query("COMMIT");
    // Portals do not outlive their transaction.
    client.execute("p", 1);
    assert_eq!(error(&client.sync()).0, "34000");
}

#[test]
fn portals_that_hold_queries_are_bounded() {
    let node = Node::with(|options| options.portals_max = 2);
    let begin = || {
        let mut client = node.connect();
        client.query("BEGIN");
        client.parse("", "SELECT value FROM generate_series(1, 100000)", &[]);
        client.bind("p", "", 0, &[], 0);
        client.execute("p", 1);
        let replies = client.sync();
        (client, tags(&replies), replies)
    };
    let (first, second) = (begin(), begin());
    assert_eq!((first.1.as_str(), second.1.as_str()), ("12DsZ", "12DsZ"));
    let third = begin();
    assert_eq!(error(&third.2).0, "53000");
    drop(first);
    // Its place comes free when the node has noticed.
    for _ in 0..600 {
        if begin().1 == "12DsZ" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the place of a portal whose client went did not come free");
}

#[test]
fn after_an_error_nothing_is_answered_until_sync() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.parse("", "SELECT nothing FROM plant.types", &[]);
    client.bind("", "", 0, &[], 0);
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(tags(&replies), "EZ");
    assert_eq!(error(&replies).0, "42703");
    for (code, send) in [
        (
            "26000",
            (|c: &mut Client| c.bind("", "none", 0, &[], 0)) as fn(&mut Client),
        ),
        ("34000", |c| c.execute("none", 0)),
        ("42601", |c| c.parse("", "SELECT 1; SELECT 2", &[])),
        ("08P01", |c| {
            c.parse("", "SELECT $1", &[]);
            c.bind("", "", 0, &[], 0);
        }),
        ("08P01", |c| {
            c.parse("", "SELECT $1", &[]);
            c.bind("", "", 7, &[Some(vec![1])], 0);
        }),
        ("22P02", |c| {
            c.parse("", "SELECT $1", &[23]);
            c.bind("", "", 0, &[Some(b"x".to_vec())], 0);
        }),
        ("22P03", |c| {
            c.parse("", "SELECT $1", &[23]);
            c.bind("", "", 1, &[Some(vec![1, 2])], 0);
        }),
        ("0A000", |c| c.parse("", "SELECT $1", &[600])),
    ] {
        send(&mut client);
        let replies = client.sync();
        assert_eq!(error(&replies).0, code, "{replies:?}");
    }
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
}

#[test]
fn prepared_statements_see_changed_tables_and_are_forgotten_by_name() {
    let node = Node::with_types();
    let mut client = node.connect();
    client.parse(
        "count",
        "SELECT count(*) FROM plant.types WHERE k = $1",
        &[],
    );
    let count = |client: &mut Client| {
        client.bind("", "count", 0, &[Some(b"a".to_vec())], 0);
        client.execute("", 0);
        let replies = client.sync();
        rows(&replies)[0].texts()[0].clone()
    };
    assert_eq!(count(&mut client), "0");
    node.sql("INSERT INTO plant.types (k, ts) VALUES ('a', now())");
    assert_eq!(count(&mut client), "1");
    node.sql("ALTER TABLE plant.types ADD COLUMN more TEXT");
    assert_eq!(count(&mut client), "1");
    client.parse("count", "SELECT 1", &[]);
    assert_eq!(error(&client.sync()).0, "42P05");
    client.query("DEALLOCATE count");
    client.bind("", "count", 0, &[], 0);
    assert_eq!(error(&client.sync()).0, "26000");
}

#[test]
fn lists_go_in_and_out() {
    let node = Node::start();
    let mut client = node.connect();
    assert_eq!(
        client.rows("SELECT make_array(1, NULL, 3), make_array('a', 'b c', 'd\"e')"),
        [["{1,NULL,3}", "{a,\"b c\",\"d\\\"e\"}"]]
    );
    client.parse("", "SELECT $1", &[1016]);
    client.bind("", "", 0, &[Some(b"{1,2,NULL}".to_vec())], 0);
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(rows(&replies)[0].texts(), ["{1,2,NULL}"]);
}

#[test]
fn rows_of_parameters_alone_are_written_as_others_are() {
    let node = Node::with_types();
    let mut client = node.connect();
    let texts = |values: &[&str]| -> Vec<Option<Vec<u8>>> {
        values
            .iter()
            .map(|value| Some(value.as_bytes().to_vec()))
            .collect()
    };
    client.parse(
        "two",
        "INSERT INTO plant.types (k, ts, n) VALUES ($1, $2, $3), ($4, $2, $5) USING TTL 3600",
        &[],
    );
    client.bind("", "two", 0, &texts(&["a", "2026-01-01", "1", "b", "2"]), 0);
    client.execute("", 0);
    let replies = client.sync();
    assert_eq!(replies[2].body, b"INSERT 0 2\0", "{replies:?}");
    // A value that the client calls text is read as its column's type, or refused by the column's name.
    client.parse(
        "one",
        "INSERT INTO plant.types (k, ts, n) VALUES ($1, $2, $3)",
        &[25, 25, 25],
    );
    client.sync();
    for (number, wanted) in [("7", None), ("x", Some("22P02"))] {
        client.bind("", "one", 0, &texts(&["c", "2026-01-01", number]), 0);
        client.execute("", 0);
        let replies = client.sync();
        match wanted {
            None => assert_eq!(tags(&replies), "2CZ", "{replies:?}"),
            Some(code) => {
                let (given, message) = error(&replies);
                assert!(given == code && message.contains("'n'"), "{replies:?}");
            }
        }
    }
    client.parse(
        "new",
        "INSERT INTO plant.types (k, ts) VALUES ($1, $2) IF NOT EXISTS",
        &[],
    );
    client.bind("", "new", 0, &texts(&["a", "2026-01-01"]), 0);
    client.execute("", 0);
    assert_eq!(error(&client.sync()).0, "23505");
    client.parse(
        "keyless",
        "INSERT INTO plant.types (k, n) VALUES ($1, $2)",
        &[],
    );
    client.bind("", "keyless", 0, &texts(&["a", "1"]), 0);
    client.execute("", 0);
    let (_, message) = error(&client.sync());
    assert!(message.contains("ts"), "{message}");
    assert_eq!(
        client.rows("SELECT k, n FROM plant.types ORDER BY k"),
        [["a", "1"], ["b", "2"], ["c", "7"]]
    );
    // A definition that changes in between is seen.
    node.sql("DROP TABLE plant.types");
    client.bind("", "one", 0, &texts(&["c", "2026-01-01", "1"]), 0);
    client.execute("", 0);
    assert_eq!(error(&client.sync()).0, "42P01");
}
