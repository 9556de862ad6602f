//! One condition on one column, read from an expression.

use std::collections::BTreeMap;

use activestore_store::{ZonePredicate, ZoneValue};
use activestore_types::{Column, ColumnId, TableSchema, encode_keys};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList};
use datafusion::scalar::ScalarValue;

/// The most points one condition may list.
const MAX_POINTS: usize = 10_000;

/// A value of a column's own type with its bytes in key order, ascending.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) key: Vec<u8>,
    pub(super) value: ScalarValue,
}

/// A bound and whether its own value belongs to the range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) bound: Bound,
    pub(super) inclusive: bool,
}

/// What a column must satisfy: one of some points (where given) and between two edges.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) points: Option<BTreeMap<Vec<u8>, ScalarValue>>,
    pub(super) low: Option<Edge>,
    pub(super) high: Option<Edge>,
}

pub(super) struct Condition {
    pub(super) column: ColumnId,
    pub(super) limits: Limits,
}

/// The condition that an expression is, exactly; `None` where it is none of these: a column compared
/// with a constant, BETWEEN, IN, or an OR of points of one column.
pub(super) fn read(schema: &TableSchema, expr: &Expr) -> Option<Condition> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => either(read(schema, left)?, read(schema, right)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let (Expr::Column(column), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref())
            {
                compare(schema.column(&column.name)?, *op, value)
            } else if let (Expr::Literal(value, _), Expr::Column(column)) =
                (left.as_ref(), right.as_ref())
            {
                compare(schema.column(&column.name)?, op.swap()?, value)
            } else {
                None
            }
        }
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                (expr.as_ref(), low.as_ref(), high.as_ref())
            else {
                return None;
            };
            let column = schema.column(&column.name)?;
            let mut low = compare(column, Operator::GtEq, low)?;
            low.limits
                .intersect(compare(column, Operator::LtEq, high)?.limits);
            Some(low)
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if list.len() <= MAX_POINTS => {
            let Expr::Column(column) = expr.as_ref() else {
                return None;
            };
            let column = schema.column(&column.name)?;
            let mut points = BTreeMap::new();
            for item in list {
                let Expr::Literal(value, _) = item else {
                    return None;
                };
                if value.is_null() {
                    continue;
                }
                let bound = Bound::new(column, value)?;
                points.insert(bound.key, bound.value);
            }
            Some(Condition {
                column: column.id,
                limits: Limits {
                    points: Some(points),
                    ..Limits::default()
                },
            })
        }
        _ => None,
    }
}

fn compare(column: &Column, op: Operator, value: &ScalarValue) -> Option<Condition> {
    let bound = Bound::new(column, value)?;
    let mut limits = Limits::default();
    let edge = |inclusive| {
        Some(Edge {
            bound: bound.clone(),
            inclusive,
        })
    };
    match op {
        Operator::Eq => {
            limits.points = Some(BTreeMap::from([(bound.key, bound.value)]));
        }
        Operator::Gt => limits.low = edge(false),
        Operator::GtEq => limits.low = edge(true),
        Operator::Lt => limits.high = edge(false),
        Operator::LtEq => limits.high = edge(true),
        _ => return None,
    }
    Some(Condition {
        column: column.id,
        limits,
    })
}

/// `a OR b` where both are points of the same column.
fn either(left: Condition, right: Condition) -> Option<Condition> {
    let only_points = |limits: &Limits| limits.low.is_none() && limits.high.is_none();
    if left.column != right.column || !only_points(&left.limits) || !only_points(&right.limits) {
        return None;
    }
    let mut points = left.limits.points?;
    points.extend(right.limits.points?);
    (points.len() <= MAX_POINTS).then_some(Condition {
        column: left.column,
        limits: Limits {
            points: Some(points),
            ..Limits::default()
        },
    })
}

impl Bound {
    /// The constant as a value of the column's type; `None` where that would lose something.
    fn new(column: &Column, value: &ScalarValue) -> Option<Bound> {
        if value.is_null() {
            return None;
        }
        let wanted = column.data_type.arrow();
        let given = value.data_type();
        let value = if given == wanted {
            value.clone()
        } else {
            let cast = value.cast_to(&wanted).ok()?;
            if cast.is_null() || cast.cast_to(&given).ok()? != *value {
                return None;
            }
            cast
        };
        let array = value.to_array().ok()?;
        let keys = encode_keys(&[(array, false)]).ok()?;
        Some(Bound {
            key: keys.key(0).to_vec(),
            value,
        })
    }
}

impl Limits {
    /// Both hold.
    pub(super) fn intersect(&mut self, other: Limits) {
        self.points = match (self.points.take(), other.points) {
            (Some(mut mine), Some(theirs)) => {
                mine.retain(|key, _| theirs.contains_key(key));
                Some(mine)
            }
            (mine, theirs) => mine.or(theirs),
        };
        if let Some(edge) = other.low {
            let tighter = self.low.as_ref().is_none_or(|mine| {
                (&edge.bound.key, !edge.inclusive) > (&mine.bound.key, !mine.inclusive)
            });
            if tighter {
                self.low = Some(edge);
            }
        }
        if let Some(edge) = other.high {
            let tighter = self.high.as_ref().is_none_or(|mine| {
                (&edge.bound.key, edge.inclusive) < (&mine.bound.key, mine.inclusive)
            });
            if tighter {
                self.high = Some(edge);
            }
        }
    }

    /// The points that lie between the edges, in key order; `None` where no points are given.
    pub(super) fn points(&self) -> Option<Vec<(&Vec<u8>, &ScalarValue)>> {
        let points = self.points.as_ref()?;
        let inside = |key: &Vec<u8>| {
            let above = self
                .low
                .as_ref()
                .is_none_or(|low| *key > low.bound.key || (low.inclusive && *key == low.bound.key));
            let below = self.high.as_ref().is_none_or(|high| {
                *key < high.bound.key || (high.inclusive && *key == high.bound.key)
            });
            above && below
        };
        Some(points.iter().filter(|(key, _)| inside(key)).collect())
    }

    /// Inclusive bounds for zone maps; `None` where the type has none or nothing is bounded.
    pub(super) fn zone(&self, column: ColumnId) -> Option<ZonePredicate> {
        let (low, high) = match self.points() {
            Some(points) => (
                points.first().map(|(_, value)| *value),
                points.last().map(|(_, value)| *value),
            ),
            None => (
                self.low.as_ref().map(|edge| &edge.bound.value),
                self.high.as_ref().map(|edge| &edge.bound.value),
            ),
        };
        let (low, high) = (low.and_then(zone_value), high.and_then(zone_value));
        (low.is_some() || high.is_some()).then_some(ZonePredicate { column, low, high })
    }

    /// The condition as text: `ts >= … AND ts < …`.
    pub(super) fn describe(&self, name: &str) -> String {
        if let Some(points) = self.points() {
            let shown: Vec<String> = points
                .iter()
                .take(5)
                .map(|(_, value)| show(value))
                .collect();
            return match shown.as_slice() {
                [] => format!("{name} = nothing"),
                [one] => format!("{name} = {one}"),
                _ if points.len() > shown.len() => {
                    format!(
                        "{name} IN ({}, … {} values)",
                        shown.join(", "),
                        points.len()
                    )
                }
                _ => format!("{name} IN ({})", shown.join(", ")),
            };
        }
        let edges = [(&self.low, ">"), (&self.high, "<")];
        let parts: Vec<String> = edges
            .into_iter()
            .filter_map(|(edge, sign)| {
                let edge = edge.as_ref()?;
                let equal = if edge.inclusive { "=" } else { "" };
                Some(format!("{name} {sign}{equal} {}", show(&edge.bound.value)))
            })
            .collect();
        parts.join(" AND ")
    }
}

fn show(value: &ScalarValue) -> String {
    let text = match value.to_array() {
        Ok(array) => arrow::util::display::array_value_to_string(&array, 0)
            .unwrap_or_else(|_| value.to_string()),
        Err(_) => value.to_string(),
    };
    text.chars().take(64).collect()
}

/// The value as zone maps have it; `None` where its type has none.
pub(crate) fn zone_value(value: &ScalarValue) -> Option<ZoneValue> {
    Some(match value {
        ScalarValue::Boolean(Some(value)) => ZoneValue::Bool(*value),
        ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => {
            ZoneValue::Int(i64::from(*value))
        }
        ScalarValue::Int64(Some(value)) | ScalarValue::TimestampNanosecond(Some(value), _) => {
            ZoneValue::Int(*value)
        }
        ScalarValue::Decimal128(Some(value), _, _) => ZoneValue::Decimal(*value),
        ScalarValue::Float32(Some(value)) => ZoneValue::Float(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => ZoneValue::Float(*value),
        ScalarValue::Utf8(Some(value)) => ZoneValue::Bytes(value.clone().into_bytes()),
        ScalarValue::Binary(Some(value)) => ZoneValue::Bytes(value.clone()),
        _ => return None,
    })
}
