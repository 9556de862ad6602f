//! What is wrong in a configuration file, in one sentence with the line, and for an unknown key the
//! nearest key that exists.

use activestore_types::Error;

/// How alike two names must be for one to be taken as a typo of the other (Jaro-Winkler).
const ALIKE_MIN: f64 = 0.7;

/// The error of the TOML reader as ours.
pub fn explain(text: &str, name: &str, error: &toml::de::Error) -> Error {
    let at = match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("{name}, line {}", before.matches('\n').count() + 1),
        None => name.to_owned(),
    };
    // serde names the key and what it knows between backticks.
    if let Some(rest) = error.message().strip_prefix("unknown field ") {
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let key = quoted.next().unwrap_or_default().to_owned();
        let known: Vec<&str> = quoted.collect();
        let error = Error::invalid(format!("{at}: the key '{key}' is unknown"));
        return match nearest(&key, &known) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint(format!("the keys here are {}", known.join(", "))),
        };
    }
    Error::invalid(format!("{at}: {}", error.message().replace('\n', "; ")))
}

/// The name most like `name`, if one is like it.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), *other))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other)
}
