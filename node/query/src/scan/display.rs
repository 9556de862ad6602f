//! A scan as EXPLAIN shows it.

use std::fmt;

use datafusion::physical_plan::{DisplayAs, DisplayFormatType};

use super::ScanExec;

/// Key ranges that EXPLAIN shows as bytes.
const RANGES_SHOWN: usize = 2;

impl fmt::Debug for ScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanExec({})", self.snapshot.schema().name)
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "ScanExec: table={}, columns=[{}]",
            self.snapshot.schema().name,
            names.join(", ")
        )?;
        if !self.pushed.key_text.is_empty() {
            write!(f, ", key=[{}]", self.pushed.key_text.join(" AND "))?;
        }
        if let Some(ranges) = &self.pushed.ranges {
            let shown: Vec<String> = ranges
                .iter()
                .take(RANGES_SHOWN)
                .map(|range| format!("{}..{}", Hex(&range.start), Hex(&range.end)))
                .collect();
            let more = if ranges.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            write!(f, ", ranges={} [{}{more}]", ranges.len(), shown.join(", "))?;
        }
        if let Some(filter) = &self.filter {
            write!(f, ", columns looked at first={}", filter.columns().len())?;
        }
        let places = self.within.iter().map(|(_, place)| *place);
        let fields = places.filter_map(|place| self.schema.fields().get(place));
        let names = self.moving.iter().flat_map(|moving| moving.names());
        let names: Vec<&str> = names
            .chain(fields.map(|field| field.name().as_str()))
            .collect();
        if !names.is_empty() {
            write!(f, ", narrows by=[{}]", names.join(", "))?;
        }
        if !self.codes.is_empty() {
            write!(f, ", codes={}", self.codes.len())?;
        }
        if self.points().is_some() {
            write!(f, ", point reads")?;
        }
        if self.last_rows.is_some() {
            write!(f, ", last rows")?;
        }
        if !self.pushed.zone_text.is_empty() {
            write!(f, ", zones=[{}]", self.pushed.zone_text.join(" AND "))?;
        }
        if self.ordered {
            let order = if self.reverse {
                "reverse key order"
            } else {
                "key order"
            };
            write!(f, ", {order}")?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        write!(f, ", partitions={}", self.partitions.len())
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(24) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(if self.0.len() > 24 { "…" } else { "" })
    }
}
