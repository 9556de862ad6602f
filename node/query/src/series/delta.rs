//! `delta(value, ts)`: the last value less the first, of which nothing but the two is kept.

use std::ops::Range;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array};
use arrow::datatypes::TimestampNanosecondType;

use super::samples::numbers;
use crate::aggregate::{GroupFunction, Grouping};

/// Windows that are kept in memory at once.
const WINDOWS_OPEN_MAX: usize = 65_536;
/// Bytes of a state: two moments, two values.
const STATE_BYTES: usize = 32;

/// The function.
#[derive(Debug)]
pub(super) struct Delta;

impl GroupFunction for Delta {
    fn name(&self) -> &'static str {
        "delta"
    }

    fn args(&self) -> &[DataType] {
        &[DataType::Double, DataType::Timestamp]
    }

    fn returns(&self) -> DataType {
        DataType::Double
    }

    fn open_max(&self) -> usize {
        WINDOWS_OPEN_MAX
    }

    fn begin(&self) -> Result<Box<dyn Grouping>> {
        Ok(Box::new(Groups::default()))
    }
}

/// The first and the last sample of a group.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: (i64, f64),
    last: (i64, f64),
}

#[derive(Debug, Default)]
struct Groups(Vec<Option<Ends>>);

impl Groups {
    fn add(&mut self, group: usize, first: (i64, f64), last: (i64, f64)) -> Result<()> {
        let ends = self
            .0
            .get_mut(group)
            .ok_or_else(|| Error::internal("a group that is not there"))?;
        let kept = ends.get_or_insert(Ends { first, last });
        // Of samples of one moment the smaller is the earlier, so that no order of rows makes another result.
        let precedes =
            |a: (i64, f64), b: (i64, f64)| a.0 < b.0 || (a.0 == b.0 && a.1.total_cmp(&b.1).is_lt());
        if precedes(first, kept.first) {
            kept.first = first;
        }
        if precedes(kept.last, last) {
            kept.last = last;
        }
        Ok(())
    }

    fn range(&self, groups: Range<usize>) -> impl Iterator<Item = Option<Ends>> {
        self.0.iter().skip(groups.start).take(groups.len()).copied()
    }
}

impl Grouping for Groups {
    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()> {
        self.0.resize(total.max(self.0.len()), None);
        let values = numbers(args, 0)?;
        let moments = args
            .get(1)
            .and_then(|array| array.as_primitive_opt::<TimestampNanosecondType>())
            .ok_or_else(|| Error::internal("delta() is given no column of moments"))?;
        for (row, group) in groups.iter().enumerate() {
            let wanted = wanted.is_none_or(|wanted| wanted.is_valid(row) && wanted.value(row));
            if wanted
                && values.is_valid(row)
                && moments.is_valid(row)
                && !values.value(row).is_nan()
            {
                let sample = (moments.value(row), values.value(row));
                self.add(*group, sample, sample)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()> {
        self.0.resize(total.max(self.0.len()), None);
        let broken = || Error::internal("the state of delta() is damaged");
        let states = states.as_binary_opt::<i32>().ok_or_else(broken)?;
        for (group, state) in groups.iter().zip(states) {
            let Some(state) = state.filter(|state| !state.is_empty()) else {
                continue;
            };
            let state: &[u8; STATE_BYTES] = state.try_into().map_err(|_| broken())?;
            let ([first_at, first, last_at, last], []) = state.as_chunks::<8>() else {
                return Err(broken());
            };
            self.add(
                *group,
                (i64::from_le_bytes(*first_at), f64::from_le_bytes(*first)),
                (i64::from_le_bytes(*last_at), f64::from_le_bytes(*last)),
            )?;
        }
        Ok(())
    }

    fn groups(&self) -> usize {
        self.0.len()
    }

    fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let mut states = BinaryBuilder::with_capacity(groups.len(), groups.len() * STATE_BYTES);
        for ends in self.range(groups) {
            let mut bytes = Vec::with_capacity(STATE_BYTES);
            if let Some(Ends { first, last }) = ends {
                for (at, value) in [first, last] {
                    bytes.extend_from_slice(&at.to_le_bytes());
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
            }
            states.append_value(bytes);
        }
        Ok(Arc::new(states.finish()))
    }

    fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let values: Float64Array = self
            .range(groups)
            .map(|ends| {
                let ends = ends.filter(|ends| ends.last.0 > ends.first.0)?;
                Some(ends.last.1 - ends.first.1)
            })
            .collect();
        Ok(Arc::new(values))
    }

    fn forget(&mut self, count: usize) -> Result<()> {
        self.0.drain(..count.min(self.0.len()));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Option<Ends>>()
    }
}
