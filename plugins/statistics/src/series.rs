//! Aggregates that need the order of time. Rows come in any order, so a group keeps its readings, 16
//! bytes each, until it is finished. Readings of one moment have no order: a mean takes their mean, a
//! counter the lowest first.

use activestore_plugin::Group;
use activestore_plugin::scalar::Timestamp;

/// Readings in no order.
#[derive(Default)]
struct Series(Vec<(i64, f64)>);

impl Series {
    /// In order of time; readings of one moment by their value, so that the answer does not hang on
    /// the order in which they came.
    fn sorted(&mut self) -> &[(i64, f64)] {
        self.0
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        &self.0
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (at, value) in &self.0 {
            out.extend(at.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (pairs, rest) = bytes.as_chunks::<16>();
        let number = |pair: &[u8; 16]| u128::from_le_bytes(*pair);
        let read = |pair| {
            (
                number(pair) as i64,
                f64::from_bits((number(pair) >> 64) as u64),
            )
        };
        let pairs = pairs.iter().map(read).collect();
        rest.is_empty().then_some(Series(pairs))
    }
}

macro_rules! of_series {
    ($name:ident) => {
        impl $name {
            pub fn update(&mut self, x: f64, ts: Timestamp) {
                self.0.0.push((ts.0, x));
            }
        }

        impl Group for $name {
            fn merge(&mut self, other: Self) {
                self.0.0.extend(other.0.0);
            }

            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                Series::decode(bytes).map($name)
            }
        }
    };
}

/// A value that holds until the next reading.
#[derive(Default)]
pub struct Steps(Series);
of_series!(Steps);

impl Steps {
    pub fn finish(&mut self) -> Option<f64> {
        let all = self.0.sorted();
        let (first, last) = (all.first()?.0, all.last()?.0);
        let mean = |moment: &[(i64, f64)]| {
            moment
                .iter()
                .map(|(_, x)| x / moment.len() as f64)
                .sum::<f64>()
        };
        if first == last {
            return Some(mean(all));
        }
        // The distance of any two moments fits 64 bits without a sign.
        let between = |from: i64, to: i64| to.wrapping_sub(from).cast_unsigned() as f64;
        let whole = between(first, last);
        let mut moments = all.chunk_by(|a, b| a.0 == b.0).peekable();
        let mut sum = 0.0;
        while let (Some(moment), Some(next)) = (moments.next(), moments.peek()) {
            let (from, to) = (moment.first()?.0, next.first()?.0);
            sum += mean(moment) * (between(from, to) / whole);
        }
        Some(sum)
    }
}

/// A counter that begins at zero again when it restarts.
#[derive(Default)]
pub struct Counter(Series);
of_series!(Counter);

impl Counter {
    pub fn finish(&mut self) -> Option<f64> {
        let all = self.0.sorted();
        all.first()?;
        let rises = all.windows(2).map(|pair| {
            let [(_, before), (_, now)] = pair else {
                return 0.0;
            };
            if now >= before { now - before } else { *now }
        });
        // A sum of nothing would be negative zero.
        Some(rises.fold(0.0, |sum, rise| sum + rise))
    }
}
