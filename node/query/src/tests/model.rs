//! Whatever the filter, pushed down or not, the rows are those that a plain model finds.

use std::fmt::Write;

use arrow::array::{Int32Array, TimestampNanosecondArray};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const COLUMNS: [&str; 6] = ["site", "unit", "ts", "seq", "v", "name"];

/// A row as the model has it; the first four are the key.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    site: String,
    unit: i32,
    ts: i64,
    seq: i32,
    v: Option<f64>,
    name: Option<String>,
}

#[derive(Clone, Debug)]
enum Filter {
    Compare(usize, &'static str, i32),
    In(usize, Vec<i32>),
    Between(usize, i32, i32),
    IsNull(usize),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
}

fn literal(column: usize, value: i32) -> String {
    match column {
        0 | 5 => format!("'{}'", text(value)),
        2 => format!("TIMESTAMP '2026-01-01T00:00:{:02}'", value.clamp(0, 59)),
        4 => format!("{}.5", value),
        _ => value.to_string(),
    }
}

/// Texts of which some are prefixes of others.
fn text(value: i32) -> String {
    ["", "a", "aa", "ab", "b", "ba", "é"][value.rem_euclid(7) as usize].into()
}

fn compare(row: &Row, column: usize, value: i32) -> Option<std::cmp::Ordering> {
    match column {
        0 => Some(row.site.cmp(&text(value))),
        1 => Some(row.unit.cmp(&value)),
        2 => Some(
            row.ts
                .cmp(&(NEW_YEAR_NS + i64::from(value.clamp(0, 59)) * 1_000_000_000)),
        ),
        3 => Some(row.seq.cmp(&value)),
        4 => row
            .v
            .map(|v| v.total_cmp(&literal(4, value).parse().unwrap())),
        _ => row.name.as_ref().map(|name| name.cmp(&text(value))),
    }
}

impl Filter {
    fn sql(&self, out: &mut String) {
        match self {
            Filter::Compare(column, op, value) => write!(
                out,
                "{} {op} {}",
                COLUMNS[*column],
                literal(*column, *value)
            )
            .unwrap(),
            Filter::In(column, values) => {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| literal(*column, *value))
                    .collect();
                write!(out, "{} IN ({})", COLUMNS[*column], values.join(", ")).unwrap();
            }
            Filter::Between(column, low, high) => write!(
                out,
                "{} BETWEEN {} AND {}",
                COLUMNS[*column],
                literal(*column, *low),
                literal(*column, *high)
            )
            .unwrap(),
            Filter::IsNull(column) => write!(out, "{} IS NULL", COLUMNS[*column]).unwrap(),
            Filter::And(left, right) | Filter::Or(left, right) => {
                out.push('(');
                left.sql(out);
                out.push_str(if matches!(self, Filter::And(..)) {
                    " AND "
                } else {
                    " OR "
                });
                right.sql(out);
                out.push(')');
            }
            Filter::Not(inner) => {
                out.push_str("NOT (");
                inner.sql(out);
                out.push(')');
            }
        }
    }

    /// In three values, as SQL.
    fn holds(&self, row: &Row) -> Option<bool> {
        match self {
            Filter::Compare(column, op, value) => {
                compare(row, *column, *value).map(|order| match *op {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Filter::In(column, values) => {
                compare(row, *column, 0)?;
                Some(
                    values.iter().any(|value| {
                        compare(row, *column, *value).is_some_and(|order| order.is_eq())
                    }),
                )
            }
            Filter::Between(column, low, high) => {
                Some(compare(row, *column, *low)?.is_ge() && compare(row, *column, *high)?.is_le())
            }
            Filter::IsNull(column) => Some(compare(row, *column, 0).is_none()),
            Filter::And(left, right) => match (left.holds(row), right.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Filter::Or(left, right) => match (left.holds(row), right.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Filter::Not(inner) => inner.holds(row).map(|held| !held),
        }
    }
}

fn condition() -> impl Strategy<Value = Filter> {
    let column = prop_oneof![4 => 0_usize..1, 3 => 1_usize..2, 3 => 2_usize..4, 2 => 4_usize..6];
    (
        column,
        -1..9_i32,
        -1..9_i32,
        proptest::collection::vec(0..8_i32, 1..4),
        0..10,
    )
        .prop_map(|(column, a, b, list, kind)| match kind {
            0..=2 => Filter::Compare(column, "=", a),
            3..=6 => Filter::Compare(
                column,
                ["<", "<=", ">", ">=", "<>"][(b + 1) as usize % 5],
                a,
            ),
            7 => Filter::In(column, list),
            8 => Filter::Between(column, a, b),
            _ => Filter::IsNull(column),
        })
}

fn filter() -> impl Strategy<Value = Filter> {
    let tree = condition().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(a.into(), b.into())),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::Or(a.into(), b.into())),
            1 => inner.prop_map(|a| Filter::Not(a.into())),
        ]
    });
    // Mostly what the pushdown is made for: a conjunction that follows the key.
    (proptest::collection::vec(condition(), 0..3), tree).prop_map(|(conditions, tree)| {
        conditions
            .into_iter()
            .fold(tree, |all, one| Filter::And(all.into(), one.into()))
    })
}

fn sample() -> Vec<Row> {
    let mut all = Vec::new();
    for number in 0..1500_i32 {
        // A fixed scatter over few values, so that filters hit.
        let mixed = number.wrapping_mul(2_654_435) ^ (number >> 3);
        let row = Row {
            site: text(mixed),
            unit: (mixed >> 4).rem_euclid(4),
            ts: NEW_YEAR_NS + i64::from((mixed >> 7).rem_euclid(9)) * 1_000_000_000,
            seq: (mixed >> 11).rem_euclid(8),
            v: (number % 5 != 0).then_some(f64::from((mixed >> 2).rem_euclid(20)) / 2.0),
            name: (number % 7 != 0).then(|| text(mixed >> 9)),
        };
        all.retain(|other: &Row| {
            (&other.site, other.unit, other.ts, other.seq) != (&row.site, row.unit, row.ts, row.seq)
        });
        all.push(row);
    }
    all
}

#[test]
fn every_filter_finds_what_the_model_finds() {
    let world = World::new();
    let schema = world.create(
        "model",
        &[
            ("site", DataType::Text),
            ("unit", DataType::Int),
            ("ts", DataType::Timestamp),
            ("seq", DataType::Int),
            ("v", DataType::Double),
            ("name", DataType::Text),
        ],
        2,
        &["-ts", "seq"],
    );
    let all = sample();
    for part in all.chunks(400) {
        world.write(
            &schema,
            vec![
                Arc::new(StringArray::from_iter_values(
                    part.iter().map(|row| &row.site),
                )),
                Arc::new(Int32Array::from_iter_values(
                    part.iter().map(|row| row.unit),
                )),
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    part.iter().map(|row| row.ts),
                )),
                Arc::new(Int32Array::from_iter_values(part.iter().map(|row| row.seq))),
                Arc::new(part.iter().map(|row| row.v).collect::<Float64Array>()),
                Arc::new(
                    part.iter()
                        .map(|row| row.name.clone())
                        .collect::<StringArray>(),
                ),
            ],
        );
        if part.len() == 400 {
            world.store.flush().unwrap();
        }
    }
    let engine = engine(&world);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let hits = AtomicU64::new(0);
    let mut runner = TestRunner::new(Config::with_cases(400));
    runner
        .run(&filter(), |filter| {
            let mut sql = "SELECT * FROM plant.model WHERE ".to_owned();
            filter.sql(&mut sql);
            let mut wanted: Vec<Vec<String>> = all
                .iter()
                .filter(|row| filter.holds(row) == Some(true))
                .map(|row| {
                    vec![
                        row.site.clone(),
                        row.unit.to_string(),
                        chrono::DateTime::from_timestamp_nanos(row.ts)
                            .format("%Y-%m-%dT%H:%M:%S")
                            .to_string(),
                        row.seq.to_string(),
                        row.v.map_or("-".into(), |v| format!("{v:?}")),
                        row.name.clone().unwrap_or("-".into()),
                    ]
                })
                .collect();
            let mut found = runtime
                .block_on(try_rows(&engine, &sql, &[]))
                .map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
            hits.fetch_add(u64::from(!wanted.is_empty()), Ordering::Relaxed);
            wanted.sort();
            found.sort();
            prop_assert_eq!(found, wanted, "{}", sql);
            Ok(())
        })
        .unwrap();
    // The filters are made so that many of them find something.
    assert!(hits.load(Ordering::Relaxed) >= 50, "{hits:?}");
}
