//! What is told of the values of one time bucket. It knows neither keys nor where its memory is kept.

use activestore_plugin::{Error, ScalarType};

/// A figure of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// How many values.
    Count,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their mean.
    Mean,
    /// The one with the earliest time.
    First,
    /// The one with the latest time.
    Last,
}

impl Figure {
    /// All of them, in the order in which they are sent.
    pub const ALL: [Figure; 6] = [
        Figure::Count,
        Figure::Min,
        Figure::Max,
        Figure::Mean,
        Figure::First,
        Figure::Last,
    ];

    /// Its name in settings and behind the column's.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Count => "count",
            Figure::Min => "min",
            Figure::Max => "max",
            Figure::Mean => "mean",
            Figure::First => "first",
            Figure::Last => "last",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// `invalid`, with the names that there are.
    pub fn parse(name: &str) -> Result<Figure, Error> {
        let found = Figure::ALL.into_iter().find(|figure| figure.name() == name);
        found.ok_or_else(|| {
            let known = Figure::ALL.map(Figure::name).join(", ");
            Error::Invalid(format!("there is no figure '{name}'; there are {known}"))
        })
    }

    /// The type that it is sent in.
    pub fn kind(self) -> ScalarType {
        match self {
            Figure::Count => ScalarType::Int64,
            _ => ScalarType::Float64,
        }
    }
}

/// The values of one column in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    /// How many values there were.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// The earliest time and its value.
    pub first: (i64, f64),
    /// The latest time and its value.
    pub last: (i64, f64),
}

impl Bucket {
    /// Adds a value. Of two of the same time the one that came first is the first and the other the last.
    pub fn add(&mut self, time: i64, value: f64) {
        let here = (time, value);
        if self.count == 0 {
            *self = Bucket {
                count: 1,
                min: value,
                max: value,
                sum: value,
                first: here,
                last: here,
            };
            return;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        if time < self.first.0 {
            self.first = here;
        }
        if time >= self.last.0 {
            self.last = here;
        }
    }

    /// A figure of the values; none where there were none, but for their count.
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        if figure == Figure::Count {
            return Some(self.count as f64);
        }
        (self.count > 0).then_some(match figure {
            Figure::Min => self.min,
            Figure::Max => self.max,
            Figure::Mean => self.sum / self.count as f64,
            Figure::First => self.first.1,
            Figure::Last => self.last.1,
            Figure::Count => self.count as f64,
        })
    }
}

/// The beginning of the bucket that a time is in: buckets follow each other from 1970 on.
pub fn begin(time: i64, every: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_values() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.figure(Figure::Count), Some(0.0));
        assert_eq!(bucket.figure(Figure::Mean), None);
        for (time, value) in [(5, 2.0), (3, 9.0), (8, -1.0), (3, 4.0), (8, 1.0)] {
            bucket.add(time, value);
        }
        let figures = Figure::ALL.map(|figure| bucket.figure(figure).unwrap());
        assert_eq!(figures, [5.0, -1.0, 9.0, 3.0, 9.0, 1.0]);
    }

    #[test]
    fn buckets_begin_at_multiples() {
        assert_eq!(
            [0, 59, 60, -1, -60, -61].map(|time| begin(time, 60)),
            [0, 0, 60, -60, -60, -120]
        );
        assert_eq!(begin(i64::MIN, 7), i64::MIN);
    }

    #[test]
    fn figures_have_names() {
        for figure in Figure::ALL {
            assert_eq!(Figure::parse(figure.name()).unwrap(), figure);
        }
        let Err(Error::Invalid(text)) = Figure::parse("median") else {
            panic!("there is no median")
        };
        assert!(text.contains("count, min"));
    }
}
