//! Sorted lists of numbers, and whether they have any in common.

/// Rows that are passed together where they all come before the other's next one.
const STEP_ROWS: usize = 8;

/// Whether each number lies below the other's of the same place, and at most the last has no such other.
pub(super) fn precede(before: &[u64], behind: &[u64]) -> bool {
    let mut pairs = before.iter().zip(behind);
    let even = before.len() == behind.len() || before.len() == behind.len() + 1;
    even && pairs.all(|(before, behind)| before < behind)
}

/// Whether two lists can have no number in common, since each rises by equal steps: rows that come every ten seconds, from
/// the first second on, never meet those from the sixth on.
pub(super) fn never_meet(one: &[u64], other: &[u64]) -> bool {
    let (Some((first, step)), Some((others, other_step))) = (steps(one), steps(other)) else {
        return false;
    };
    let (mut large, mut small) = (step.max(other_step), step.min(other_step));
    while small > 0 {
        (large, small) = (small, large % small);
    }
    large > 0 && first.abs_diff(others) % large != 0
}

/// The first of some numbers and by how much each of the others is above the one before it, where that is one number.
fn steps(numbers: &[u64]) -> Option<(u64, u64)> {
    let (first, rest) = numbers.split_first()?;
    let step = rest.first()?.wrapping_sub(*first);
    let pairs = numbers.iter().zip(rest);
    // Without a way out in the midst, which takes several at once.
    let uneven = pairs.fold(0, |any, (before, number)| {
        any | (number.wrapping_sub(*before) ^ step)
    });
    (uneven == 0).then_some((*first, step))
}

/// Whether two sorted lists have a number in common.
pub(super) fn meet(one: &[u64], other: &[u64]) -> bool {
    let (mut left, mut right) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(left), other.get(right)) {
        if one.get(left + STEP_ROWS).is_some_and(|far| far < b) {
            left += STEP_ROWS;
            continue;
        }
        if other.get(right + STEP_ROWS).is_some_and(|far| far < a) {
            right += STEP_ROWS;
            continue;
        }
        if a == b {
            return true;
        }
        // Without a branch: which comes next is anyone's guess.
        left += usize::from(a < b);
        right += usize::from(b < a);
    }
    false
}

#[cfg(test)]
mod tests;
