//! When the first byte of an answer to a statement was there, by wire and kind of statement.

use std::time::Duration;

use activestore_query::KINDS;

use crate::histogram::Histogram;
use crate::metrics::head;

/// The way a statement came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http,
    #[cfg(feature = "pgwire")]
    Pg,
}

/// The times of all kinds.
type Times = [Histogram; KINDS.len()];

/// The times of a gateway.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes {
    http: Times,
    #[cfg(feature = "pgwire")]
    pg: Times,
}

impl FirstBytes {
    /// The first byte of an answer to a statement of that kind was there.
    pub(crate) fn add(&self, wire: Wire, kind: &str, took: Duration) {
        let times = match wire {
            Wire::Http => &self.http,
            #[cfg(feature = "pgwire")]
            Wire::Pg => &self.pg,
        };
        let place = KINDS.iter().position(|known| *known == kind);
        if let Some(histogram) = place.and_then(|place| times.get(place)) {
            histogram.add(took);
        }
    }

    /// In Prometheus' text format.
    pub(crate) fn write(&self, out: &mut String) {
        let name = "activestore_statement_first_byte_seconds";
        head(
            out,
            name,
            "Time from a statement to the first byte of its answer, in seconds, by wire and kind of statement.",
            "histogram",
        );
        let wires = [
            ("http", &self.http),
            #[cfg(feature = "pgwire")]
            ("pg", &self.pg),
        ];
        for (wire, times) in wires {
            for (kind, histogram) in KINDS.iter().zip(times) {
                // Kinds that nobody sent would be most of the page.
                if !histogram.is_empty() {
                    let labels = format!("wire=\"{wire}\",kind=\"{kind}\"");
                    histogram.write(name, &labels, out);
                }
            }
        }
    }
}
