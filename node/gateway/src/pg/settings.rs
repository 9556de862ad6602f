//! A session's settings: those that clients set and ask for on their own. What a setting would change and does not
//! here is refused rather than taken in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::{Fault, NO_SETTING, WRONG_VALUE};

/// Settings of a client's own (`a.b`) that one session may keep.
const OWN_MAX: usize = 64;
/// The longest value.
const VALUE_BYTES_MAX: usize = 1024;

/// The version of PostgreSQL whose behaviour is the model.
pub(super) const SERVER_VERSION: &str = "15.0";

/// What a setting takes.
#[derive(Clone, Copy)]
enum Takes {
    /// It is as it is.
    Fixed,
    /// One of these, in any case.
    Only(&'static [&'static str]),
    /// What begins with this.
    Beginning(&'static str),
    /// Milliseconds, or a number with a unit.
    Time,
    /// Anything: nothing here depends on it.
    Any,
}

/// Name as it is shown, default, what it takes, whether clients are told of changes.
const KNOWN: &[(&str, &str, Takes, bool)] = &[
    ("application_name", "", Takes::Any, true),
    ("backslash_quote", "safe_encoding", Takes::Any, false),
    ("bytea_output", "hex", Takes::Only(&["hex"]), false),
    ("check_function_bodies", "on", Takes::Any, false),
    (
        "client_encoding",
        "UTF8",
        Takes::Only(&["UTF8", "UTF-8", "UNICODE"]),
        true,
    ),
    ("client_min_messages", "notice", Takes::Any, false),
    ("DateStyle", "ISO, MDY", Takes::Beginning("ISO"), true),
    ("default_tablespace", "", Takes::Any, false),
    (
        "default_transaction_isolation",
        "read committed",
        Takes::Any,
        false,
    ),
    (
        "default_transaction_read_only",
        "off",
        Takes::Only(&["off", "on", "false", "true"]),
        true,
    ),
    ("escape_string_warning", "on", Takes::Any, false),
    ("extra_float_digits", "1", Takes::Any, false),
    ("geqo", "on", Takes::Any, false),
    (
        "idle_in_transaction_session_timeout",
        "0",
        Takes::Any,
        false,
    ),
    ("in_hot_standby", "off", Takes::Fixed, true),
    ("integer_datetimes", "on", Takes::Fixed, true),
    (
        "IntervalStyle",
        "postgres",
        Takes::Only(&["postgres"]),
        true,
    ),
    ("is_superuser", "off", Takes::Fixed, true),
    ("jit", "off", Takes::Any, false),
    ("lc_collate", "C", Takes::Fixed, false),
    ("lc_ctype", "C.UTF-8", Takes::Fixed, false),
    ("lc_messages", "C", Takes::Any, false),
    ("lc_monetary", "C", Takes::Any, false),
    ("lc_numeric", "C", Takes::Any, false),
    ("lc_time", "C", Takes::Any, false),
    ("lock_timeout", "0", Takes::Any, false),
    ("max_identifier_length", "63", Takes::Fixed, false),
    ("max_index_keys", "32", Takes::Fixed, false),
    ("quote_all_identifiers", "off", Takes::Any, false),
    ("row_security", "on", Takes::Any, false),
    ("search_path", "\"$user\", public", Takes::Any, false),
    ("server_encoding", "UTF8", Takes::Fixed, true),
    ("server_version", SERVER_VERSION, Takes::Fixed, true),
    ("server_version_num", "150000", Takes::Fixed, false),
    ("session_authorization", "", Takes::Fixed, true),
    (
        "standard_conforming_strings",
        "on",
        Takes::Only(&["on", "true"]),
        true,
    ),
    ("statement_timeout", "0", Takes::Time, false),
    ("synchronize_seqscans", "on", Takes::Any, false),
    ("synchronous_commit", "on", Takes::Any, false),
    ("TimeZone", "UTC", Takes::Any, true),
    ("transaction_isolation", "read committed", Takes::Any, false),
    ("transaction_read_only", "off", Takes::Any, false),
    ("work_mem", "4MB", Takes::Any, false),
    ("xmloption", "content", Takes::Any, false),
];

/// Schemas that a search path may name: names without a keyspace are looked for in `public` alone.
const PATH: [&str; 5] = [
    "$user",
    "public",
    "pg_catalog",
    "pg_temp",
    "information_schema",
];

/// The settings of one session: what differs from the defaults.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    changed: BTreeMap<String, String>,
    /// What the session began with, which RESET goes back to.
    initial: BTreeMap<String, String>,
    pub(super) user: String,
    pub(super) is_superuser: bool,
}

impl Settings {
    /// The defaults, for a session of somebody.
    pub(super) fn of(user: &str) -> Self {
        Settings {
            user: user.to_owned(),
            ..Settings::default()
        }
    }

    /// What the startup message says stays what RESET goes back to.
    pub(super) fn begin(&mut self) {
        self.initial.clone_from(&self.changed);
    }

    /// Sets a value; tells whether the client has to be told, and the name as it is shown.
    ///
    /// # Errors
    /// For a setting that there is not, and a value that it does not take.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Option<&'static str>, Fault> {
        let refused = |what: &str| {
            Fault::new(
                WRONG_VALUE,
                format!("{name} cannot be '{value}' here: {what}"),
            )
        };
        if value.len() > VALUE_BYTES_MAX {
            return Err(refused(&format!(
                "at most {VALUE_BYTES_MAX} bytes are kept"
            )));
        }
        let Some((shown, default, takes, told)) = known(name) else {
            return self.set_own(name, value).map(|()| None);
        };
        match takes {
            Takes::Fixed if !value.eq_ignore_ascii_case(default) => {
                return Err(refused("it is not a setting that can be changed"));
            }
            Takes::Only(values) if !values.iter().any(|one| one.eq_ignore_ascii_case(value)) => {
                return Err(refused(&format!("it takes {}", values.join(", "))));
            }
            Takes::Beginning(start)
                if !value
                    .get(..start.len())
                    .is_some_and(|v| v.eq_ignore_ascii_case(start)) =>
            {
                return Err(refused(&format!("it begins with {start}")));
            }
            Takes::Time if milliseconds(value).is_none() => {
                return Err(refused(
                    "it takes milliseconds, or a number with ms, s, min or h",
                ));
            }
            _ => {}
        }
        if *shown == "search_path" {
            let odd = value
                .split(',')
                .map(|part| part.trim().trim_matches(['"', '\'']));
            if let Some(odd) = odd
                .filter(|part| !part.is_empty())
                .find(|part| !PATH.contains(part))
            {
                return Err(refused("tables without a keyspace are those of public")
                    .hint(format!("name tables with their keyspace: {odd}.table")));
            }
        }
        self.changed.insert((*shown).to_owned(), value.to_owned());
        Ok(told.then_some(*shown))
    }

    /// A setting of a client's own, such as `myapp.user`.
    fn set_own(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        if !name.contains('.') {
            return Err(no_setting(name));
        }
        let name = name.to_ascii_lowercase();
        let own = self
            .changed
            .keys()
            .filter(|known| known.contains('.'))
            .count();
        if own >= OWN_MAX && !self.changed.contains_key(&name) {
            return Err(Fault::new(
                WRONG_VALUE,
                format!("a session keeps {OWN_MAX} settings of its own"),
            ));
        }
        self.changed.insert(name, value.to_owned());
        Ok(())
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// For a setting that there is not.
    pub(super) fn get(&self, name: &str) -> Result<(String, String), Fault> {
        let Some((shown, default, ..)) = known(name) else {
            let name = name.to_ascii_lowercase();
            let value = self.changed.get(&name).cloned();
            return value
                .map(|value| (name.clone(), value))
                .ok_or_else(|| no_setting(&name));
        };
        let value = match *shown {
            "is_superuser" => if self.is_superuser { "on" } else { "off" }.to_owned(),
            "session_authorization" => self.user.clone(),
            shown => {
                let changed = self.changed.get(shown);
                changed.map_or_else(|| (*default).to_owned(), Clone::clone)
            }
        };
        Ok(((*shown).to_owned(), value))
    }

    /// Back to what the session began with; the names that clients are told of.
    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<(), Fault> {
        match name {
            None => self.changed.clone_from(&self.initial),
            Some(name) => {
                let own = name.to_ascii_lowercase();
                let shown = known(name).map_or(own.as_str(), |(shown, ..)| *shown);
                match self.initial.get(shown) {
                    Some(value) => self.changed.insert(shown.to_owned(), value.clone()),
                    None => self.changed.remove(shown),
                };
            }
        }
        Ok(())
    }

    /// Every setting with its value.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let known = KNOWN.iter().filter_map(|(name, ..)| self.get(name).ok());
        let own = self.changed.iter().filter(|(name, _)| name.contains('.'));
        known
            .chain(own.map(|(name, value)| (name.clone(), value.clone())))
            .collect()
    }

    /// What clients are told of at the start.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let told = KNOWN.iter().filter(|(.., told)| *told);
        told.filter_map(|(name, ..)| self.get(name).ok()).collect()
    }

    /// How long a statement may take.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let value = self.changed.get("statement_timeout")?;
        milliseconds(value).filter(|timeout| !timeout.is_zero())
    }

    /// Whether transactions begin read-only.
    pub(super) fn read_only(&self) -> bool {
        let value = self.changed.get("default_transaction_read_only");
        value.is_some_and(|value| {
            value.eq_ignore_ascii_case("on") || value.eq_ignore_ascii_case("true")
        })
    }
}

type Known = (&'static str, &'static str, Takes, bool);

fn known(name: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn no_setting(name: &str) -> Fault {
    Fault::new(NO_SETTING, format!("there is no setting '{name}'"))
        .hint("SHOW ALL lists the settings of a session; a node's are in its configuration file")
}

/// A time as PostgreSQL writes it: milliseconds, or with a unit.
pub(super) fn milliseconds(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit.trim() {
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_would_do_nothing_is_refused() {
        let mut settings = Settings::default();
        assert_eq!(
            settings.set("client_encoding", "utf8").unwrap(),
            Some("client_encoding")
        );
        assert!(settings.set("client_encoding", "LATIN1").is_err());
        assert!(settings.set("datestyle", "German").is_err());
        assert!(
            settings
                .set("search_path", "plant")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("plant.table")
        );
        assert!(settings.set("search_path", "\"$user\", public").is_ok());
        assert!(settings.set("nonsense", "1").is_err());
        settings.set("my.app", "x").unwrap();
        assert_eq!(settings.get("MY.app").unwrap().1, "x");
        assert!(settings.set("statement_timeout", "soon").is_err());
        settings.set("statement_timeout", "2s").unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(2)));
        settings.reset(None).unwrap();
        assert_eq!(settings.statement_timeout(), None);
    }
}
