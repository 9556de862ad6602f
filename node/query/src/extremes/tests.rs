//! Ranks of floats, and how groups and windows come out by them.

use proptest::prelude::*;

use super::*;
use crate::tests::{World, engine, rows};

proptest! {
    #[test]
    fn ranks_stand_as_floats_do(one in any::<f64>(), other in any::<f64>()) {
        if !one.is_nan() && !other.is_nan() {
            prop_assert_eq!(rank(one).cmp(&rank(other)), one.total_cmp(&other));
            let (short, short_other) = (one as f32, other as f32);
            prop_assert_eq!(
                rank_short(short).cmp(&rank_short(short_other)),
                short.total_cmp(&short_other)
            );
            prop_assert_eq!(f64::from_bits(turned(rank(one)).cast_unsigned()).to_bits(), one.to_bits());
        }
    }
}

#[test]
fn nan_is_one_and_above_all_numbers() {
    assert_eq!(rank(f64::NAN), rank(-f64::NAN));
    assert!(rank(-f64::NAN) > rank(f64::INFINITY));
    assert_eq!(rank_short(f32::NAN), rank_short(-f32::NAN));
    assert!(rank_short(-f32::NAN) > rank_short(f32::INFINITY));
    assert!(rank(-0.0) < rank(0.0) && rank_short(-0.0) < rank_short(0.0));
}

/// Every order of the same values, by every kind of step, gives the same.
#[tokio::test]
async fn the_order_of_rows_does_not_matter() {
    let world = World::new();
    let engine = engine(&world);
    let values = ["'NaN'", "1.5", "'-Infinity'", "-0.0", "0.0"];
    for turn in 0..values.len() {
        let listed: Vec<String> = (0..values.len())
            .map(|place| values[(place + turn) % values.len()])
            .map(|value| format!("(CAST({value} AS DOUBLE), CAST({value} AS REAL), 1)"))
            .collect();
        let from = format!("FROM (VALUES {}) AS v(x, short, g)", listed.join(", "));
        let both = "max(x), min(x), max(short), min(-x)";
        let whole = [["NaN", "-inf", "NaN", "-1.5"].map(str::to_owned).to_vec()];
        for rest in ["", "GROUP BY g", "GROUP BY g, g + 1"] {
            let sql = format!("SELECT {both} {from} {rest}");
            assert_eq!(rows(&engine, &sql).await, whole, "{sql}");
        }
        let sql = format!("SELECT DISTINCT max(x) OVER (), min(x) OVER () {from}");
        assert_eq!(rows(&engine, &sql).await, [["NaN", "-inf"]], "{sql}");
        // Of what is left where it is small, infinite or nothing but zeros, the bounds are no number of their own.
        for (condition, expected) in [
            ("x = '-Infinity'", ["-inf", "-inf"]),
            ("abs(x) = 0", ["0.0", "-0.0"]),
            ("x <> x", ["-", "-"]),
        ] {
            let sql = format!("SELECT max(x), min(x) {from} WHERE {condition} GROUP BY g");
            let found = rows(&engine, &sql).await;
            let expected: Vec<Vec<String>> = match expected {
                ["-", "-"] => Vec::new(),
                some => vec![some.map(str::to_owned).to_vec()],
            };
            assert_eq!(found, expected, "{sql}");
        }
    }
}
