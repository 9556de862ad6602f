//! Whatever is written to its table and to those that it looks something up in, in whatever order, whatever expires, and
//! however often the node starts anew: once it is brought up to date, each view holds what its query says.

use proptest::prelude::*;

use super::*;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<(u8, u8, i8, u8)>),
    Update(u8, u8, i8, u8),
    DeleteRow(u8, u8),
    DeleteRange(u8, u8, u8),
    DeleteDevice(u8),
    DeleteAll,
    /// A row of a table that is looked up: its site, the lowest value of its rows, and for how many seconds.
    Place(u8, Option<u8>, Option<i8>, Option<u8>),
    /// The same of single columns: of one that views read, or of one that none does, for how many seconds.
    Move(u8, u8),
    Touch(u8, u8, Option<u8>),
    Forget(u8),
    ForgetAll,
    Name(u8, u8),
    Unname(u8),
    /// Seconds pass.
    Wait(u8),
    Flush,
    Compact,
    Reopen,
    Look,
}

const VIEWS: [(&str, &str); 14] = [
    (
        "k.plain",
        "SELECT d, tumble(ts, '10 seconds') AS w, count(*) AS n, sum(v) AS total, min(v) AS low FROM k.t GROUP BY d, w",
    ),
    (
        "k.hops",
        "SELECT hop(ts, '10 seconds', '35 seconds') AS w, count(v) AS n FROM k.t GROUP BY w",
    ),
    (
        "k.lines",
        "SELECT line, time_bucket('20 seconds', ts) AS w, count(*) AS n, max(v) AS high FROM k.t WHERE line <> 'l0' GROUP BY line, w",
    ),
    (
        "k.above",
        "SELECT d, tumble(w, '30 seconds') AS b, sum(n) AS n, min(low) AS low FROM k.plain GROUP BY d, b",
    ),
    // Rows go from group to group with what is looked up.
    (
        "k.sites",
        "SELECT p.site, tumble(t.ts, '10 seconds') AS w, count(*) AS n, sum(t.v) AS total FROM k.t t JOIN k.p p ON p.d = t.d AND t.v >= p.low WHERE p.site IS NOT NULL GROUP BY p.site, w",
    ),
    (
        "k.known",
        "SELECT p.d, tumble(ts, '20 seconds') AS w, coalesce(p.site, 'none') AS place, count(l.name) AS named, max(l.name) AS name FROM k.t LEFT JOIN k.l l ON l.line = t.line JOIN k.p p USING (d) GROUP BY p.d, w, coalesce(p.site, 'none')",
    ),
    (
        "k.names",
        "SELECT hop(t.ts, '10 seconds', '35 seconds') AS w, count(l.line) AS n, sum(t.v) AS total FROM k.t t LEFT JOIN k.l l ON t.line = l.line GROUP BY w HAVING count(l.name) > 0",
    ),
    // Nothing of what is looked up is read but that it is there.
    (
        "k.there",
        "SELECT tumble(t.ts, '30 seconds') AS w, count(*) AS n FROM k.t t JOIN k.p p ON p.d = t.d GROUP BY w",
    ),
    // What is looked up is a view.
    (
        "k.beside",
        "SELECT a.d, tumble(a.w, '30 seconds') AS half, sum(a.n) AS n, sum(o.n) AS more FROM k.plain a JOIN k.above o ON o.d = a.d AND o.b = a.w GROUP BY a.d, half",
    ),
    (
        "k.visits",
        "SELECT d, session(ts, '7 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last FROM k.t GROUP BY d, s",
    ),
    (
        "k.runs",
        "SELECT session(ts, '4 seconds') AS s, line, count(*) AS n, min(v) AS low FROM k.t WHERE v > -40 GROUP BY s, line HAVING count(*) > 1",
    ),
    (
        "k.days",
        "SELECT tumble(s, '30 seconds') AS b, sum(n) AS n, max(last) AS last FROM k.visits GROUP BY b",
    ),
    // Sessions of windows, and of sessions.
    (
        "k.busy",
        "SELECT d, session(w, '11 seconds') AS s, sum(n) AS n, max(w) AS last FROM k.plain GROUP BY d, s",
    ),
    (
        "k.stays",
        "SELECT session(s, '20 seconds') AS stay, count(*) AS visits, sum(n) AS n FROM k.visits GROUP BY stay",
    ),
];

fn step() -> impl Strategy<Value = Step> {
    let row = || (0_u8..3, 0_u8..90, any::<i8>(), 0_u8..3);
    prop_oneof![
        6 => prop::collection::vec(row(), 1..8).prop_map(Step::Insert),
        3 => row().prop_map(|(d, at, v, line)| Step::Update(d, at, v, line)),
        2 => (0_u8..3, 0_u8..90).prop_map(|(d, at)| Step::DeleteRow(d, at)),
        2 => (0_u8..3, 0_u8..90, 0_u8..40).prop_map(|(d, at, more)| Step::DeleteRange(d, at, at + more)),
        1 => (0_u8..3).prop_map(Step::DeleteDevice),
        1 => Just(Step::DeleteAll),
        4 => (0_u8..3, prop::option::of(0_u8..3), prop::option::of(any::<i8>()), prop::option::of(1_u8..20))
            .prop_map(|(d, site, low, ttl)| Step::Place(d, site, low, ttl)),
        2 => (0_u8..3, 0_u8..3).prop_map(|(d, site)| Step::Move(d, site)),
        2 => (0_u8..3, any::<u8>(), prop::option::of(1_u8..20))
            .prop_map(|(d, seen, ttl)| Step::Touch(d, seen, ttl)),
        2 => (0_u8..3).prop_map(Step::Forget),
        1 => Just(Step::ForgetAll),
        3 => (0_u8..3, 0_u8..3).prop_map(|(line, name)| Step::Name(line, name)),
        1 => (0_u8..3).prop_map(Step::Unname),
        2 => (1_u8..15).prop_map(Step::Wait),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        3 => Just(Step::Look),
    ]
}

fn at(seconds: u8) -> String {
    format!("to_timestamp_nanos({seconds} * 1000000000)")
}

/// For how many seconds what is written lasts.
fn lasting(ttl: Option<u8>) -> String {
    ttl.map_or(String::new(), |ttl| format!("USING TTL {ttl}"))
}

async fn look(db: &Db) {
    for (name, query) in VIEWS {
        agrees(db, name, query).await;
    }
}

async fn play(steps: Vec<Step>, early: bool) {
    let dir = tempfile::tempdir().unwrap();
    let world = SimEnv::seeded(1);
    world.clock.set_ms(1_767_225_600_000);
    let open = || Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
    let mut db = open();
    run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, v INT, line TEXT, PRIMARY KEY ((d), ts));
        CREATE TABLE k.p (d TEXT PRIMARY KEY, site TEXT, low INT, seen INT); CREATE TABLE k.l (line TEXT PRIMARY KEY, name TEXT)").await;
    let make = async |db: &Db| {
        for (name, query) in VIEWS {
            run(
                db,
                &format!("CREATE MATERIALIZED VIEW {name} WITH (refresh = '10 ms') AS {query}"),
            )
            .await;
        }
    };
    if early {
        make(&db).await;
    }
    let half = steps.len() / 2;
    for (number, step) in steps.into_iter().enumerate() {
        if !early && number == half {
            make(&db).await;
        }
        let made = early || number >= half;
        let row =
            |(d, t, v, line): &(u8, u8, i8, u8)| format!("('d{d}', {}, {v}, 'l{line}')", at(*t));
        match step {
            Step::Insert(all) => {
                let all: Vec<String> = all.iter().map(row).collect();
                run(
                    &db,
                    &format!("INSERT INTO k.t (d, ts, v, line) VALUES {}", all.join(", ")),
                )
                .await;
            }
            Step::Update(d, t, v, line) => {
                let key = format!("d = 'd{d}' AND ts = {}", at(t));
                run(
                    &db,
                    &format!("UPDATE k.t SET v = {v}, line = 'l{line}' WHERE {key}"),
                )
                .await;
            }
            Step::DeleteRow(d, t) => {
                run(
                    &db,
                    &format!("DELETE FROM k.t WHERE d = 'd{d}' AND ts = {}", at(t)),
                )
                .await;
            }
            Step::DeleteRange(d, from, to) => {
                let times = format!("ts >= {} AND ts < {}", at(from), at(to));
                run(
                    &db,
                    &format!("DELETE FROM k.t WHERE d = 'd{d}' AND {times}"),
                )
                .await;
            }
            Step::DeleteDevice(d) => {
                run(&db, &format!("DELETE FROM k.t WHERE d = 'd{d}'")).await;
            }
            Step::DeleteAll => {
                run(&db, "DELETE FROM k.t").await;
            }
            Step::Place(d, site, low, ttl) => {
                let site = site.map_or("NULL".to_owned(), |site| format!("'s{site}'"));
                let low = low.map_or("NULL".to_owned(), |low| low.to_string());
                let values = format!("('d{d}', {site}, {low}) {}", lasting(ttl));
                run(
                    &db,
                    &format!("INSERT INTO k.p (d, site, low) VALUES {values}"),
                )
                .await;
            }
            Step::Move(d, site) => {
                run(
                    &db,
                    &format!("UPDATE k.p SET site = 's{site}' WHERE d = 'd{d}'"),
                )
                .await;
            }
            Step::Touch(d, seen, ttl) => {
                let values = format!("('d{d}', {seen}) {}", lasting(ttl));
                run(&db, &format!("INSERT INTO k.p (d, seen) VALUES {values}")).await;
            }
            Step::Forget(d) => {
                run(&db, &format!("DELETE FROM k.p WHERE d = 'd{d}'")).await;
            }
            Step::ForgetAll => {
                run(&db, "DELETE FROM k.p").await;
            }
            Step::Name(line, name) => {
                let sql = format!("INSERT INTO k.l (line, name) VALUES ('l{line}', 'n{name}')");
                run(&db, &sql).await;
            }
            Step::Unname(line) => {
                run(&db, &format!("DELETE FROM k.l WHERE line = 'l{line}'")).await;
            }
            Step::Wait(seconds) => world.clock.advance(Duration::from_secs(seconds.into())),
            Step::Flush => db.inner.store.flush().unwrap(),
            Step::Compact => {
                run(&db, "ALTER TABLE k.t COMPACT; ALTER TABLE k.p COMPACT").await;
            }
            Step::Reopen => {
                db.shutdown().await.unwrap();
                drop(db);
                db = open();
            }
            Step::Look if made => look(&db).await,
            Step::Look => {}
        }
    }
    look(&db).await;
    db.shutdown().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn views_agree_with_their_queries(
        steps in prop::collection::vec(step(), 4..32),
        early in any::<bool>(),
    ) {
        runtime().block_on(play(steps, early));
    }
}
