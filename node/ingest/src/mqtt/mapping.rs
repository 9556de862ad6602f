//! From a topic and a payload to rows, by the rules of the configuration.

use std::str::FromStr;
use std::sync::Arc;

use activestore_types::{DataType, Error, NamedBatch, Result, TableName, TableSchema};

use super::filter::TopicFilter;
use crate::builder::AddedColumns;
use crate::json::{self, JsonOptions};
use crate::line_protocol::{self, LineProtocolOptions};
use crate::mqtt_config::{PayloadFormat, TopicRule};

/// Bytes of rows that a payload may make per byte of its own. Line by line it is two or three; a single object of many
/// short names is forty.
const ROWS_PER_BYTE: usize = 64;

/// The same where the payload has few bytes.
const ROWS_BYTES_LEAST: usize = 256 << 10;

/// Rules, checked.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    filter: TopicFilter,
    keyspace: String,
    /// `None` for line protocol whose measurements are the tables.
    table: Option<String>,
    rule: TopicRule,
    types: Vec<(String, DataType)>,
    /// The column that gets the time of receipt.
    now: Option<String>,
}

impl Mapping {
    /// Checks the rules.
    ///
    /// # Errors
    /// `Invalid`, naming the rule, for a topic that is no filter, a table that is no table, an
    /// unknown type, or a `$n` that the topic has no wildcard for.
    pub fn new(rules: &[TopicRule]) -> Result<Mapping> {
        let rules = rules
            .iter()
            .map(|rule| {
                Rule::new(rule.clone())
                    .map_err(|error| error.context(format!("mqtt topic '{}'", rule.topic)))
            })
            .collect::<Result<_>>()?;
        Ok(Mapping { rules })
    }

    /// The topic filters, in the order of the rules.
    pub fn filters(&self) -> Vec<String> {
        self.rules
            .iter()
            .map(|rule| rule.filter.text().to_owned())
            .collect()
    }

    /// Where messages of a topic go: a keyspace, and the table where that is fixed.
    pub(super) fn target(&self, topic: &str) -> Option<(&str, Option<&str>)> {
        let rule = self.rules.iter().find(|rule| rule.filter.matches(topic))?;
        Some((&rule.keyspace, rule.table.as_deref()))
    }

    /// The rows of a message: `Ok(None)` where no rule names the topic, an error with the reason
    /// where the payload cannot be rows. A message is taken whole or not at all.
    pub fn rows(
        &self,
        topic: &str,
        payload: &[u8],
        now_ns: i64,
        schema: &dyn Fn(&TableName) -> Option<Arc<TableSchema>>,
    ) -> Result<Option<Vec<NamedBatch>>> {
        let found = self
            .rules
            .iter()
            .find_map(|rule| Some((rule, rule.filter.captures(topic)?)));
        let Some((rule, captures)) = found else {
            return Ok(None);
        };
        rule.rows(topic, &captures, payload, now_ns, schema)
            .map(Some)
    }
}

impl Rule {
    fn new(rule: TopicRule) -> Result<Rule> {
        let filter = TopicFilter::new(&rule.topic)
            .ok_or_else(|| Error::invalid("the topic is not a valid topic filter"))?;
        let (keyspace, table) = match (rule.table.contains('.'), rule.format) {
            (false, PayloadFormat::LineProtocol) if !rule.table.is_empty() => {
                (rule.table.clone(), None)
            }
            _ => {
                let name = TableName::from_str(&rule.table)?;
                (name.keyspace, Some(name.table))
            }
        };
        let types = rule
            .types
            .iter()
            .map(|(name, text)| Ok((name.clone(), DataType::from_str(text)?)))
            .collect::<Result<_>>()?;
        let mut now = None;
        for (name, text) in &rule.columns {
            if text == "$now" {
                if rule.format == PayloadFormat::LineProtocol {
                    return Err(Error::invalid(format!(
                        "column '{name}' cannot be $now: line protocol without a timestamp has the time of receipt anyway"
                    )));
                }
                if now.replace(name.clone()).is_some() {
                    return Err(Error::invalid("two columns are $now"));
                }
                continue;
            }
            fill(text, "", &vec![""; filter.wildcards()])
                .map_err(|error| error.context(format!("column '{name}'")))?;
        }
        Ok(Rule {
            filter,
            keyspace,
            table,
            rule,
            types,
            now,
        })
    }

    fn rows(
        &self,
        topic: &str,
        captures: &[&str],
        payload: &[u8],
        now_ns: i64,
        schema: &dyn Fn(&TableName) -> Option<Arc<TableSchema>>,
    ) -> Result<Vec<NamedBatch>> {
        let fixed = self
            .rule
            .columns
            .iter()
            .filter(|(_, text)| *text != "$now")
            .map(|(name, text)| Ok((name.clone(), fill(text, topic, captures)?)))
            .collect::<Result<Vec<_>>>()?;
        let rows_bytes_max = payload
            .len()
            .saturating_mul(ROWS_PER_BYTE)
            .max(ROWS_BYTES_LEAST);
        let parsed = match (&self.rule.format, &self.table) {
            (PayloadFormat::Json, Some(table)) => {
                let name = TableName::new(&self.keyspace, table);
                let options = JsonOptions {
                    schema: schema(&name),
                    types: self.types.clone(),
                    precision: self.rule.precision,
                    added: AddedColumns {
                        fixed,
                        time: self.now.clone().map(|name| (name, now_ns)),
                    },
                    rejected_max: 1,
                    rows_bytes_max,
                    ..JsonOptions::new(name)
                };
                json::parse(payload, &options)
            }
            _ => {
                let options = LineProtocolOptions {
                    table: self.table.clone(),
                    precision: Some(self.rule.precision.unwrap_or_default()),
                    tags: fixed
                        .into_iter()
                        .filter(|(_, value)| !value.is_empty())
                        .collect(),
                    rejected_max: 1,
                    rows_bytes_max,
                    ..LineProtocolOptions::new(&self.keyspace, now_ns)
                };
                line_protocol::parse(payload, &options)
            }
        };
        if parsed.lines == 0 {
            return Err(Error::invalid("the payload holds no row"));
        }
        parsed.strict()
    }
}

/// `text` with `$n` and `$topic` replaced.
fn fill(text: &str, topic: &str, captures: &[&str]) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let unknown = || {
            Error::invalid(format!("'${after}' is unknown")).with_hint(format!(
                "$1 to ${} stand for the topic's wildcards, $topic for the topic, $now alone for the time of receipt, $$ for a dollar sign",
                captures.len()
            ))
        };
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix("topic") {
            out.push_str(topic);
            rest = after;
        } else {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = after.split_at_checked(digits).ok_or_else(unknown)?;
            let capture = number
                .parse::<usize>()
                .ok()
                .and_then(|number| captures.get(number.checked_sub(1)?))
                .ok_or_else(unknown)?;
            out.push_str(capture);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}
