//! Whatever is written, in whatever order, and however often the node starts anew: once it is brought up to date, each
//! view holds what its query says.

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
    Flush,
    Compact,
    Reopen,
    Look,
}

const VIEWS: [(&str, &str); 4] = [
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
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        3 => Just(Step::Look),
    ]
}

fn at(seconds: u8) -> String {
    format!("to_timestamp_nanos({seconds} * 1000000000)")
}

async fn look(db: &Db) {
    for (name, query) in VIEWS {
        agrees(db, name, query).await;
    }
}

async fn play(steps: Vec<Step>, early: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path(), Role::Edge);
    run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, ts TIMESTAMP, v INT, line TEXT, PRIMARY KEY ((d), ts))").await;
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
            Step::Flush => db.inner.store.flush().unwrap(),
            Step::Compact => {
                run(&db, "ALTER TABLE k.t COMPACT").await;
            }
            Step::Reopen => {
                db.shutdown().await.unwrap();
                drop(db);
                db = open(dir.path(), Role::Edge);
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
        steps in prop::collection::vec(step(), 4..24),
        early in any::<bool>(),
    ) {
        runtime().block_on(play(steps, early));
    }
}
