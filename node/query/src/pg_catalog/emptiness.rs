//! Selections from relations that have no rows: they become selections of nothing, with the same names of columns, so
//! that nothing of them has to be planned.

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinOperator, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value,
};

use super::PG_CATALOG;
use super::relations::has_no_rows;
use super::rewrite::null;

/// Takes the relations out of parts that select from one without rows; whether all of it is without rows then.
pub(super) fn emptied(body: &mut SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => {
            if selects_nothing(select) {
                empty(select);
            }
            is_emptied(select)
        }
        SetExpr::SetOperation { left, right, .. } => {
            let (left, right) = (emptied(left), emptied(right));
            left && right
        }
        SetExpr::Query(query) => emptied(&mut query.body),
        _ => false,
    }
}

pub(super) fn is_nothing(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => is_emptied(select),
        SetExpr::SetOperation { left, right, .. } => is_nothing(left) && is_nothing(right),
        SetExpr::Query(query) => is_nothing(&query.body),
        _ => false,
    }
}

fn is_emptied(select: &Select) -> bool {
    let never = matches!(&select.selection, Some(Expr::Value(value)) if value.value == Value::Boolean(false));
    select.from.is_empty() && never
}

/// Whether it joins a relation without rows, and makes no row of none as an aggregate would.
fn selects_nothing(select: &Select) -> bool {
    let plain = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let named = select.projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(expression)
        | SelectItem::ExprWithAlias {
            expr: expression, ..
        } => !aggregates(expression),
        _ => false,
    });
    plain && named && select.having.is_none() && select.from.iter().any(is_without_rows)
}

/// Any call of these makes one row of none; that of another name is looked at no further.
pub(super) fn aggregates(expression: &Expr) -> bool {
    const NAMES: [&str; 8] = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "string_agg",
        "array_agg",
        "bool_or",
    ];
    match expression {
        Expr::Function(function) => {
            let name = function
                .name
                .0
                .last()
                .map(ToString::to_string)
                .unwrap_or_default();
            NAMES.contains(&name.to_lowercase().as_str())
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => aggregates(expr),
        Expr::BinaryOp { left, right, .. } => aggregates(left) || aggregates(right),
        _ => false,
    }
}

fn is_without_rows(from: &TableWithJoins) -> bool {
    let joined = from.joins.iter().any(|join| {
        let inner = matches!(
            join.join_operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        );
        inner && is_empty_relation(&join.relation)
    });
    let kept = from.joins.iter().any(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    });
    !kept && (joined || is_empty_relation(&from.relation))
}

fn is_empty_relation(factor: &TableFactor) -> bool {
    let TableFactor::Table {
        name, args: None, ..
    } = factor
    else {
        return false;
    };
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| part.to_string().to_lowercase())
        .collect();
    match parts.as_slice() {
        [name] => has_no_rows(name),
        [schema, name] => schema == PG_CATALOG && has_no_rows(name),
        _ => false,
    }
}

/// Leaves the names of the columns, and no row.
fn empty(select: &mut Select) {
    let mut used: Vec<String> = Vec::new();
    for item in &mut select.projection {
        let mut alias = match &*item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::UnnamedExpr(expression) => Ident::with_quote('"', named(expression)),
            _ => continue,
        };
        if used.contains(&alias.value) {
            // The planner wants names that differ.
            alias = Ident::with_quote('"', format!("{}_{}", alias.value, used.len()));
        }
        used.push(alias.value.clone());
        *item = SelectItem::ExprWithAlias {
            expr: null(),
            alias,
        };
    }
    select.from.clear();
    select.distinct = None;
    select.selection = Some(Expr::Value(Value::Boolean(false).with_empty_span()));
}

/// What PostgreSQL calls a column without a name.
pub(super) fn named(expression: &Expr) -> String {
    match expression {
        Expr::Identifier(name) => name.value.to_lowercase(),
        Expr::CompoundIdentifier(parts) => parts
            .last()
            .map_or_else(String::new, |part| part.value.to_lowercase()),
        Expr::Function(function) => {
            let last = function.name.0.last();
            last.map_or_else(String::new, |part| part.to_string().to_lowercase())
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) => named(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}
