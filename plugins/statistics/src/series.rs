//! Aggregates that need the order of time. Rows come in any order, so a group keeps its readings, 16
//! bytes each, until it is finished.

use activestore_plugin::Group;
use activestore_plugin::scalar::Timestamp;

/// Readings in no order.
#[derive(Clone, Default)]
struct Series(Vec<(i64, f64)>);

impl Series {
    /// In order of time; readings of one moment by their value, so that the answer does not hang on
    /// the order in which they came.
    fn sorted(&self) -> Vec<(i64, f64)> {
        let mut all = self.0.clone();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        all
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (at, value) in &self.0 {
            out.extend(at.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (pairs, rest) = bytes.as_chunks::<16>();
        let read = |pair: &[u8; 16]| {
            let (at, value) = pair.split_first_chunk::<8>()?;
            let value = value.try_into().ok()?;
            Some((i64::from_le_bytes(*at), f64::from_le_bytes(value)))
        };
        let pairs: Option<Vec<_>> = pairs.iter().map(read).collect();
        rest.is_empty().then(|| pairs.map(Series))?
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
    pub fn finish(&self) -> Option<f64> {
        let all = self.0.sorted();
        let (first, last) = (all.first()?.0, all.last()?.0);
        if first == last {
            return Some(all.iter().map(|(_, x)| x).sum::<f64>() / all.len() as f64);
        }
        // The distance of any two moments fits 64 bits without a sign.
        let between = |from: i64, to: i64| to.wrapping_sub(from).cast_unsigned() as f64;
        let held = all.windows(2).map(|pair| {
            let [(from, x), (to, _)] = pair else {
                return 0.0;
            };
            x * between(*from, *to)
        });
        Some(held.sum::<f64>() / between(first, last))
    }
}

/// A counter that begins at zero again when it restarts.
#[derive(Default)]
pub struct Counter(Series);
of_series!(Counter);

impl Counter {
    pub fn finish(&self) -> Option<f64> {
        let all = self.0.sorted();
        all.first()?;
        let rises = all.windows(2).map(|pair| {
            let [(_, before), (_, now)] = pair else {
                return 0.0;
            };
            if now >= before { now - before } else { *now }
        });
        Some(rises.sum())
    }
}
