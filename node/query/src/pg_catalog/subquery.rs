//! Queries of the catalog within expressions, as the planner takes them: each gives one value.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor, Value,
};

use super::emptiness::aggregates;
use super::relations::names;
use super::rewrite::{call, null};

/// `EXISTS (SELECT …)` among columns, where the planner has none, as `(SELECT count(*) > 0 …)`.
pub(super) fn counted(expression: &mut Expr) {
    let Expr::Exists { subquery, negated } = expression else {
        return;
    };
    let op = if *negated {
        BinaryOperator::Eq
    } else {
        BinaryOperator::Gt
    };
    let SetExpr::Select(select) = subquery.body.as_mut() else {
        return;
    };
    if !reads_catalog(select) {
        return;
    }
    let zero = Value::Number("0".to_owned(), false).with_empty_span();
    let one = Value::Number("1".to_owned(), false).with_empty_span();
    select.projection = vec![SelectItem::UnnamedExpr(Expr::BinaryOp {
        left: Box::new(call("count", Some(Expr::Value(one)))),
        op,
        right: Box::new(Expr::Value(zero)),
    })];
    let query = subquery.clone();
    *expression = Expr::Subquery(query);
}

/// A query of the catalog by a number gives one row or none, which the planner does not know.
pub(super) fn one_row(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if grouped || query.limit_clause.is_some() || !reads_catalog(select) {
        return;
    }
    if let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
        && !aggregates(item)
    {
        let inner = std::mem::replace(item, null());
        *item = call("max", Some(inner));
        query.order_by = None;
    }
}

/// Whether it reads relations of the catalog and nothing else.
pub(super) fn reads_catalog(select: &Select) -> bool {
    let is_catalog = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name, args: None, ..
        } => {
            let last = name.0.last().map(|part| part.to_string().to_lowercase());
            last.is_some_and(|last| names().any(|known| known == last))
        }
        _ => false,
    };
    !select.from.is_empty()
        && select.from.iter().all(|from| {
            is_catalog(&from.relation) && from.joins.iter().all(|join| is_catalog(&join.relation))
        })
}

/// `ARRAY(SELECT x …)` as `(SELECT array_agg(x) …)`.
pub(super) fn gathered(query: &Query) -> Option<Expr> {
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    // An aggregate is one row, so a bound would leave out none of those that it is made of.
    if query.limit_clause.is_some() || query.fetch.is_some() || !reads_catalog(select) {
        return None;
    }
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let inner = std::mem::replace(item, null());
    *item = call("array_agg", Some(inner));
    query.order_by = None;
    Some(Expr::Subquery(Box::new(query)))
}
