//! Unions.

use std::collections::BTreeSet;

use serde_json::Value;

/// The union of two JSON arrays.
pub fn array(left: &str, right: &str) -> Result<String, String> {
    let mut elements = elements(left)?;
    elements.extend(self::elements(right)?);
    let elements: Vec<String> = elements.into_iter().collect();
    Ok(format!("[{}]", elements.join(",")))
}

/// The elements' texts; objects within have their keys in order.
fn elements(text: &str) -> Result<BTreeSet<String>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(elements)) => Ok(elements.iter().map(Value::to_string).collect()),
        _ => Err(format!("{} is no JSON array", cut(text))),
    }
}

/// The union of words between commas.
pub fn words(left: &str, right: &str) -> String {
    let words = left.split(',').chain(right.split(','));
    let words = words.map(str::trim).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect::<BTreeSet<_>>().into_iter().collect();
    words.join(",")
}

/// As much of a text as a message shows.
pub fn cut(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("'{shown}{more}'")
}
