//! Prometheus remote write, versions 1 and 2: a protobuf message packed by snappy.
//!
//! A metric is a table, as a measurement of line protocol is, with the same key (`_series`, `time`): `_series` is
//! the canonical text of the labels, the metric's name left out, and each label is a TEXT column as well. The sample
//! is the DOUBLE `value`. So the same device looks the same over both wires. Where the options name one table, all
//! metrics go there: `metric` says which it is, and belongs to the series.
//!
//! A staleness marker is a row with `stale = true` and no value: kept as the NaN that it is on the wire it would
//! turn every sum over the series into NaN. Native histograms and exemplars are counted and left out.
//!
//! A body that cannot be read is refused whole, one series that breaks a rule is left out by itself: a sender never
//! sends a refused body again, so what is good of it would be lost with the rest.

mod message;
mod protobuf;
mod series;
mod snappy;
mod tables;

use std::collections::BTreeSet;
use std::str::FromStr;

use activestore_types::{Error, NamedBatch, Result, TableName};
use arrow::array::Array;

pub use message::{parse, parse_within};
pub use snappy::{unpack, unpacked_len};

/// The column of the sample.
pub const VALUE_COLUMN: &str = "value";

/// The column that says that a series ended.
pub const STALE_COLUMN: &str = "stale";

/// The column of the metric's name, where all metrics share a table.
pub const METRIC_COLUMN: &str = "metric";

/// Labels of one series. Prometheus itself has a few dozen at most.
pub const LABELS_MAX: usize = 512;

/// Tables that one body fills.
pub const TABLES_MAX: usize = 4_096;

/// Names and values that a body of version 2 lists.
pub const SYMBOLS_MAX: usize = 1 << 18;

/// Bytes of all rows of a body. Its samples share the labels of their series, so without a bound few bytes on the
/// wire would make any number of bytes of rows.
pub const ROWS_BYTES_MAX: usize = 64 << 20;

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`: texts are listed once and named by number.
    Two,
}

impl FromStr for Version {
    type Err = Error;

    /// From the parameter `proto` of a content type.
    fn from_str(proto: &str) -> Result<Version> {
        match proto {
            "" | "prometheus.WriteRequest" => Ok(Version::One),
            "io.prometheus.write.v2.Request" => Ok(Version::Two),
            other => Err(Error::invalid(format!(
                "the message '{other}' is not one of remote write"
            ))
            .with_hint("send prometheus.WriteRequest or io.prometheus.write.v2.Request")),
        }
    }
}

/// Where samples go.
#[derive(Clone, Debug)]
pub struct RemoteWriteOptions {
    /// The keyspace of the tables.
    pub keyspace: String,
    /// The one table of all metrics; without it each metric is a table.
    pub table: Option<String>,
    /// Bytes of all rows of a body.
    pub rows_bytes_max: usize,
}

impl RemoteWriteOptions {
    /// Metrics as tables of `keyspace`.
    pub fn new(keyspace: impl Into<String>) -> Self {
        RemoteWriteOptions {
            keyspace: keyspace.into(),
            table: None,
            rows_bytes_max: ROWS_BYTES_MAX,
        }
    }
}

/// What a body held.
#[derive(Clone, Debug, Default)]
pub struct RemoteWrite {
    /// The rows by table, in order of first appearance.
    pub batches: Vec<NamedBatch>,
    /// Bytes that they take.
    pub rows_bytes: usize,
    /// Samples among them, staleness markers included.
    pub samples: u64,
    /// Staleness markers among them.
    pub stale: u64,
    /// Series that were refused.
    pub refused: u64,
    /// Samples that their table did not take, though it took others.
    pub refused_samples: u64,
    /// Tables that took nothing of what was for them.
    pub refused_tables: BTreeSet<TableName>,
    /// Why the first series or table was refused.
    pub refusal: Option<String>,
    /// Native histograms that were left out.
    pub histograms: u64,
    /// Exemplars that were left out.
    pub exemplars: u64,
}

impl RemoteWrite {
    /// Counts rows of the body as not stored, since their table did not take them.
    pub fn refuse(&mut self, batch: &NamedBatch, error: &Error) {
        let stale = batch.column(STALE_COLUMN);
        let stale = stale.map_or(0, |column| column.array.len() - column.array.null_count());
        self.stale = self.stale.saturating_sub(stale as u64);
        self.samples = self.samples.saturating_sub(batch.rows as u64);
        self.refusal
            .get_or_insert_with(|| format!("table {}: {error}", batch.table));
        self.refused_tables.insert(batch.table.clone());
    }

    /// What of the body is not stored though its sender takes it for data, in a sentence.
    pub fn left_out(&self) -> Option<String> {
        if let Some(reason) = &self.refusal {
            let series = (self.refused > 0).then(|| format!("{} series", self.refused));
            let samples = match self.refused_samples {
                0 => None,
                1 => Some("1 sample".to_owned()),
                samples => Some(format!("{samples} samples")),
            };
            let tables = match self.refused_tables.len() {
                0 => None,
                1 => Some("all samples for 1 table".to_owned()),
                tables => Some(format!("all samples for {tables} tables")),
            };
            let what: Vec<_> = series.into_iter().chain(samples).chain(tables).collect();
            return Some(format!(
                "{} of the request are refused and the rest is stored; the first reason: {reason}",
                what.join(" and ")
            ));
        }
        (self.histograms > 0).then(|| {
            format!(
                "{} native histograms of the request are left out and the rest is stored: only float samples are kept here",
                self.histograms
            )
        })
    }
}

#[cfg(test)]
mod tests;
