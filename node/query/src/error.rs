//! DataFusion's errors in the program's words: by what the caller must do, without its internals.

mod told;

use activestore_types::{Error, ErrorKind};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::parse::syntax;
use crate::session::CATALOG;

/// Functions of SQL that go with OVER alone.
const WINDOWS: [&str; 9] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "nth_value",
];

/// Our error for one of DataFusion's.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(error) => from_datafusion(*error),
                Err(other) => internal(&other.to_string()),
            },
        },
        DataFusionError::ArrowError(error, _) => from_arrow(*error),
        DataFusionError::Shared(error) => shared(&error),
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => {
            from_datafusion(*error)
        }
        DataFusionError::Collection(errors) => errors
            .into_iter()
            .next()
            .map_or_else(|| Error::internal("the query failed"), from_datafusion),
        DataFusionError::SQL(error, _) => syntax(&error),
        DataFusionError::Plan(message) => plan(&message),
        DataFusionError::SchemaError(error, _) => schema(&error),
        DataFusionError::ResourcesExhausted(message) => overloaded(&message),
        DataFusionError::NotImplemented(message) => told::mistake(&message)
            .unwrap_or_else(|| Error::invalid(format!("not available: {}", clean(&message)))),
        DataFusionError::Execution(message) | DataFusionError::Configuration(message) => {
            invalid(&message)
        }
        DataFusionError::IoError(error) => error.into(),
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => {
            Error::closed("the query was stopped")
        }
        DataFusionError::ExecutionJoin(error) => {
            Error::internal(format!("the query failed: {error}"))
        }
        DataFusionError::Internal(message) => internal(&message),
        other => internal(&other.strip_backtrace()),
    }
}

/// A mistake, in our words where we have some for it.
fn invalid(message: &str) -> Error {
    told::mistake(message).unwrap_or_else(|| Error::invalid(clean(message)))
}

/// What DataFusion takes for a defect of its own, which may be a mistake in the statement.
fn internal(message: &str) -> Error {
    told::mistake(message).unwrap_or_else(|| {
        Error::internal(clean(told::unreported(message)))
            .with_hint("this is a defect; please report the statement")
    })
}

/// Our error as one of DataFusion's, kept whole inside.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error of a panic in a plan: a defect, but no reason to end the node.
pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    Error::internal(format!("the query failed unexpectedly: {what}"))
        .with_hint("this is a defect; please report the statement")
}

fn shared(error: &DataFusionError) -> Error {
    // A shared error cannot be taken apart; its kind is found by what it holds.
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => internal(&inner.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => overloaded(message),
        DataFusionError::ArrowError(error, _) => invalid(&arrow_message(error)),
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => invalid(message),
        other => internal(&other.strip_backtrace()),
    }
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(error) => from_datafusion(*error),
                Err(other) => internal(&other.to_string()),
            },
        },
        ArrowError::MemoryError(message) => overloaded(&message),
        other => invalid(&arrow_message(&other)),
    }
}

fn arrow_message(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::InvalidArgumentError(message) => clean(message),
        other => clean(&other.to_string()),
    }
}

fn overloaded(message: &str) -> Error {
    let first = message.lines().next().unwrap_or(message);
    Error::new(
        ErrorKind::Overloaded,
        format!(
            "the query needs more memory than the node gives to queries: {}",
            clean(first)
        ),
    )
    .with_hint("narrow it with WHERE or LIMIT, group by fewer values, or raise limits.query_memory")
}

fn plan(message: &str) -> Error {
    if let Some(mistake) = told::mistake(message) {
        return mistake;
    }
    let message = clean(message);
    if let Some(name) = message
        .strip_prefix("table '")
        .and_then(|rest| rest.strip_suffix("' not found"))
    {
        return Error::not_found(format!("there is no table '{name}'"))
            .with_hint("SHOW TABLES lists them");
    }
    if let Some(name) = message
        .strip_prefix("Invalid function '")
        .and_then(|rest| rest.split('\'').next())
    {
        if WINDOWS.contains(&name.to_ascii_lowercase().as_str()) {
            return Error::invalid(format!("{name}() is a window function and goes with OVER"))
                .with_hint(format!(
                    "as in {name}(…) OVER (PARTITION BY device ORDER BY ts)"
                ));
        }
        let error = Error::not_found(format!("there is no function '{name}'"));
        return match message
            .split_once("Did you mean '")
            .and_then(|(_, rest)| rest.split('\'').next())
        {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error,
        };
    }
    Error::invalid(message)
}

fn schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let names: Vec<&str> = valid_fields
                .iter()
                .map(|valid| valid.name.as_str())
                .collect();
            let error = Error::not_found(format!("there is no column '{}'", field.name));
            match activestore_catalog::nearest(&field.name, names.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None if names.is_empty() => error,
                None => error.with_hint(format!(
                    "the columns here are {}",
                    names
                        .iter()
                        .take(20)
                        .copied()
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
            }
        }
        SchemaError::AmbiguousReference { field } => Error::invalid(format!(
            "column '{}' is in more than one table here",
            field.name
        ))
        .with_hint("write the table before it: table.column"),
        other => Error::invalid(clean(&other.to_string())),
    }
}

/// The message on one line, without the words that only make sense inside DataFusion.
fn clean(message: &str) -> String {
    let catalog = format!("{CATALOG}.");
    let text = message
        .replace(&catalog, "")
        .replace("Error during planning: ", "")
        .replace("Execution error: ", "")
        .replace("Arrow error: ", "");
    let text = text
        .split("\n\nbacktrace:")
        .next()
        .unwrap_or(&text)
        .trim()
        .trim_end_matches('.');
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
