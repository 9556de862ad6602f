//! Counters that only go up, one a node.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::set::cut;

/// For each key the greater number.
pub fn max_by_key(left: &str, right: &str) -> Result<String, String> {
    let mut counts = counts(left)?;
    for (key, count) in self::counts(right)? {
        let known = counts.entry(key).or_insert(count);
        *known = count.max(*known);
    }
    let entries: Vec<String> = counts
        .into_iter()
        .map(|(key, count)| format!("{}:{count}", Value::String(key)))
        .collect();
    Ok(format!("{{{}}}", entries.join(",")))
}

fn counts(text: &str) -> Result<BTreeMap<String, i64>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let wrong = || format!("{} is no JSON object of whole numbers", cut(text));
    let Ok(Value::Object(entries)) = serde_json::from_str(text) else {
        return Err(wrong());
    };
    let entries = entries.into_iter();
    entries
        .map(|(key, count)| Ok((key, count.as_i64().ok_or_else(wrong)?)))
        .collect()
}
