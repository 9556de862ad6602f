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
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, VisitMut, VisitorMut,
    visit_expressions_mut,
};

use super::PG_CATALOG;
use super::emptiness::{emptied, is_nothing, named};
use super::lists;
use super::relations::names;
use super::subquery::{counted, gathered, one_row, reads_catalog};

/// What a text holds that may be about the catalog.
const SIGNS: [&str; 16] = [
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
    "array_lower(",
    "array_upper(",
    "generate_subscripts(",
    "parse_ident(",
];
/// What the names of lists of options and of rights begin with in the catalog; other columns may end as they do.
const NEVER_SET: [&str; 16] = [
    "att", "attfdw", "dat", "defacl", "fdw", "ft", "lan", "lom", "nsp", "par", "pro", "rel", "spc",
    "srv", "typ", "um",
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

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        tell_apart(&mut select.projection);
        let _never_broken = visit_expressions_mut(&mut select.projection, |expression| {
            counted(expression);
            ControlFlow::<()>::Continue(())
        });
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
                if let Some(of_list) = lists::rewritten(function) {
                    *expression = of_list;
                } else if let Some(list) = list(function) {
                    *expression = list;
                }
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                if let Some(is_in) = lists::in_search_path(expr, subquery, *negated) {
                    *expression = is_in;
                }
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let Some(field) = lists::field(root, access_chain) {
                    *expression = field;
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
            Expr::Like {
                pattern,
                escape_char,
                ..
            } if escape_char
                .as_ref()
                .is_some_and(|escape| is_other(&escape.value)) =>
            {
                if let Some(Value::SingleQuotedString(escape)) =
                    escape_char.take().map(|escape| escape.value)
                {
                    let inner = std::mem::replace(pattern.as_mut(), null());
                    **pattern = replaced(replaced(inner, "\\", "\\\\"), &escape, "\\");
                }
            }
            // A query that gives no row gives NULL; one that may give one row gives the greatest of its rows.
            Expr::Subquery(query) if is_nothing(&query.body) => *expression = null(),
            Expr::Subquery(query) => one_row(query),
            Expr::Exists { subquery, negated } if is_nothing(&subquery.body) => {
                let value = Value::Boolean(*negated);
                *expression = Expr::Value(value.with_empty_span());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A column that stands beside all columns of its table gets a name of its own, which the planner wants.
fn tell_apart(projection: &mut [SelectItem]) {
    let tables: Vec<String> = projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                Some(name.to_string())
            }
            _ => None,
        })
        .collect();
    for item in projection {
        let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = &*item else {
            continue;
        };
        if let [table, column] = parts.as_slice()
            && tables.contains(&table.to_string())
        {
            let alias = Ident::with_quote('"', format!("{}_1", column.value));
            *item = SelectItem::ExprWithAlias {
                expr: Expr::CompoundIdentifier(parts.clone()),
                alias,
            };
        }
    }
}

pub(super) fn null() -> Expr {
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

/// `ARRAY(SELECT …)`: of no rows it is the list without elements.
fn list(function: &Function) -> Option<Expr> {
    let is_array = function.name.to_string().eq_ignore_ascii_case("array");
    match &function.args {
        FunctionArguments::Subquery(query)
            if is_array && (is_nothing(&query.body) || has_nothing(&query.body)) =>
        {
            Some(call("make_array", None))
        }
        FunctionArguments::Subquery(query) if is_array => gathered(query),
        _ => None,
    }
}

/// Whether it goes through a list that no object here has, or asks for objects that have one.
fn has_nothing(body: &SetExpr) -> bool {
    let SetExpr::Select(select) = body else {
        return false;
    };
    if reads_catalog(select)
        && select
            .selection
            .as_ref()
            .is_some_and(asks_for_what_is_never_set)
    {
        return true;
    }
    let [from] = select.from.as_slice() else {
        return false;
    };
    let (name, args) = match &from.relation {
        TableFactor::Table {
            name,
            args: Some(args),
            ..
        } => (name, &args.args),
        TableFactor::Function { name, args, .. } => (name, args),
        TableFactor::UNNEST { array_exprs, .. } => {
            return array_exprs.iter().all(is_never_set);
        }
        _ => return false,
    };
    let last = name.0.last().map(ToString::to_string).unwrap_or_default();
    last.eq_ignore_ascii_case("unnest")
        && args.iter().all(|arg| {
            matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) if is_never_set(expression))
        })
}

fn asks_for_what_is_never_set(condition: &Expr) -> bool {
    match condition {
        Expr::IsNotNull(expression) => is_never_set(expression),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => asks_for_what_is_never_set(left) || asks_for_what_is_never_set(right),
        Expr::Nested(inner) => asks_for_what_is_never_set(inner),
        _ => false,
    }
}

/// Lists of options and of rights of objects, which are NULL here.
fn is_never_set(expression: &Expr) -> bool {
    let name = named(expression);
    let start = name
        .strip_suffix("options")
        .or_else(|| name.strip_suffix("acl"));
    start.is_some_and(|start| NEVER_SET.contains(&start))
}

/// Whether a pattern is escaped by another character than the planner knows.
fn is_other(escape: &Value) -> bool {
    matches!(escape, Value::SingleQuotedString(escape) if escape != "\\" && !escape.is_empty())
}

/// `replace(text, from, to)`.
fn replaced(text: Expr, from: &str, to: &str) -> Expr {
    let quoted = |text: &str| {
        let value = Value::SingleQuotedString(text.to_owned());
        Expr::Value(value.with_empty_span())
    };
    call("replace", [text, quoted(from), quoted(to)])
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
    let is_text = matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_) | Value::Placeholder(_)));
    let function = match (name.as_str(), is_text) {
        ("regclass", true) => "pg_oid_of_relation",
        ("regclass", false) => "pg_name_of_relation",
        ("regtype", true) => "pg_oid_of_type",
        ("regtype", false) => "pg_name_of_type",
        ("regnamespace", true) => "pg_oid_of_schema",
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
    Some(call(function, Some(inner)))
}

pub(super) fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    let arguments = arguments.into_iter();
    let arguments = arguments.map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
