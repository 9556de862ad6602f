//! Calls of table functions as a statement writes them: `FROM ticks($1, step => '1 hour')`. DataFusion plans
//! such a call before it knows the parameters and takes arguments in their order alone, so both are settled
//! in the parsed statement: parameters become constants, named arguments go to their places.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use activestore_types::{Error, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, TableFactor, UnaryOperator, Value as Literal, VisitMut,
    VisitorMut, visit_expressions_mut,
};
use serde_json::Value;

use crate::measure::Registered;
use crate::params::Param;

/// Settles the arguments of every call of a table function in `statement`.
///
/// # Errors
/// `Invalid` for a parameter without a value, and for names of arguments that the function does not have.
pub(crate) fn settle(
    statement: &mut Statement,
    params: &[Param],
    functions: &BTreeMap<String, Registered>,
) -> Result<()> {
    let mut calls = Calls { params, functions };
    let mut statement = statement;
    loop {
        statement = match statement {
            Statement::Statement(statement) => {
                return match statement.visit(&mut calls) {
                    ControlFlow::Break(error) => Err(error),
                    ControlFlow::Continue(()) => Ok(()),
                };
            }
            Statement::Explain(explain) => explain.statement.as_mut(),
            _ => return Ok(()),
        };
    }
}

struct Calls<'a> {
    params: &'a [Param],
    functions: &'a BTreeMap<String, Registered>,
}

impl VisitorMut for Calls<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let (name, args) = match factor {
            TableFactor::Table {
                name,
                args: Some(args),
                ..
            } => (name.to_string(), &mut args.args),
            TableFactor::Function { name, args, .. } => (name.to_string(), args),
            _ => return ControlFlow::Continue(()),
        };
        self.call(&name, args)
    }
}

impl Calls<'_> {
    fn call(&self, name: &str, args: &mut Vec<FunctionArg>) -> ControlFlow<Error> {
        visit_expressions_mut(args, |expression| match self.constant(expression) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        })?;
        if let Some(Registered::Table(function)) = self.functions.get(name)
            && let Err(error) = in_order(name, function.arg_names(), args)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    /// Puts a parameter's value in its place.
    fn constant(&self, expression: &mut Expr) -> Result<()> {
        let Expr::Value(value) = expression else {
            return Ok(());
        };
        let Literal::Placeholder(placeholder) = &value.value else {
            return Ok(());
        };
        let number = placeholder
            .strip_prefix('$')
            .and_then(|digits| digits.parse::<usize>().ok());
        let Some(number) = number else {
            return Err(
                Error::invalid(format!("'{placeholder}' is not a parameter"))
                    .with_hint("parameters are $1, $2, …"),
            );
        };
        let given = number
            .checked_sub(1)
            .and_then(|place| self.params.get(place));
        let Some(given) = given else {
            return Err(Error::invalid(format!(
                "the statement uses ${number}, but {} parameters were given",
                self.params.len()
            )));
        };
        *expression = literal(&given.json());
        Ok(())
    }
}

/// A parameter as SQL says it; its type is that of [`crate::params`].
fn literal(value: &Value) -> Expr {
    let value = match value {
        Value::Null => Literal::Null,
        Value::Bool(value) => Literal::Boolean(*value),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(positive) = text.strip_prefix('-') {
                let positive = Literal::Number(positive.to_owned(), false);
                return Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(Expr::Value(positive.with_empty_span())),
                };
            }
            Literal::Number(text, false)
        }
        Value::String(text) => Literal::SingleQuotedString(text.clone()),
        Value::Array(_) | Value::Object(_) => Literal::SingleQuotedString(value.to_string()),
    };
    Expr::Value(value.with_empty_span())
}

/// Brings named arguments to their places, after those that have no name.
fn in_order(function: &str, names: &[String], args: &mut Vec<FunctionArg>) -> Result<()> {
    let is_named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
    let Some(first) = args.iter().position(is_named) else {
        return Ok(());
    };
    let usage = || format!("its arguments are {}", names.join(", "));
    let mut places: Vec<Option<FunctionArgExpr>> = vec![None; names.len()];
    for (number, arg) in args.drain(..).enumerate() {
        let (name, value) = match arg {
            FunctionArg::Unnamed(value) if number < first => {
                let place = places.get_mut(number).ok_or_else(|| {
                    Error::invalid(format!("{function}() is given too many arguments"))
                        .with_hint(usage())
                })?;
                *place = Some(value);
                continue;
            }
            FunctionArg::Unnamed(_) => {
                return Err(Error::invalid(format!(
                    "{function}() is given an argument without a name after one that has one"
                ))
                .with_hint(usage()));
            }
            FunctionArg::Named { name, arg, .. } => (name.value, arg),
            FunctionArg::ExprNamed { name, arg, .. } => match name {
                Expr::Identifier(name) => (name.value, arg),
                name => (name.to_string(), arg),
            },
        };
        let place = names.iter().position(|one| *one == name);
        let place = place
            .and_then(|place| places.get_mut(place))
            .ok_or_else(|| {
                Error::invalid(format!("{function}() has no argument '{name}'")).with_hint(usage())
            })?;
        if place.replace(value).is_some() {
            return Err(Error::invalid(format!(
                "{function}() is given its argument '{name}' twice"
            )));
        }
    }
    for (place, name) in places.into_iter().zip(names) {
        let value = place.ok_or_else(|| {
            Error::invalid(format!("{function}() is not given its argument '{name}'"))
                .with_hint(usage())
        })?;
        args.push(FunctionArg::Unnamed(value));
    }
    Ok(())
}
