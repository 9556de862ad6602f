//! The first few rows of an order: with what narrows the scan and without it a query gives the same.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::runs::{batches, many, written};
use super::*;

const ORDERS: [&str; 12] = [
    "temp DESC",
    "temp",
    "temp DESC NULLS LAST",
    "temp NULLS FIRST",
    "n DESC",
    "ts DESC",
    "ts, n DESC",
    "tag DESC, temp",
    "tag NULLS FIRST, n",
    "odd DESC",
    "odd",
    "device DESC, temp NULLS FIRST",
];

const CONDITIONS: [&str; 3] = [
    "",
    "WHERE n IS NOT NULL AND temp < 9",
    "WHERE device <> 'd1'",
];

/// The first rows of an order, by themselves and as the beginning of all rows, which nothing narrows.
async fn both(engine: &Engine, order: &str, rest: &str, limit: usize) -> [Vec<Vec<String>>; 2] {
    let sql = format!("SELECT * FROM plant.runs {rest} ORDER BY {order}, device, ts");
    let first = format!("{sql} LIMIT {limit}");
    let plan = explain(engine, &first).await;
    assert!(plan.contains("narrows by=["), "{plan}");
    let plan = explain(engine, &sql).await;
    assert!(!plan.contains("narrows by=["), "{plan}");
    let mut all = rows(engine, &sql).await;
    all.truncate(limit);
    [rows(engine, &first).await, all]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_first_rows_are_those_of_all(
        batches in batches(),
        ascending in any::<bool>(), limit in 1_usize..12,
    ) {
        let world = written(&batches, ascending);
        let engine = engine(&world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for order in ORDERS {
                for rest in CONDITIONS {
                    let [first, all] = both(&engine, order, rest, limit).await;
                    prop_assert_eq!(first, all, "{} {}", order, rest);
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

/// How much of the vectors EXPLAIN ANALYZE tells of.
async fn counted(engine: &Engine, sql: &str, name: &str) -> u64 {
    let plan = explain(engine, &format!("ANALYZE {sql}")).await;
    let found = plan.split(&format!("{name}=")).nth(1);
    let found = found.unwrap_or_else(|| panic!("no {name} in {plan}"));
    let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn many_rows_of_which_few_are_wanted() {
    let world = World::new();
    many(&world);
    world.store.flush().unwrap();
    let engine = engine(&world);
    for order in ORDERS {
        for rest in CONDITIONS {
            let [first, all] = both(&engine, order, rest, 7).await;
            assert_eq!(first, all, "{order} {rest}");
            assert_eq!(first.len(), 7);
        }
    }
    // The newest rows of each device are in its last vectors, so those of all others stay unread.
    let newest = "SELECT ts, device, temp, n FROM plant.runs ORDER BY ts DESC LIMIT 3";
    let all = "SELECT ts, device, temp, n FROM plant.runs ORDER BY ts DESC";
    assert!(counted(&engine, newest, "vectors_pruned").await > 0);
    assert_eq!(counted(&engine, all, "vectors_pruned").await, 0);
}

#[tokio::test]
async fn what_else_cuts_rows_off_is_not_changed_by_what_is_wanted() {
    let world = World::new();
    many(&world);
    let engine = engine(&world);
    // Which rows a limit leaves, and which row is the last of a device, must not hang on the sort above.
    for (sql, expected) in [
        (
            "SELECT count(*) FROM (SELECT n FROM (SELECT n FROM plant.runs LIMIT 100) ORDER BY n DESC LIMIT 5)",
            "5",
        ),
        (
            "SELECT count(*) FROM (SELECT device, n FROM (SELECT DISTINCT ON (device) device, n FROM plant.runs ORDER BY device, ts DESC) ORDER BY n LIMIT 4)",
            "4",
        ),
        (
            "WITH RECURSIVE turns AS (SELECT 0 AS turn, CAST(0 AS BIGINT) AS top UNION ALL \
             SELECT turn + 1, v + 0 FROM turns, (SELECT n AS v FROM plant.runs ORDER BY n DESC LIMIT 1) WHERE turn < 3) \
             SELECT count(*) FROM turns WHERE top > 0",
            "3",
        ),
    ] {
        assert_eq!(lines(&engine, sql).await, [expected], "{sql}");
    }
    for sql in [
        "SELECT n FROM (SELECT n FROM plant.runs LIMIT 100) ORDER BY n DESC LIMIT 5",
        "SELECT temp * 2 AS t, n FROM plant.runs WHERE temp <> 0 ORDER BY 1 / temp LIMIT 5",
    ] {
        let plan = explain(&engine, sql).await;
        assert!(!plan.contains("narrows by=["), "{plan}");
    }
    // Nothing is known of groups before all rows are read, so these come as codes as ever.
    let sql =
        "SELECT device, avg(temp) FROM plant.runs GROUP BY device ORDER BY device DESC LIMIT 2";
    let plan = explain(&engine, sql).await;
    assert!(
        !plan.contains("narrows by=[") && plan.contains("codes=1"),
        "{plan}"
    );
    // Of two extremes one may lie in rows that the other has no use for.
    let sql = "SELECT max(temp), min(temp), max(n), min(ts), max(odd) FROM plant.runs";
    let plan = explain(&engine, sql).await;
    assert!(!plan.contains("narrows by=["), "{plan}");
}
