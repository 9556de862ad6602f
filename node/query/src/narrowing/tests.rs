//! What a condition comes to, by every shape that DataFusion gives it.

use std::sync::Arc;

use activestore_store::{Narrowing, ZoneValue};
use activestore_types::DataType;
use datafusion::physical_expr::expressions::lit;

use super::*;

fn column() -> TableColumn {
    TableColumn {
        id: ColumnId(7),
        name: "n".into(),
        data_type: DataType::BigInt,
    }
}

fn n() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("n", 1))
}

fn other() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("other", 0))
}

fn is(
    left: Arc<dyn PhysicalExpr>,
    op: Operator,
    right: Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn reach(condition: Arc<dyn PhysicalExpr>) -> Reach {
    Reach::of(&condition, 1, &column())
}

fn between(low: Option<i64>, high: Option<i64>, nulls: bool) -> Reach {
    let value = |value: i64| ScalarValue::Int64(Some(value));
    Reach {
        values: Some((low.map(value), high.map(value))),
        nulls,
    }
}

#[test]
fn what_a_condition_may_hold_of() {
    use Operator::{And, Eq, Gt, Lt, LtEq, NotEq, Or, Plus};
    let null = || lit(ScalarValue::Int64(None));
    let is_null = || Arc::new(IsNullExpr::new(n())) as Arc<dyn PhysicalExpr>;
    let is_not_null = || Arc::new(IsNotNullExpr::new(n())) as Arc<dyn PhysicalExpr>;
    let above = || is(n(), Gt, lit(5_i64));
    let below = || is(lit(9_i64), Gt, n());
    for (condition, expected) in [
        (lit(true), ALL),
        (lit(false), NOTHING),
        (lit(ScalarValue::Boolean(None)), NOTHING),
        (above(), between(Some(5), None, false)),
        (below(), between(None, Some(9), false)),
        (is(n(), Eq, lit(5_i64)), between(Some(5), Some(5), false)),
        (is(n(), Gt, null()), NOTHING),
        // Another type says nothing of values, and NULL never passes a comparison.
        (is(n(), Gt, lit(5.5)), VALUES),
        (is(n(), Lt, other()), VALUES),
        (is(n(), NotEq, lit(5_i64)), ALL),
        (is(n(), Operator::IsDistinctFrom, lit(5_i64)), ALL),
        (is(other(), Gt, lit(5_i64)), ALL),
        (is(is(n(), Plus, lit(1_i64)), Gt, lit(5_i64)), ALL),
        (is_null(), NULLS),
        (is_not_null(), VALUES),
        (is(above(), And, below()), between(Some(5), Some(9), false)),
        (is(above(), Or, below()), between(None, None, false)),
        (is(is_null(), Or, above()), between(Some(5), None, true)),
        (is(above(), Or, is_null()), between(Some(5), None, true)),
        (is(is_null(), And, above()), NOTHING),
        (is(above(), Or, is(other(), Gt, lit(1_i64))), ALL),
        (
            is(
                above(),
                Or,
                is(is(n(), Eq, lit(5_i64)), And, is(other(), Lt, lit(1_i64))),
            ),
            between(Some(5), None, false),
        ),
        (
            is(is(n(), LtEq, lit(3_i64)), And, below()),
            between(None, Some(3), false),
        ),
    ] {
        assert_eq!(reach(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn what_is_wanted_follows_the_condition() {
    let moving = DynamicFilterPhysicalExpr::new(vec![n()], lit(true));
    let moving = Arc::new(moving);
    let condition = moving.clone() as Arc<dyn PhysicalExpr>;
    let world = crate::tests::World::new();
    let mut table = crate::tests::readings(&world).as_ref().clone();
    table.columns = vec![column()];
    let read = [ColumnId(3), ColumnId(7)];
    let watched = Moving::of(&condition, &read, &table).unwrap();
    assert!(watched.now().is_empty());
    moving.update(is(n(), Operator::Gt, lit(5_i64))).unwrap();
    let now = watched.now();
    let values = &now[0].one_of[0];
    assert_eq!(values.range.as_ref().unwrap().low, Some(ZoneValue::Int(5)));
    assert!(!values.nulls && watched.now() == now);
    moving.update(lit(false)).unwrap();
    assert_eq!(watched.now()[0].one_of[0].range, None);
    // Of a column that is not read, and of more than a column, nothing is said.
    assert!(Moving::of(&condition, &read[..1], &table).is_none());
    let computed = is(n(), Operator::Plus, lit(1_i64));
    let computed = DynamicFilterPhysicalExpr::new(vec![computed], lit(true));
    let computed = Arc::new(computed) as Arc<dyn PhysicalExpr>;
    assert!(Moving::of(&computed, &read, &table).is_none());
    assert!(Moving::of(&lit(true), &read, &table).is_none());
}
