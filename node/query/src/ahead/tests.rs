//! What is known of all rows leaves no other rows than a look at each of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampNanosecondArray};
use proptest::prelude::*;

use super::*;

const OPERATORS: [Operator; 6] = [
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
];

fn literal(kind: usize, value: i64) -> Arc<dyn PhysicalExpr> {
    let value = match kind {
        0 => ScalarValue::Int64(Some(value)),
        1 => ScalarValue::TimestampNanosecond(Some(value), None),
        _ => ScalarValue::Float64(Some(value as f64)),
    };
    Arc::new(Literal::new(value))
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -4..5_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

proptest! {
    #[test]
    fn what_is_known_leaves_the_same_rows(
        rows in prop::collection::vec((number(), number(), prop::option::of(-4..5_i64)), 1..20),
        conditions in prop::collection::vec((0..3_usize, 0..6_usize, number(), any::<bool>()), 1..5),
        known in any::<[bool; 2]>(),
        wider in 0..2_i64,
    ) {
        let numbers: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let moments: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let others: Float64Array = rows.iter().map(|row| row.2.map(|value| value as f64)).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(Int64Array::from(numbers.clone())) as ArrayRef, true),
            ("at", Arc::new(TimestampNanosecondArray::from(moments.clone())) as _, true),
            ("x", Arc::new(others) as _, true),
        ]).unwrap();
        let conditions = conditions.into_iter().map(|(column, op, value, turned)| {
            let name = batch.schema().field(column).name().clone();
            let column_expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, column));
            let (left, right) = (column_expr, literal(column, value));
            let (left, right) = if turned { (right, left) } else { (left, right) };
            Arc::new(BinaryExpr::new(left, OPERATORS[op], right)) as Arc<dyn PhysicalExpr>
        });
        let predicate = conditions
            .reduce(|one, other| Arc::new(BinaryExpr::new(one, Operator::And, other)))
            .unwrap();
        let read = [ColumnId(1), ColumnId(2), ColumnId(3), ColumnId(4)];
        let ahead = Ahead::new(&predicate, &read).unwrap().unwrap();
        // Of the columns that are looked at.
        let asked = ahead.columns.iter().map(|id| usize::try_from(id.0).unwrap() - 1);
        let asked: Vec<usize> = asked.collect();
        let looked_at = batch.project(&asked).unwrap();
        let of = |values: &[i64]| {
            let (low, high) = (values.iter().min().unwrap(), values.iter().max().unwrap());
            (low.saturating_sub(wider), high.saturating_add(wider))
        };
        let bounds = [known[0].then(|| of(&numbers)), known[1].then(|| of(&moments)), None];
        let bounds: Vec<_> = asked.iter().map(|place| bounds[*place]).collect();
        let held = |holds: BooleanArray| holds.iter().map(|held| held == Some(true)).collect::<Vec<bool>>();
        let unknown = vec![None; asked.len()];
        let expected = held(ahead.holds(&looked_at, &unknown).unwrap());
        prop_assert_eq!(held(ahead.holds(&looked_at, &bounds).unwrap()), expected);
    }
}

#[test]
fn nothing_is_asked_of_what_is_certain() {
    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("at", 0));
    let after = BinaryExpr::new(column.clone(), Operator::GtEq, literal(1, 10));
    let before = BinaryExpr::new(literal(1, 20), Operator::Gt, column);
    let both = BinaryExpr::new(Arc::new(after), Operator::And, Arc::new(before));
    let read = [ColumnId(1), ColumnId(2)];
    let ahead = Ahead::new(&(Arc::new(both) as Arc<dyn PhysicalExpr>), &read);
    let ahead = ahead.unwrap().unwrap();
    assert!(ahead.left(&[Some((10, 19))]).is_none());
    assert!(ahead.left(&[Some((10, 20))]).is_some());
    assert!(ahead.left(&[None]).is_some());
}
