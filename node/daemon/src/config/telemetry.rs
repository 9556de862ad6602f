//! `[telemetry]`: what the node tells those who run it of itself.

use std::time::Duration;

use serde::Deserialize;

use super::Span;

/// What the node tells of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// From which time on a statement is told as a slow one, in the log and in `system.slow_queries`; 0s is never.
    pub slow_query: Option<Span>,
    /// The collector that spans are sent to, by OTLP over HTTP: `http://HOST:4318`.
    pub otlp: Option<String>,
}

impl Telemetry {
    /// The time, or that of the default; `None` is never.
    pub fn slow_statement(&self, default: Option<Duration>) -> Option<Duration> {
        match &self.slow_query {
            None => default,
            Some(span) => (!span.0.is_zero()).then_some(span.0),
        }
    }
}
