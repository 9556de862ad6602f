//! DataFusion's errors in the program's words: by what the caller must do, without its internals.

use activestore_types::{Error, ErrorKind};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::parse::syntax;
use crate::session::CATALOG;

/// Our error for one of DataFusion's.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(error) => from_datafusion(*error),
                Err(other) => Error::internal(other.to_string()),
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
        DataFusionError::NotImplemented(message) => {
            Error::invalid(format!("not available: {}", clean(&message)))
        }
        DataFusionError::Execution(message) | DataFusionError::Configuration(message) => {
            Error::invalid(clean(&message))
        }
        DataFusionError::IoError(error) => error.into(),
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => {
            Error::closed("the query was stopped")
        }
        DataFusionError::ExecutionJoin(error) => {
            Error::internal(format!("the query failed: {error}"))
        }
        other => Error::internal(clean(&other.strip_backtrace())),
    }
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
            None => Error::internal(inner.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => overloaded(message),
        DataFusionError::ArrowError(error, _) => Error::invalid(arrow_message(error)),
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => Error::invalid(clean(message)),
        other => Error::internal(clean(&other.strip_backtrace())),
    }
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(error) => from_datafusion(*error),
                Err(other) => Error::internal(other.to_string()),
            },
        },
        ArrowError::MemoryError(message) => overloaded(&message),
        other => Error::invalid(arrow_message(&other)),
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
