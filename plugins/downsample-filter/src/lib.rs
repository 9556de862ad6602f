//! Lets one row of a series leave for each bucket of time: the last one of those that leave together, with a
//! figure of all of them in the watched columns. It needs a primary key with one TIMESTAMP.

use std::collections::HashMap;

use activestore_plugin::series::{Bits, ByKey, Layout, column};
use activestore_plugin::{
    Batch, Column, Config, Error, Field, Filter, FilterSpec, Filtered, ScalarType,
};

/// What is kept of the values of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Mean,
    Min,
    Max,
    Last,
}

/// A filter that thins rows out.
pub struct Downsample {
    layout: Layout,
    time: usize,
    bucket_ns: i64,
    figure: Figure,
}

impl Filter for Downsample {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, FilterSpec), Error> {
        config.only(&["bucket", "columns", "figure"])?;
        let bucket_ns = config.nanoseconds("bucket")?.ok_or_else(|| {
            Error::Invalid("the setting 'bucket' is missing: '1m', '1h'".to_owned())
        })?;
        let figure = match config.get("figure").unwrap_or("mean") {
            "mean" => Figure::Mean,
            "min" => Figure::Min,
            "max" => Figure::Max,
            "last" => Figure::Last,
            other => {
                return Err(Error::Invalid(format!(
                    "figure = '{other}' is none of 'mean', 'min', 'max' and 'last'"
                )));
            }
        };
        let number = |field: &Field| {
            matches!(
                field.kind,
                ScalarType::Float64 | ScalarType::Float32 | ScalarType::Int64 | ScalarType::Int32
            )
        };
        let layout = Layout::of(config, fields, number)?;
        let time = layout.must_be_timed("downsample-filter")?;
        let spec = FilterSpec {
            columns: layout.columns.clone(),
            gives: layout
                .watched
                .iter()
                .map(|place| layout.columns[*place])
                .collect(),
            withholds: Vec::new(),
        };
        let downsample = Downsample {
            layout,
            time,
            bucket_ns,
            figure,
        };
        Ok((downsample, spec))
    }

    fn filter(&mut self, batch: &Batch) -> Result<Filtered, Error> {
        let times = batch.columns[self.time].as_s64s()?;
        let series = ByKey::of(batch, &self.layout.key);
        // Of each bucket its rows in the order of time; of one time the one that was written last comes last.
        let mut buckets: Vec<Vec<u32>> = Vec::new();
        for key in 0..series.len() {
            let mut known: HashMap<i64, usize> = HashMap::new();
            for row in series.rows(key) {
                let bucket = times[*row as usize].div_euclid(self.bucket_ns);
                let place = *known.entry(bucket).or_insert_with(|| {
                    buckets.push(Vec::new());
                    buckets.len() - 1
                });
                buckets[place].push(*row);
            }
        }
        for rows in &mut buckets {
            rows.sort_by_key(|row| times[*row as usize]);
        }
        buckets.sort_by_key(|rows| rows.last().copied());
        let columns = self.layout.watched.iter().map(|place| {
            let (kind, from) = (self.layout.fields[*place].kind, &batch.columns[*place]);
            let figures: Vec<Option<Bits>> = buckets
                .iter()
                .map(|rows| self.figure(kind, from, rows))
                .collect();
            column(kind, &figures)
        });
        Ok(Filtered {
            columns: columns.collect(),
            rows: buckets
                .iter()
                .filter_map(|rows| Some(*rows.last()? as usize))
                .collect(),
        })
    }
}

impl Downsample {
    /// The figure of a bucket's values; `None` where there is none.
    fn figure(&self, kind: ScalarType, column: &Column, rows: &[u32]) -> Option<Bits> {
        let mut values = rows
            .iter()
            .filter_map(|row| Bits::of(column, *row as usize));
        let number = |bits: &Bits| bits.number(kind);
        match self.figure {
            Figure::Last => values.next_back(),
            Figure::Min => values.min_by(|a, b| number(a).total_cmp(&number(b))),
            Figure::Max => values.max_by(|a, b| number(a).total_cmp(&number(b))),
            Figure::Mean => {
                let values: Vec<f64> = values.map(|bits| number(&bits)).collect();
                if values.is_empty() {
                    return None;
                }
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                Some(Bits(match kind {
                    ScalarType::Float64 => mean.to_bits(),
                    ScalarType::Float32 => (mean as f32).to_bits().into(),
                    ScalarType::Boolean => u64::from(mean >= 0.5),
                    _ => (mean.round() as i64).cast_unsigned(),
                }))
            }
        }
    }
}

activestore_plugin::filter!(Downsample);

#[cfg(test)]
mod tests;
