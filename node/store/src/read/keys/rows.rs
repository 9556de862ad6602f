//! Keys that are there already, row by row, as those of a vector.

use super::{Clustering, KeyShape, Run, VectorKeys};

impl VectorKeys {
    /// Of encoded keys in their order; `None` where rows of a partition are not told apart by one number.
    pub(crate) fn of_rows<'k>(
        shape: &KeyShape,
        encoded: impl Iterator<Item = &'k [u8]>,
    ) -> Option<Self> {
        let descending = match shape.clustering.as_slice() {
            [(_, descending)] if shape.has_number => *descending,
            _ => return None,
        };
        let mut keys = VectorKeys {
            rows: 0,
            runs: Vec::new(),
            prefixes: Vec::new(),
            clustering: Clustering::None,
        };
        let mut values = Vec::new();
        for key in encoded {
            let (prefix, number) = key.split_last_chunk::<8>()?;
            let last = keys.runs.last().map(|run| run.prefix.clone());
            let last = last.and_then(|range| keys.prefixes.get(range));
            if last != Some(prefix) {
                let from = keys.prefixes.len();
                keys.prefixes.extend_from_slice(prefix);
                keys.runs.push(Run {
                    end: keys.rows,
                    prefix: from..keys.prefixes.len(),
                });
            }
            keys.rows += 1;
            if let Some(run) = keys.runs.last_mut() {
                run.end = keys.rows;
            }
            let number = u64::from_be_bytes(*number);
            let ordered = if descending { !number } else { number };
            values.push((ordered ^ (1 << 63)).cast_signed());
        }
        keys.clustering = Clustering::Long {
            values: values.into(),
            descending,
        };
        Some(keys)
    }
}
