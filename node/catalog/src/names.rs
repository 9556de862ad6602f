//! Which names things may bear. Wires may bring any printable name for a table or a column; what
//! must be typed in SQL as a function is an identifier.

use activestore_types::{Error, Result, TableName};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The most columns a table may have.
pub const MAX_COLUMNS: usize = 4096;

/// Keyspaces that the program itself fills.
const RESERVED_KEYSPACES: [&str; 3] = [
    crate::state::SYSTEM_KEYSPACE,
    "information_schema",
    "pg_catalog",
];
/// Names of the hidden columns that every row carries.
const RESERVED_COLUMNS: [&str; 2] = ["_hlc", "_origin"];

/// Checks a keyspace's name.
///
/// # Errors
/// `Invalid` for an empty, long or unprintable name; `Denied` for a reserved one.
pub fn check_keyspace_name(name: &str) -> Result<()> {
    check_printable("keyspace", name, &['.', '"', '/'])?;
    if RESERVED_KEYSPACES.contains(&name) {
        return Err(Error::denied(format!(
            "keyspace '{name}' belongs to the program and cannot be changed"
        )));
    }
    Ok(())
}

/// Checks a table's full name.
///
/// # Errors
/// As [`check_keyspace_name`], for both parts.
pub fn check_table_name(name: &TableName) -> Result<()> {
    check_keyspace_name(&name.keyspace)?;
    check_printable("table", &name.table, &['.', '"', '/'])
}

/// Checks a column's name; dots are allowed, since wires bring them.
///
/// # Errors
/// `Invalid` for an empty, long, unprintable or reserved name.
pub fn check_column_name(name: &str) -> Result<()> {
    check_printable("column", name, &['"'])?;
    if RESERVED_COLUMNS.contains(&name) {
        return Err(Error::invalid(format!(
            "column '{name}' is kept by the program for the stamp of each row"
        )));
    }
    Ok(())
}

/// Checks the name of a function, processor or model (`what`): a lower-case SQL identifier.
///
/// # Errors
/// `Invalid` for anything else.
pub fn check_identifier(what: &str, name: &str) -> Result<()> {
    check_printable(what, name, &[])?;
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if first && rest {
        return Ok(());
    }
    Err(
        Error::invalid(format!("'{name}' cannot be the name of a {what}"))
            .with_hint("use lower-case letters, digits and '_', not starting with a digit"),
    )
}

/// Checks a plugin's name: letters, digits, `_`, `-` and `.`.
///
/// # Errors
/// `Invalid` for anything else.
pub fn check_plugin_name(name: &str) -> Result<()> {
    check_printable("plugin", name, &[])?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(allowed) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(
        Error::invalid(format!("'{name}' cannot be the name of a plugin"))
            .with_hint("use letters, digits, '_', '-' and '.', starting with a letter or digit"),
    )
}

/// The known name that is closest to a mistyped one, for a hint; `None` when none is close.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

fn check_printable(what: &str, name: &str, refused: &[char]) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("a {what} needs a name")));
    }
    if name.len() > MAX_NAME_BYTES {
        let start: String = name.chars().take(24).collect();
        return Err(Error::invalid(format!(
            "the {what} name '{start}…' is {} bytes long; at most {MAX_NAME_BYTES} are allowed",
            name.len()
        )));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || refused.contains(c)) {
        return Err(Error::invalid(format!(
            "the {what} name '{}' holds the character {bad:?}, which is not allowed",
            name.escape_debug()
        )));
    }
    Ok(())
}
