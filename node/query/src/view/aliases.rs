//! Names of a view's query, written out. In GROUP BY and HAVING a column of the table goes before an alias of SELECT, and
//! the text is planned each time anew: `GROUP BY w` would mean something else as soon as the table got a column `w`. So
//! what an alias stands for when the view is made is put in its place. Columns of a query of several tables are named with
//! their tables for the same reason: one that another table gets later would make a bare name mean two of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use std::sync::Arc;

use activestore_types::{Error, Result, TableSchema};
use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, SelectItem, SetExpr,
    Statement as SqlStatement, VisitMut, visit_expressions_mut,
};

/// A table of the query, as columns name it.
type Named = (TableReference, Arc<TableSchema>);

/// The query without aliases that its clauses name, and with tables before the columns where it has several; `None` where
/// it stays as it is.
///
/// # Errors
/// `Invalid` for a `*` behind SELECT and for a NATURAL JOIN, which would come to mean more.
pub(super) fn written_out(statement: Statement, tables: &[Named]) -> Result<Option<String>> {
    let Statement::Statement(mut statement) = statement else {
        return Ok(None);
    };
    let SqlStatement::Query(query) = statement.as_mut() else {
        return Ok(None);
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Ok(None);
    };
    let mut aliases = BTreeMap::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let alias = name(alias);
                if tables
                    .iter()
                    .all(|(_, table)| table.column(&alias).is_none())
                {
                    aliases.insert(alias, expr.clone());
                }
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(_, _) => {
                return Err(Error::invalid(
                    "the columns of a view are named one by one: * would mean more of them once its table gets another",
                ));
            }
            _ => {}
        }
    }
    let mut changed = replace(&mut select.having, &aliases);
    changed |= replace(&mut select.group_by, &aliases);
    if let GroupByExpr::Expressions(groups, _) = &mut select.group_by {
        for group in groups {
            if let Expr::Nested(inner) = group {
                *group = inner.as_ref().clone();
            }
        }
    }
    if tables.len() > 1 {
        let mut joins = select.from.iter().flat_map(|from| &from.joins);
        if joins.any(is_natural) {
            return Err(Error::invalid(
                "a view says what its tables are joined by: NATURAL JOIN would mean more once both get a column of one name",
            )
            .with_hint("say JOIN … USING (…), or JOIN … ON …"));
        }
        changed |= qualify(select.as_mut(), tables);
    }
    Ok(changed.then(|| statement.to_string()))
}

/// Puts what aliases stand for in their places; whether there was one.
fn replace(clause: &mut impl VisitMut, aliases: &BTreeMap<String, Expr>) -> bool {
    let mut changed = false;
    let _never_broken = visit_expressions_mut(clause, |expression| {
        if let Expr::Identifier(ident) = expression
            && let Some(meant) = aliases.get(&name(ident))
        {
            *expression = match meant {
                Expr::Function(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                    meant.clone()
                }
                _ => Expr::Nested(Box::new(meant.clone())),
            };
            changed = true;
        }
        ControlFlow::<()>::Continue(())
    });
    changed
}

fn is_natural(join: &Join) -> bool {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => matches!(constraint, JoinConstraint::Natural),
        _ => false,
    }
}

/// Puts the table before each column that has none; whether there was one. What several tables have is what they are
/// joined by, and so the same in all rows of the first.
fn qualify(select: &mut impl VisitMut, tables: &[Named]) -> bool {
    let mut changed = false;
    let _never_broken = visit_expressions_mut(select, |expression| {
        if let Expr::Identifier(ident) = expression {
            let meant = name(ident);
            let mut of = tables
                .iter()
                .filter(|(_, table)| table.column(&meant).is_some());
            if let Some((table, _)) = of.next() {
                let parts = [
                    table.catalog(),
                    table.schema(),
                    Some(table.table()),
                    Some(&meant),
                ];
                let parts = parts.into_iter().flatten();
                *expression = Expr::CompoundIdentifier(
                    parts.map(|part| Ident::with_quote('"', part)).collect(),
                );
                changed = true;
            }
        }
        ControlFlow::<()>::Continue(())
    });
    changed
}

/// A name as it is looked up: in small letters unless it is quoted.
fn name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}
