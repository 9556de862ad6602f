//! The days of one table: sums of ranges of days, and of the ranges that differ the days.

use std::collections::BTreeMap;

use activestore_types::TableName;

use super::question::Ask;
use super::{RANGES_MAX, Sum};

/// Days of a range; more where that would be too many ranges.
const DAYS_A_RANGE: i64 = 32;

/// A table's days here, and the ranges that were asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    days: Vec<(i32, Sum)>,
    cuts: Vec<i32>,
    sums: Vec<[u8; 16]>,
}

impl Days {
    pub(super) fn of(days: Vec<(i32, Sum)>) -> Self {
        let first = days.first().map_or(0, |(day, _)| i64::from(*day));
        let last = days.last().map_or(0, |(day, _)| i64::from(*day));
        let mut width = DAYS_A_RANGE;
        while (last - first) / width >= RANGES_MAX as i64 / 2 {
            width *= 2;
        }
        let mut parts: BTreeMap<i64, Sum> = BTreeMap::new();
        for (day, sum) in &days {
            let part = i64::from(*day).div_euclid(width);
            parts.entry(part).or_default().add(sum);
        }
        if parts.is_empty() {
            parts.insert(0, Sum::default());
        }
        let cuts = parts.keys().skip(1);
        let cuts = cuts.filter_map(|part| i32::try_from(part * width).ok());
        Days {
            cuts: cuts.collect(),
            sums: parts.values().map(|sum| sum.hash).collect(),
            days,
        }
    }

    pub(super) fn ask(&self, table: TableName) -> Ask {
        Ask::Days {
            table,
            cuts: self.cuts.clone(),
            sums: self.sums.clone(),
        }
    }

    /// Of the ranges that differ the days that do, with what is here and there.
    pub(super) fn differing(
        &self,
        ranges: &[u32],
        theirs: Vec<(i32, Sum)>,
    ) -> impl Iterator<Item = (i32, Sum, Sum)> + use<> {
        let mut days: BTreeMap<i32, (Sum, Sum)> = BTreeMap::new();
        for (day, sum) in &self.days {
            let range = self.cuts.partition_point(|cut| cut <= day) as u32;
            if ranges.contains(&range) {
                days.entry(*day).or_default().0 = *sum;
            }
        }
        for (day, sum) in theirs {
            days.entry(day).or_default().1 = sum;
        }
        let days = days.into_iter();
        days.filter(|(_, (here, there))| here != there)
            .map(|(day, (here, there))| (day, here, there))
    }
}
