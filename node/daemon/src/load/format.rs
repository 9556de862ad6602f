//! What a file is: by what is asked for, by its name, by its first bytes.

use std::path::Path;

use activestore_types::{Error, Result};

use crate::cli::FileFormat;

/// What a gzip file begins with.
pub const GZIP: &[u8] = &[0x1f, 0x8b];

/// What an Arrow file begins with; a stream has no such mark.
pub const ARROW_FILE: &[u8] = b"ARROW1";

/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// What an Arrow stream begins with: the mark before each message.
const ARROW_MESSAGE: &[u8] = &[0xff, 0xff, 0xff, 0xff];

/// What the name says; an ending `.gz` is looked behind.
pub fn of_name(path: &Path) -> Option<FileFormat> {
    let extension = |path: &Path| {
        let extension = path.extension()?.to_str()?;
        Some(extension.to_ascii_lowercase())
    };
    let mut said = extension(path)?;
    if said == "gz" {
        said = extension(Path::new(path.file_stem()?))?;
    }
    match said.as_str() {
        "csv" | "tsv" => Some(FileFormat::Csv),
        "json" => Some(FileFormat::Json),
        "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
        "lp" | "line" => Some(FileFormat::Lp),
        "arrow" | "arrows" | "ipc" | "feather" => Some(FileFormat::Arrow),
        "parquet" => Some(FileFormat::Parquet),
        _ => None,
    }
}

/// The format of a file to write, by flag or by name.
///
/// # Errors
/// `Invalid` where neither says it.
pub fn of_output(format: Option<FileFormat>, path: &Path) -> Result<FileFormat> {
    format.or_else(|| of_name(path)).ok_or_else(|| {
        Error::invalid(format!(
            "the name {} does not say the format",
            path.display()
        ))
        .with_hint("add --format csv, json, ndjson, arrow or parquet")
    })
}

/// The format of a file to load. What begins as Parquet or Arrow is that, whatever its name; the rest is what is asked
/// for, what the name says, or what the first line looks like.
///
/// # Errors
/// `Invalid` where nothing says it, and where the file is of another kind than is asked for.
pub fn of_input(asked: Option<FileFormat>, name: Option<&Path>, head: &[u8]) -> Result<FileFormat> {
    let named = asked.or_else(|| name.and_then(of_name));
    if let Some(marked) = of_mark(head) {
        return match asked {
            Some(asked) if asked != marked => Err(Error::invalid(format!(
                "the file is {}, not {}",
                shown(marked),
                shown(asked)
            ))
            .with_hint("leave out --format")),
            _ => Ok(marked),
        };
    }
    if let Some(binary @ (FileFormat::Parquet | FileFormat::Arrow)) = named {
        return Err(Error::invalid(match head {
            [] => "the file is empty".to_owned(),
            _ => format!("the file does not begin as {} does", shown(binary)),
        })
        .with_hint("it may be cut off, or of another format: say which with --format"));
    }
    let found = of_text(head);
    // Objects one a line are often named as an array is.
    if asked.is_none() && named == Some(FileFormat::Json) && found == Some(FileFormat::Ndjson) {
        return Ok(FileFormat::Ndjson);
    }
    named.or(found).ok_or_else(|| {
        Error::invalid("neither the name nor the first line says the format")
            .with_hint("add --format csv, json, ndjson, lp, arrow or parquet")
    })
}

/// The format as people say it.
pub fn shown(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Csv => "CSV",
        FileFormat::Json => "a JSON array",
        FileFormat::Ndjson => "NDJSON",
        FileFormat::Lp => "line protocol",
        FileFormat::Arrow => "Arrow",
        FileFormat::Parquet => "Parquet",
    }
}

fn of_mark(head: &[u8]) -> Option<FileFormat> {
    if head.starts_with(PARQUET) {
        Some(FileFormat::Parquet)
    } else if head.starts_with(ARROW_FILE) || head.starts_with(ARROW_MESSAGE) {
        Some(FileFormat::Arrow)
    } else {
        None
    }
}

/// What the first line that says anything looks like.
fn of_text(head: &[u8]) -> Option<FileFormat> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    if line.contains(&0) {
        return None;
    }
    match line.first()? {
        b'[' => return Some(FileFormat::Json),
        b'{' => return Some(FileFormat::Ndjson),
        _ => {}
    }
    // A measurement with its tags, a space, and fields that are set: a header of CSV sets nothing.
    let fields = line
        .iter()
        .position(|byte| *byte == b' ')
        .and_then(|space| line.get(space..));
    if fields.is_some_and(|fields| fields.contains(&b'=')) {
        return Some(FileFormat::Lp);
    }
    line.contains(&b',').then_some(FileFormat::Csv)
}

#[cfg(test)]
mod tests;
