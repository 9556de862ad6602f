//! Ranges of places as they travel.

use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// Ranges of places that rise and do not overlap, packed: the differences between bounds, each without the zero bits at
/// its end and with their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRanges(pub(super) Vec<u128>);

impl PackedRanges {
    /// Packs them.
    pub fn pack(ranges: &[(u64, u64)]) -> Self {
        let mut last = 0;
        let bounds = ranges.iter().flat_map(|(low, high)| [*low, *high]);
        let packed = bounds.map(|bound| {
            let step = bound.wrapping_sub(last);
            last = bound;
            match step {
                0 => 0,
                step => {
                    let zeros = step.trailing_zeros();
                    (u128::from(step >> zeros) << 6) | u128::from(zeros)
                }
            }
        });
        PackedRanges(packed.collect())
    }

    /// Unpacks them.
    ///
    /// # Errors
    /// `Invalid` where they do not rise.
    pub fn unpack(&self) -> Result<Vec<(u64, u64)>> {
        let wrong = || Error::invalid("ranges of rows do not rise");
        let mut last: u64 = 0;
        let mut bounds = Vec::with_capacity(self.0.len());
        for packed in &self.0 {
            let zeros = (packed & 63) as u32;
            let step = u64::try_from(packed >> 6).map_err(|_| wrong())?;
            if step.leading_zeros() < zeros {
                return Err(wrong());
            }
            last = last.checked_add(step << zeros).ok_or_else(wrong)?;
            bounds.push(last);
        }
        let pairs = bounds.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(wrong());
        }
        let ranges = pairs.filter_map(|pair| match pair {
            [low, high] => Some((*low, *high)),
            _ => None,
        });
        Ok(ranges.collect())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
