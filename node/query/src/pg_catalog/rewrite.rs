//! Statements of PostgreSQL's tools in words that the planner has. Each change says the same as what it replaces:
//!
//! - names of functions, operators and types lose `pg_catalog.`; relations of the catalog that are named alone get it;
//! - `COLLATE` goes, for there is one collation;
//! - `::regclass` and its like become functions that look up names and numbers;
//! - what is selected from a relation that has no rows is no rows, so that nothing of it has to be planned.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, JoinOperator, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
    VisitMut, VisitorMut,
};

use super::PG_CATALOG;
use super::relations::{has_no_rows, names};

/// What a text holds that may be about the catalog.
const SIGNS: [&str; 12] = [
    "pg_",
    "::reg",
    "version(",
    "current_",
    "session_user",
    "_description",
    "has_",
    "quote_ident",
    "to_regclass",
    "format_type",
    " user",
    "as reg",
];
/// Longer texts are not of tools that ask about the catalog.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Whether a statement may be about the catalog; others are left as they are.
pub(crate) fn mentions(sql: &str) -> bool {
    if sql.len() > TEXT_BYTES_MAX {
        return false;
    }
    let sql = sql.to_ascii_lowercase();
    SIGNS.iter().any(|sign| sql.contains(sign))
}

/// Brings a statement to our words.
pub(crate) fn rewrite(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let _never_broken = statement.visit(&mut Rewrite);
        }
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        _ => {}
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if emptied(&mut query.body) {
            // It may order by what is no longer there, and there is nothing to order.
            query.order_by = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice() {
            let name = name.value.to_lowercase();
            if names().any(|known| known == name) {
                let schema = ObjectNamePart::Identifier(Ident::new(PG_CATALOG));
                relation.0.insert(0, schema);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, .. } = factor
        {
            unqualify(name);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Function(function) => {
                unqualify(&mut function.name);
                if let Some(list) = no_list(function) {
                    *expression = list;
                }
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(plain) = parts.last().and_then(|part| operator(part))
                {
                    *op = plain;
                }
            }
            Expr::Collate { expr, .. } => {
                let inner = std::mem::replace(expr.as_mut(), null());
                *expression = inner;
            }
            Expr::Cast {
                expr,
                data_type,
                kind: CastKind::DoubleColon | CastKind::Cast,
                ..
            } => {
                if let Some(other) = cast(expr, data_type) {
                    *expression = other;
                }
            }
            // A query that gives no row gives NULL.
            Expr::Subquery(query) if is_nothing(&query.body) => *expression = null(),
            Expr::Exists { subquery, negated } if is_nothing(&subquery.body) => {
                let value = Value::Boolean(*negated);
                *expression = Expr::Value(value.with_empty_span());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

fn unqualify(name: &mut ObjectName) {
    if let [ObjectNamePart::Identifier(schema), _] = name.0.as_slice()
        && schema.value.eq_ignore_ascii_case(PG_CATALOG)
    {
        name.0.remove(0);
    }
}

fn operator(part: &str) -> Option<BinaryOperator> {
    Some(match part {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// `ARRAY(SELECT …)` of no rows is the list without elements.
fn no_list(function: &Function) -> Option<Expr> {
    let is_array = function.name.to_string().eq_ignore_ascii_case("array");
    match &function.args {
        FunctionArguments::Subquery(query) if is_array && is_nothing(&query.body) => {
            let value = Value::SingleQuotedString("{}".to_owned());
            Some(Expr::Value(value.with_empty_span()))
        }
        _ => None,
    }
}

/// A cast to one of PostgreSQL's own types.
fn cast(expr: &mut Expr, data_type: &mut DataType) -> Option<Expr> {
    let name = match &*data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => match name.0.last()? {
            ObjectNamePart::Identifier(name) => name.value.to_lowercase(),
            ObjectNamePart::Function(_) => return None,
        },
        _ => return None,
    };
    let is_text =
        matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
    let function = match (name.as_str(), is_text) {
        ("regclass", true) => "pg_oid_of_relation",
        ("regclass", false) => "pg_name_of_relation",
        ("regtype", true) => "pg_oid_of_type",
        ("regtype", false) => "pg_name_of_type",
        ("regnamespace", false) => "pg_name_of_schema",
        ("oid" | "xid" | "cid" | "int8" | "int4" | "int2", _) => {
            *data_type = DataType::BigInt(None);
            return None;
        }
        (
            "name" | "char" | "text" | "regproc" | "regrole" | "cstring" | "varchar" | "bpchar",
            _,
        ) => {
            *data_type = DataType::Text;
            return None;
        }
        ("bool", _) => {
            *data_type = DataType::Boolean;
            return None;
        }
        _ => return None,
    };
    let inner = std::mem::replace(expr, null());
    Some(call(function, inner))
}

fn call(name: &str, argument: Expr) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Takes the relations out of parts that select from one without rows; whether all of it is without rows then.
fn emptied(body: &mut SetExpr) -> bool {
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

fn is_nothing(body: &SetExpr) -> bool {
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
fn aggregates(expression: &Expr) -> bool {
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
fn named(expression: &Expr) -> String {
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
