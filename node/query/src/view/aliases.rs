//! Names of a view's query, written out. In GROUP BY and HAVING a column of the table goes before an alias of SELECT, and
//! the text is planned each time anew: `GROUP BY w` would mean something else as soon as the table got a column `w`. So
//! what an alias stands for when the view is made is put in its place.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use activestore_types::{Error, Result, TableSchema};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, SelectItem, SetExpr, Statement as SqlStatement, VisitMut,
    visit_expressions_mut,
};

/// The query without aliases that its clauses name; `None` where they name none.
///
/// # Errors
/// `Invalid` for a `*` behind SELECT, which would come to mean more.
pub(super) fn written_out(statement: Statement, base: &TableSchema) -> Result<Option<String>> {
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
                if base.column(&alias).is_none() {
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

/// A name as it is looked up: in small letters unless it is quoted.
fn name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}
