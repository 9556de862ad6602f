//! What DataFusion says of a statement that it cannot plan, as its asker's mistake: a call, an operator or a regular
//! expression that does not fit, in one sentence and by the names that types have in SQL. Such a mistake may come as an
//! internal error with a request to report it, or as a page of signatures and syntax trees.

use std::str::FromStr;

use activestore_types::{DataType, Error};
use arrow::datatypes::DataType as ArrowType;

/// So many ways to call a function are told.
const WAYS_MAX: usize = 8;
/// What DataFusion puts behind errors of its own.
const REPORT: &str = "This issue was likely caused by a bug in DataFusion";

/// The mistake that a message speaks of; `None` where it is another one.
pub(super) fn mistake(message: &str) -> Option<Error> {
    call(message)
        .or_else(|| operands(message))
        .or_else(|| pattern(message))
        .or_else(|| place(message))
}

/// A message without the request to report it to somebody else.
pub(super) fn unreported(message: &str) -> &str {
    let text = message.split(REPORT).next().unwrap_or(message);
    text.trim().trim_start_matches("Internal error: ")
}

/// A call with arguments that its function does not take.
fn call(message: &str) -> Option<Error> {
    let (before, behind) =
        message.split_once("No function matches the given name and argument types '")?;
    let (given, behind) = behind.split_once("'. You might")?;
    let (name, given) = given.strip_suffix(')')?.split_once('(')?;
    let mut text = match given.is_empty() {
        true => format!("{name}() does not go without arguments"),
        false => format!("{name}() does not take ({})", types(given)),
    };
    let ways = ways(name, behind.split_once("Candidate functions:")?.1);
    match before.split_once("user-defined coercion failed with: ") {
        Some((_, why)) => {
            let why = why.trim_start_matches("Error during planning: ");
            let why = why.trim_start_matches("Execution error: ").trim();
            text = format!("{text}: {}", in_sql(why.trim_end_matches('.')));
        }
        None if ways.is_empty() => {}
        None => text = format!("{text}, but {}", ways.join(" or ")),
    }
    let error = Error::invalid(text);
    Some(match ways.is_empty() {
        true => error,
        false => error.with_hint("CAST(… AS …) makes another type of an argument"),
    })
}

/// What a function takes, each way once.
fn ways(name: &str, candidates: &str) -> Vec<String> {
    let mut ways: Vec<String> = Vec::new();
    let mut rest = candidates;
    let open = format!("{name}(");
    while let Some((_, behind)) = rest.split_once(open.as_str()) {
        let Some(end) = closing(behind) else {
            break;
        };
        let (args, left) = behind.split_at(end);
        rest = left;
        let way = match args {
            "UserDefined" => return Vec::new(),
            "NullAry()" => "()".to_owned(),
            args => format!("({})", types(args)),
        };
        if !ways.contains(&way) && ways.len() < WAYS_MAX {
            ways.push(way);
        }
    }
    ways
}

/// Where the bracket closes that was opened before a text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    text.char_indices().find_map(|(place, letter)| {
        match letter {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(place),
            ')' => depth -= 1,
            _ => {}
        }
        None
    })
}

/// Types between commas, by their names in SQL.
fn types(list: &str) -> String {
    let mut depth = 0_u32;
    let parts = list.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let named: Vec<String> = parts.map(|part| one_of(part.trim())).collect();
    named.join(", ")
}

/// A type, or several of which each will do, with or without the name of a parameter.
fn one_of(part: &str) -> String {
    let named = part.split_once(": ");
    let named =
        named.filter(|(name, _)| name.chars().all(|one| one.is_alphanumeric() || one == '_'));
    let part = named.map_or(part, |(_, part)| part);
    let counted = |kind: &str| {
        let count = part.strip_prefix(kind)?.strip_prefix('(')?;
        count.strip_suffix(')')?.parse::<usize>().ok()
    };
    for (kind, word) in [
        ("Numeric", "a number"),
        ("String", "TEXT"),
        ("Comparable", "any value"),
    ] {
        if let Some(count) = counted(kind) {
            return vec![word; count.min(WAYS_MAX)].join(", ");
        }
    }
    let mut names: Vec<String> = Vec::new();
    for one in part.split('/') {
        let name = type_name(one);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// The name of one type, or of a kind of types.
fn type_name(word: &str) -> String {
    let name = match word {
        "String" => "TEXT",
        "Numeric" => "a number",
        "Integer" | "UInt64" | "index" => "BIGINT",
        "Float" => "DOUBLE",
        "Binary" => "BYTES",
        "Decimal" => "DECIMAL",
        "Duration" => "INTERVAL",
        "Timestamp" | "Date" | "Time" | "Interval" => return word.to_ascii_uppercase(),
        "array" => "an array",
        "element" | "Any" => "any value",
        "string" => "TEXT",
        "Null" => "NULL",
        _ => return of_arrow(word),
    };
    name.to_owned()
}

fn of_arrow(word: &str) -> String {
    match ArrowType::from_str(word) {
        Ok(ArrowType::Interval(_) | ArrowType::Duration(_)) => "INTERVAL".to_owned(),
        Ok(ArrowType::Time32(_) | ArrowType::Time64(_)) => "TIME".to_owned(),
        Ok(ArrowType::List(item) | ArrowType::LargeList(item)) => {
            format!("{}[]", type_name(&item.data_type().to_string()))
        }
        Ok(known) => {
            DataType::from_arrow(&known).map_or_else(|| word.to_owned(), |known| known.to_string())
        }
        Err(_) => word.to_owned(),
    }
}

/// A sentence whose types have their names in SQL.
fn in_sql(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', '.', ':', ';']);
        let known = bare.contains(|letter: char| letter.is_ascii_uppercase())
            && ArrowType::from_str(bare).is_ok();
        match known {
            true => word.replacen(bare, &type_name(bare), 1),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// An operator between types that do not go together.
fn operands(message: &str) -> Option<Error> {
    let message = unreported(message).trim_end_matches('.');
    let between = |text: &str| {
        let (left, right) = text.split_once(" and ")?;
        Some((left.to_owned(), "BETWEEN".to_owned(), right.to_owned()))
    };
    let (left, op, right) = if let Some(rest) = message.strip_prefix("Failed to coerce types ") {
        between(rest.strip_suffix(" in BETWEEN expression")?)?
    } else if let Some(rest) = message.strip_prefix("Cannot coerce arithmetic expression ") {
        parted(rest.strip_suffix(" to valid types")?)?
    } else if let Some(rest) =
        message.strip_prefix("Cannot get result type for temporal operation ")
    {
        parted(rest.split(": ").next()?)?
    } else {
        let rest = message.strip_prefix("Cannot infer common ")?;
        parted(rest.split_once(" operation ")?.1)?
    };
    let (left, right) = (type_name(&left), type_name(&right));
    Some(
        Error::invalid(format!("{left} {op} {right} is not possible"))
            .with_hint("CAST(… AS …) makes another type of one side"),
    )
}

/// `Utf8 + Int64`, also where the operator is of several words, or a type has blanks of its own.
fn parted(text: &str) -> Option<(String, String, String)> {
    let blanks = || {
        text.match_indices(' ')
            .map(|(place, _)| text.split_at(place))
    };
    let is_type = |word: &str| ArrowType::from_str(word.trim()).is_ok();
    let (left, rest) = blanks().find(|(left, _)| is_type(left))?;
    let behind = |found: &(&str, &str)| found.0.len() > left.len() && is_type(found.1);
    let (_, right) = blanks().find(behind)?;
    let op = rest.strip_suffix(right)?.trim();
    (!op.is_empty()).then(|| (left.to_owned(), op.to_owned(), right.trim().to_owned()))
}

/// A regular expression that is none.
fn pattern(message: &str) -> Option<Error> {
    if message.contains("CompiledTooBig(") {
        return Some(Error::invalid(
            "the regular expression is larger than what is compiled of one",
        ));
    }
    let (_, behind) = message.split_once("regex parse error:")?;
    let (shown, why) = behind.split_once("error: ")?;
    let why = why.split(['~', '\n']).next()?.trim();
    // The place is marked with a roof below the text.
    let text: Vec<&str> = shown
        .split_whitespace()
        .filter(|word| !word.trim_matches('^').is_empty())
        .collect();
    let text = text.join(" ");
    Some(Error::invalid(match text.is_empty() {
        true => format!("what is given is no regular expression: {why}"),
        false => format!("'{text}' is no regular expression: {why}"),
    }))
}

/// Something in a place where it cannot be, which is told with all that it consists of.
fn place(message: &str) -> Option<Error> {
    let message = unreported(message);
    let what = message.strip_prefix("Physical plan does not support logical expression ");
    if let Some(what) = what {
        let kind = what.split(['(', ' ']).next().unwrap_or_default();
        return Some(Error::invalid(match kind {
            "WindowFunction" => {
                "not available: a window function in this place; it stands in SELECT and ORDER BY, and a query around it can filter by it"
            }
            "AggregateFunction" => {
                "not available: an aggregate in this place; it stands in SELECT, HAVING and ORDER BY"
            }
            "Wildcard" => "not available: * in this place; name the columns",
            "Exists"
            | "ScalarSubquery"
            | "InSubquery"
            | "SetComparison"
            | "OuterReferenceColumn" => {
                "not available: a subquery of this kind in this place; most of them can be written as a join"
            }
            _ => return None,
        }));
    }
    if message.contains("Failed due to a difference in schemas") {
        return Some(Error::invalid(
            "not available: a subquery of this kind in this place; most of them can be written as a join, and ANY and ALL over one stand in WHERE",
        ));
    }
    // A piece of the syntax tree, with the places of its parts.
    let end = message
        .find("Span(")
        .and_then(|_| message.find(['{', '(']))?;
    let (text, tree) = message.split_at(end);
    let text = match tree.starts_with('(') {
        // What stands before the bracket is the tree's.
        true => text.rsplit_once(' ')?.0,
        false => text,
    };
    let text = text.trim_end_matches([':', ' ']);
    (!text.is_empty()).then(|| Error::invalid(format!("not available: {text}")))
}

#[cfg(test)]
mod tests;
