//! What `CREATE SINK … WITH` may say.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use activestore_types::{Error, Result, TableName};

use super::address::SinkAddress;
use crate::duration::parse_duration;
use crate::names::{check_table_name, nearest};
use crate::options::boolean;

/// Events of one request, or that a broker has not acknowledged yet.
const BATCH_MAX: u64 = 1_000;
/// MQTT messages that are under way where nothing is said.
const IN_FLIGHT: usize = 32;
/// The longest that events wait for others to go with them.
const DELAY_MAX: Duration = Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// How often an event is tried that the receiver refuses.
const ATTEMPTS: u32 = 5;
const ATTEMPTS_MAX: u64 = 1_000;
/// MiB of the log that are held for a sink that is behind.
const HOLD_MIB: u64 = 256;
const HOLD_MIB_MAX: u64 = 1 << 20;
/// Headers, and the bytes of each.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 8_192;
/// A user's name and a password for a broker.
const LOGIN_BYTES_MAX: usize = 1_024;
/// Before the name of a header.
const HEADER: &str = "header_";
/// Headers that say how a request is carried, or that the node adds.
const OWN_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const NAMES: [&str; 15] = [
    "batch",
    "max_delay",
    "timeout",
    "attempts",
    "refused_into",
    "hold_mib",
    "on_behind",
    "deletes",
    "leaving",
    "on",
    "header_authorization",
    "user",
    "password",
    "retain",
    "max_retry",
];
/// The longest pause between two tries where nothing is said …
const RETRY_MAX: Duration = Duration::from_secs(300);
/// … and the shortest that may be said.
const RETRY_MAX_MIN: Duration = Duration::from_secs(1);

/// What happens where more of the log would have to be held for a sink than may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBehind {
    /// The oldest events are left out, and counted.
    #[default]
    Skip,
    /// The log is held all the same; the limit of the disk ends it, by refusing writes.
    Hold,
}

impl OnBehind {
    /// As the option says it.
    pub fn name(self) -> &'static str {
        match self {
            OnBehind::Skip => "skip",
            OnBehind::Hold => "hold",
        }
    }
}

/// The options, read.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// Events of one request; of MQTT, messages that are under way at once.
    pub batch: usize,
    /// How long events wait for others that fill a batch.
    pub max_delay: Duration,
    /// How long the receiver may take to answer.
    pub timeout: Duration,
    /// How often an event is tried that the receiver refuses.
    pub attempts: u32,
    /// The table that keeps events which the receiver refused.
    pub refused_into: Option<TableName>,
    /// The longest pause between two tries.
    pub max_retry: Duration,
    /// MiB of the log that are held for it.
    pub hold_mib: u64,
    /// What happens at that bound.
    pub on_behind: OnBehind,
    /// Whether it tells of rows that are gone.
    pub deletes: bool,
    /// Whether it tells of rows that do not fit the query any more.
    pub leaving: bool,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// The user and the password for a broker.
    pub login: Option<(String, String)>,
    /// Whether a broker keeps the last message of each topic.
    pub retain: bool,
}

impl fmt::Debug for SinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and login are secrets.
        f.debug_struct("SinkOptions")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl SinkOptions {
    /// Reads the options by name, for a sink with this address.
    ///
    /// # Errors
    /// `Invalid` for an unknown name or a value that does not fit. No value of a header, no password is repeated.
    pub fn parse(options: &BTreeMap<String, String>, to: &SinkAddress) -> Result<SinkOptions> {
        let is_mqtt = matches!(to, SinkAddress::Mqtt { .. });
        let mut parsed = SinkOptions {
            batch: if is_mqtt { IN_FLIGHT } else { 1 },
            max_delay: Duration::ZERO,
            timeout: TIMEOUT,
            attempts: ATTEMPTS,
            refused_into: None,
            max_retry: RETRY_MAX,
            hold_mib: HOLD_MIB,
            on_behind: OnBehind::default(),
            deletes: false,
            leaving: false,
            headers: Vec::new(),
            login: None,
            retain: false,
        };
        for (name, value) in options {
            let (of_mqtt, of_web) = (
                matches!(name.as_str(), "user" | "password" | "retain"),
                name.starts_with(HEADER),
            );
            if (of_mqtt && !is_mqtt) || (of_web && is_mqtt) {
                let whose = if of_mqtt { "MQTT" } else { "web hooks" };
                return Err(Error::invalid(format!(
                    "the option '{name}' is one of {whose}, and the sink has another address"
                )));
            }
            if let Some(header) = name.strip_prefix(HEADER) {
                parsed.headers.push(header_of(header, value)?);
                continue;
            }
            parsed.take(name, value)?;
        }
        if parsed.headers.len() > HEADERS_MAX {
            return Err(Error::invalid(format!(
                "a sink has at most {HEADERS_MAX} headers"
            )));
        }
        parsed.login = login(options.get("user"), options.get("password"))?;
        if (parsed.deletes || parsed.leaving) && !to.columns().is_empty() {
            return Err(Error::invalid(
                "a topic with {column} has no place for rows that are gone, for a range of them has no value of it",
            )
            .with_hint("leave out deletes and leaving, or name one topic for all"));
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "batch" => {
                let batch = number(name, value, 1..=BATCH_MAX)?;
                self.batch = usize::try_from(batch).unwrap_or(1);
            }
            "max_delay" => self.max_delay = time(name, value, Duration::ZERO, DELAY_MAX)?,
            "timeout" => self.timeout = time(name, value, TIMEOUT_MIN, TIMEOUT_MAX)?,
            "max_retry" => self.max_retry = time(name, value, RETRY_MAX_MIN, DELAY_MAX)?,
            "attempts" => {
                let attempts = number(name, value, 1..=ATTEMPTS_MAX)?;
                self.attempts = u32::try_from(attempts).unwrap_or(1);
            }
            "refused_into" => {
                let table: TableName = value.parse()?;
                check_table_name(&table)?;
                self.refused_into = Some(table);
            }
            "hold_mib" => self.hold_mib = number(name, value, 1..=HOLD_MIB_MAX)?,
            "on_behind" => {
                self.on_behind = match value {
                    "skip" => OnBehind::Skip,
                    "hold" => OnBehind::Hold,
                    _ => {
                        return Err(Error::invalid(format!("on_behind = '{value}' is unknown"))
                            .with_hint("it is 'skip' (the oldest are left out) or 'hold' (the log is held)"));
                    }
                }
            }
            "deletes" => self.deletes = boolean(name, value)?,
            "leaving" => self.leaving = boolean(name, value)?,
            "retain" => self.retain = boolean(name, value)?,
            // Both are read together.
            "user" | "password" => {}
            "on" if value == "here" => {}
            "on" => {
                return Err(Error::invalid(format!("on = '{value}' is unknown")).with_hint(
                    "a sink runs on the node where it is made: on = 'here'. Make it on each node that is to have it",
                ));
            }
            _ => {
                let error = Error::invalid(format!("a sink has no option '{name}'"));
                return Err(match nearest(name, NAMES) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("its options are {}", NAMES.join(", "))),
                });
            }
        }
        Ok(())
    }
}

fn number(name: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        Error::invalid(format!(
            "{name} = '{value}' is no number from {} to {}",
            range.start(),
            range.end()
        ))
    })
}

fn time(name: &str, value: &str, least: Duration, most: Duration) -> Result<Duration> {
    let time = parse_duration(value).map_err(|error| error.context(format!("option {name}")))?;
    if time < least || time > most {
        return Err(Error::invalid(format!(
            "{name} = '{value}' is not between {} ms and {} s",
            least.as_millis(),
            most.as_secs()
        )));
    }
    Ok(time)
}

/// The option's `_` stands for the `-` that most headers have.
fn header_of(name: &str, value: &str) -> Result<(String, String)> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::invalid(format!(
            "'{name}' cannot be the name of a header"
        )));
    }
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(Error::invalid(format!(
            "the header '{name}' is set by the node"
        )));
    }
    if value.len() > HEADER_BYTES_MAX || !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Error::invalid(format!(
            "the header '{name}' holds what no header can, or more than {HEADER_BYTES_MAX} bytes"
        )));
    }
    Ok((name, value.to_owned()))
}

fn login(user: Option<&String>, password: Option<&String>) -> Result<Option<(String, String)>> {
    let long = |text: &String| text.len() > LOGIN_BYTES_MAX;
    if user.is_some_and(long) || password.is_some_and(long) {
        return Err(Error::invalid(format!(
            "user and password have at most {LOGIN_BYTES_MAX} bytes"
        )));
    }
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), password) => Ok(Some((user.clone(), password.cloned().unwrap_or_default()))),
        (None, Some(_)) => Err(Error::invalid("a password needs a user")
            .with_hint("WITH (user = '…', password = '…')")),
    }
}
