//! Materialized views of the real program: killed in the middle of writes, again and again, each view holds what its
//! query says. `ACTIVESTORE_VIEW_KILLS=100` kills it so often, in place of five times.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::process::{Node, eventually};

/// How often the program is killed, where the environment does not say it.
const KILLS: u64 = 5;
/// The variable that says it.
const KILLS_VARIABLE: &str = "ACTIVESTORE_VIEW_KILLS";
/// Statements that are answered before it is.
const ANSWERED: u64 = 40;
/// Rows of one INSERT.
const ROWS: u64 = 50;

const VIEWS: [(&str, &str); 5] = [
    (
        "k.minutes",
        "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total, max(v) AS high FROM k.t GROUP BY device, w",
    ),
    (
        "k.hops",
        "SELECT hop(ts, '1 minute', '5 minutes') AS w, count(*) AS n FROM k.t GROUP BY w",
    ),
    // A device is written to every four seconds, so what is deleted parts its sessions.
    (
        "k.visits",
        "SELECT device, session(ts, '30 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last FROM k.t GROUP BY device, s",
    ),
    (
        "k.hours",
        "SELECT device, tumble(w, '1 hour') AS h, sum(n) AS n, sum(total) AS total FROM k.minutes GROUP BY device, h",
    ),
    (
        "k.sites",
        "SELECT p.site, tumble(t.ts, '5 minutes') AS w, count(*) AS n, sum(t.v) AS total FROM k.t t JOIN k.places p ON p.device = t.device GROUP BY p.site, w",
    ),
];

/// A view that leaves late rows out, which go into a table of their own, and what it has to hold.
const STRICT: &str = "CREATE TABLE k.l (device TEXT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts));
    CREATE MATERIALIZED VIEW k.strict WITH (refresh = '50 ms', late = 'table', late_table = 'k.late', allowed_lateness = '1 minute') AS
    SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total FROM k.l GROUP BY device, w";
const WITHOUT_LATE: &str = "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total FROM k.l
    WHERE NOT EXISTS (SELECT 1 FROM k.late WHERE late.device = l.device AND late.ts = l.ts) GROUP BY device, w";

/// Writes, changes and deletes rows until it is told to stop or nobody answers.
fn write(url: &str, life: u64, answered: &AtomicU64, stop: &AtomicBool) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(true)
        .build()
        .into();
    let moment = |second: u64| format!("to_timestamp_nanos({second} * 1000000000)");
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let first = (life * 97 + number * ROWS) % 20_000;
        let sql = match number % 9 {
            7 => format!(
                "INSERT INTO k.places (device, site) VALUES ('d{}', 's{}')",
                number % 4,
                number % 3
            ),
            8 => format!("DELETE FROM k.places WHERE device = 'd{}'", number % 8),
            5 => format!(
                "DELETE FROM k.t WHERE device = 'd{}' AND ts >= {} AND ts < {}",
                number % 4,
                moment(first.saturating_sub(900)),
                moment(first.saturating_sub(300))
            ),
            6 => format!(
                "UPDATE k.t SET v = {number} WHERE device = 'd{}' AND ts > {} AND ts < {}",
                number % 4,
                moment(first.saturating_sub(100)),
                moment(first)
            ),
            _ => {
                let rows: Vec<String> = (first..first + ROWS)
                    .map(|second| format!("('d{}', {}, {second})", second % 4, moment(second)))
                    .collect();
                format!("INSERT INTO k.t (device, ts, v) VALUES {}", rows.join(", "))
            }
        };
        // Time goes on there, and each third row is of some minutes before; no key comes twice.
        let back = if number % 3 == 0 { 400 } else { 0 };
        let second = (life * 300 + number * 5 + 400) - back;
        let nanos = second * 1_000_000_000 + life * 1_000_000 + number;
        let strict = format!(
            "INSERT INTO k.l (device, ts, v) VALUES ('d{}', to_timestamp_nanos({nanos}), {number})",
            number % 2
        );
        let sent = agent
            .post(format!("{url}/v1/sql"))
            .send_json(json!({ "sql": format!("{strict}; {sql}") }));
        if sent.is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn check(node: &Node) {
    for (name, query) in VIEWS {
        node.execute(&format!("REFRESH MATERIALIZED VIEW {name}"));
        let mut held = node.rows(&format!("SELECT * FROM {name}"));
        let mut said = node.rows(query);
        held.sort();
        said.sort();
        assert!(!said.is_empty());
        assert_eq!(held, said, "{name}");
    }
    node.execute("REFRESH MATERIALIZED VIEW k.strict");
    let mut held = node.rows("SELECT * FROM k.strict");
    let mut said = node.rows(WITHOUT_LATE);
    held.sort();
    said.sort();
    assert_eq!(held, said, "k.strict");
    // Each row is in the view or in the table, and in one of them.
    let counts = "SELECT (SELECT sum(n) FROM k.strict) + (SELECT count(*) FROM k.late) = (SELECT count(*) FROM k.l), (SELECT count(*) FROM k.late) > 0";
    assert_eq!(node.rows(counts), ["true,true"]);
}

#[test]
fn views_agree_with_their_queries_however_often_the_program_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), &[]);
    node.execute("CREATE KEYSPACE k; CREATE TABLE k.t (device TEXT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts))");
    node.execute("CREATE TABLE k.places (device TEXT PRIMARY KEY, site TEXT); INSERT INTO k.places VALUES ('d0', 's0'), ('d1', 's0'), ('d2', 's1'), ('d3', 's2')");
    for (name, query) in VIEWS {
        node.execute(&format!(
            "CREATE MATERIALIZED VIEW {name} WITH (refresh = '50 ms') AS {query}"
        ));
    }
    node.execute(STRICT);
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    for life in 0..kills {
        let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let url = node.url();
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (url, answered, stop) = (&url, &answered, &stop);
                scope.spawn(move || write(url, life * 2 + writer, answered, stop));
            }
            eventually("writes", || {
                (answered.load(Ordering::Relaxed) >= ANSWERED).then_some(())
            });
            // Its end is SIGKILL, with both writers in the middle of something.
            drop(node);
            stop.store(true, Ordering::Relaxed);
        });
        node = Node::start(dir.path(), &[]);
        check(&node);
    }
    assert_eq!(
        node.rows("SELECT count(*) FROM system.views WHERE last_error IS NOT NULL"),
        ["0"]
    );
    assert_eq!(node.stop(), Some(0));
}
