//! The latest groups: with the rule for them and without it a query gives the same.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::runs::{batches, many, written};
use super::*;

/// What rows are grouped by, which of it they are sorted by, and the conditions.
const GROUPINGS: [(&str, &str, &str); 8] = [
    ("time_bucket('4 seconds', ts)", "1 DESC", ""),
    ("date_trunc('minute', ts)", "1 DESC", "WHERE temp > -3"),
    (
        "date_bin(INTERVAL '3 seconds', ts, TIMESTAMP '2001-01-01'), device",
        "1 DESC, 2",
        "",
    ),
    (
        "tag, time_bucket('2 seconds', ts)",
        "2 DESC, 1",
        "WHERE device <> 'd1'",
    ),
    ("time_bucket('1 day', ts, 'Europe/Berlin')", "1 DESC", ""),
    ("ts", "1 DESC", "WHERE n IS NOT NULL"),
    ("device, ts", "2 DESC, 1", ""),
    (
        "tumble(ts, '5 seconds')",
        "1 DESC NULLS LAST",
        "WHERE ts < '2026-01-01T00:00:09'",
    ),
];

const AGGREGATES: &str = "count(*), sum(temp), min(n), max(ts)";

/// The latest groups by themselves, and as the beginning of all groups.
async fn both(
    engine: &Engine,
    (groups, order, rest): (&str, &str, &str),
    limit: usize,
) -> [Vec<Vec<String>>; 2] {
    let columns = groups.matches("device").count() + groups.matches("tag").count() + 1;
    let by: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
    let all = format!(
        "SELECT {groups}, {AGGREGATES} FROM plant.runs {rest} GROUP BY {} ORDER BY {order}",
        by.join(", ")
    );
    let latest = format!("{all} LIMIT {limit}");
    let plan = explain(engine, &latest).await;
    assert!(
        plan.contains(&format!("LatestExec: groups={limit}")) && plan.contains("narrows by=[ts]"),
        "{plan}"
    );
    let plan = explain(engine, &all).await;
    assert!(!plan.contains("LatestExec"), "{plan}");
    let mut all = rows(engine, &all).await;
    all.truncate(limit);
    [rows(engine, &latest).await, all]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_latest_groups_are_the_last_of_all(
        batches in batches(),
        ascending in any::<bool>(), limit in 1_usize..8,
    ) {
        let world = written(&batches, ascending);
        let engine = engine(&world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for grouping in GROUPINGS {
                let [latest, all] = both(&engine, grouping, limit).await;
                prop_assert_eq!(latest, all, "{:?}", grouping);
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

#[tokio::test]
async fn old_rows_stay_unread() {
    let world = World::new();
    many(&world);
    world.store.flush().unwrap();
    let engine = engine(&world);
    for grouping in GROUPINGS {
        let [latest, all] = both(&engine, grouping, 3).await;
        assert_eq!(latest, all, "{grouping:?}");
        assert!(!latest.is_empty(), "{grouping:?}");
    }
    let sql = "SELECT time_bucket('1 minute', ts), max(temp) FROM plant.runs GROUP BY 1 ORDER BY 1 DESC LIMIT 2";
    let plan = explain(&engine, &format!("ANALYZE {sql}")).await;
    assert!(plan.contains("rows_left_out="), "{plan}");
    assert!(!plan.contains("vectors_pruned=0"), "{plan}");
}

/// What hangs on all groups, on more than the moment, or on groups that are few for another reason, is left alone.
#[tokio::test]
async fn other_orders_are_left_alone() {
    let world = World::new();
    many(&world);
    let engine = engine(&world);
    let from = "FROM plant.runs GROUP BY 1";
    for sql in [
        format!("SELECT time_bucket('1 minute', ts), max(temp) {from} ORDER BY 1 LIMIT 2"),
        format!("SELECT time_bucket('1 minute', ts), max(temp) {from} ORDER BY 2 DESC LIMIT 2"),
        format!("SELECT time_bucket('1 minute', ts), max(temp) {from} HAVING max(temp) > 89 ORDER BY 1 DESC LIMIT 2"),
        format!("SELECT time_bucket('1 minute', ts), max(temp) {from} ORDER BY 1 DESC LIMIT 5000"),
        format!("SELECT time_bucket('1 minute', ts + interval '1 second'), max(temp) {from} ORDER BY 1 DESC LIMIT 2"),
        format!("SELECT n, max(temp) {from} ORDER BY 1 DESC LIMIT 2"),
        "SELECT time_bucket('1 minute', ts), max(temp) FROM (SELECT * FROM plant.runs LIMIT 50) GROUP BY 1 ORDER BY 1 DESC LIMIT 2".to_owned(),
        "SELECT time_bucket('1 minute', ts), device, max(temp) FROM plant.runs GROUP BY ROLLUP(time_bucket('1 minute', ts), device) ORDER BY 1 DESC LIMIT 2".to_owned(),
    ] {
        let plan = explain(&engine, &sql).await;
        assert!(!plan.contains("LatestExec"), "{sql}: {plan}");
    }
}
