//! Ranges at the edges of the key space, and what counts as exact.

use std::sync::Arc;

use activestore_types::{
    ClusteringColumn, Column, CompactionMode, DataType, SyncMode, TableId, TableName, encode_keys,
};
use arrow::array::{ArrayRef, Int32Array};
use datafusion::prelude::{Expr, col, lit};

use super::*;

/// `PRIMARY KEY ((a), b DESC)`, both INT, and a DOUBLE clustering column `c`.
fn table() -> TableSchema {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.into(),
        data_type,
    };
    TableSchema {
        id: TableId(1),
        name: TableName::new("k", "t"),
        columns: vec![
            column(0, "a", DataType::Int),
            column(1, "b", DataType::Int),
            column(2, "c", DataType::Double),
            column(3, "v", DataType::Int),
        ],
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![
            ClusteringColumn {
                id: ColumnId(1),
                descending: true,
            },
            ClusteringColumn {
                id: ColumnId(2),
                descending: false,
            },
        ],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    }
}

fn key(a: i32, b: i32) -> Vec<u8> {
    let columns: Vec<(ArrayRef, bool)> = vec![
        (Arc::new(Int32Array::from(vec![a])), false),
        (Arc::new(Int32Array::from(vec![b])), true),
    ];
    encode_keys(&columns).unwrap().key(0).to_vec()
}

fn inside(filters: &[Expr], a: i32, b: i32) -> bool {
    let ranges = push_down(&table(), filters).ranges.unwrap();
    ranges.iter().any(|range| range.contains(&key(a, b)))
}

#[test]
fn the_ends_of_the_key_space_are_kept() {
    for (filter, holds) in [
        (col("a").gt(lit(i32::MAX)), [false, false]),
        (col("a").gt_eq(lit(i32::MAX)), [false, true]),
        (col("a").lt(lit(i32::MIN)), [false, false]),
        (col("a").lt_eq(lit(i32::MIN)), [true, false]),
        (col("a").gt(lit(i32::MIN)), [false, true]),
    ] {
        assert_eq!(
            [i32::MIN, i32::MAX].map(|a| inside(std::slice::from_ref(&filter), a, 0)),
            holds,
            "{filter}"
        );
    }
    for extreme in [i32::MIN, 0, i32::MAX] {
        for a in [i32::MIN, 0, i32::MAX] {
            for b in [i32::MIN, -1, 0, 1, i32::MAX] {
                for (filter, holds) in [
                    (col("b").gt(lit(extreme)), b > extreme),
                    (col("b").gt_eq(lit(extreme)), b >= extreme),
                    (col("b").lt(lit(extreme)), b < extreme),
                    (col("b").lt_eq(lit(extreme)), b <= extreme),
                    (col("b").eq(lit(extreme)), b == extreme),
                ] {
                    let filters = [col("a").eq(lit(a)), filter];
                    assert_eq!(inside(&filters, a, b), holds, "{filters:?} {b}");
                }
            }
        }
    }
}

#[test]
fn exact_is_what_the_ranges_say_whole() {
    let schema = table();
    let exact = |filters: &[Expr]| push_down(&schema, filters).exact;
    assert!(exact(&[col("a").eq(lit(1))]));
    assert!(exact(&[col("a").eq(lit(1)).and(col("b").gt(lit(2)))]));
    assert!(exact(&[
        col("a").eq(lit(1)).or(col("a").eq(lit(2))),
        col("b").in_list(vec![lit(1), lit(2)], false)
    ]));
    assert!(!exact(&[col("b").eq(lit(1))]));
    assert!(!exact(&[col("a").gt(lit(1)), col("b").eq(lit(1))]));
    assert!(!exact(&[col("a").eq(lit(1)), col("v").eq(lit(1))]));
    assert!(!exact(&[col("a").eq(lit(1)).or(col("b").eq(lit(2)))]));
    assert!(!exact(&[col("a").not_eq(lit(1))]));
    // A float key folds -0.0 and NaN: its bounds prune, DataFusion decides.
    let pushed = push_down(
        &schema,
        &[
            col("a").eq(lit(1)),
            col("b").eq(lit(1)),
            col("c").eq(lit(1.0)),
        ],
    );
    assert!(!pushed.exact && pushed.zones.len() == 1 && pushed.ranges.is_some());
}

#[test]
fn constants_of_other_types_are_taken_where_nothing_is_lost() {
    let schema = table();
    assert!(
        push_down(&schema, &[col("a").eq(lit(1_i64))])
            .ranges
            .is_some()
    );
    for filter in [
        col("a").eq(lit(1.5)),
        col("a").eq(lit(i64::MAX)),
        col("a").eq(lit("x")),
    ] {
        assert!(
            push_down(&schema, std::slice::from_ref(&filter))
                .ranges
                .is_none(),
            "{filter}"
        );
    }
}

#[test]
fn the_number_of_ranges_is_bounded() {
    let schema = table();
    let many = |count: i32| (0..count).map(|n| lit(n * 2)).collect::<Vec<_>>();
    let pushed = push_down(
        &schema,
        &[
            col("a").in_list(many(100), false),
            col("b").in_list(many(100), false),
        ],
    );
    assert_eq!(
        (
            pushed.ranges.unwrap().len(),
            pushed.point_columns,
            pushed.zones.len()
        ),
        (100, 1, 1)
    );
    let pushed = push_down(
        &schema,
        &[col("a").in_list(many(MAX_RANGES as i32 + 1), false)],
    );
    assert!(pushed.ranges.is_none() && pushed.zones.len() == 1);
    let neighbours = col("a").in_list((0..50).map(lit).collect(), false);
    assert_eq!(push_down(&schema, &[neighbours]).ranges.unwrap().len(), 1);
}
