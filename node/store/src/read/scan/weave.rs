//! Rows of one partition that come from several files in turn, merged by the one number that tells them
//! apart. Nothing is looked at but those numbers, so a row costs a few comparisons of integers.

use std::ops::Range;

use arrow::buffer::ScalarBuffer;

use crate::read::copy::Span;
use crate::read::keys::ordered;

/// A run shorter than this is worth looking for others that it alternates with.
pub(super) const SHORT_RUN: usize = 8;

/// The next rows of one source, all of the partition, all showing, each the only one of its key there.
pub(crate) struct Strand {
    /// Which source.
    pub(super) source: usize,
    /// The piece of its vector.
    pub(super) piece: usize,
    pub(super) values: ScalarBuffer<i64>,
    pub(super) descending: bool,
    /// Still to come.
    pub(super) rows: Range<usize>,
    /// Handed out.
    pub(super) taken: usize,
}

impl Strand {
    /// The number of the next row, made to be ascending in the direction of the scan.
    fn next(&self, reverse: bool) -> Option<u64> {
        let row = if reverse {
            self.rows.end.checked_sub(1)?
        } else {
            self.rows.start
        };
        if self.rows.is_empty() {
            return None;
        }
        let value = ordered(*self.values.get(row)?, self.descending);
        Some(if reverse { !value } else { value })
    }

    /// Takes the rows whose numbers lie below a bound, up to so many.
    fn take_below(&mut self, bound: u64, room: usize, reverse: bool) -> Span {
        let mut rows = 1;
        let first = self.rows.clone();
        self.pass(reverse);
        while rows < room && self.next(reverse).is_some_and(|value| value < bound) {
            self.pass(reverse);
            rows += 1;
        }
        self.taken += rows;
        Span {
            piece: self.piece,
            start: if reverse { self.rows.end } else { first.start },
            rows,
            reverse,
        }
    }

    /// The numbers of the rows still to come, as [`Strand::next`] gives them.
    fn keys(&self, reverse: bool) -> Vec<u64> {
        let values = self.values.get(self.rows.clone()).unwrap_or(&[]);
        let key = |value: &i64| ordered(*value, self.descending);
        if reverse {
            values.iter().rev().map(|value| !key(value)).collect()
        } else {
            values.iter().map(key).collect()
        }
    }

    fn pass_many(&mut self, rows: usize, reverse: bool) {
        self.taken += rows;
        if reverse {
            self.rows.end -= rows;
        } else {
            self.rows.start += rows;
        }
    }

    /// All rows that were handed out, together.
    pub(super) fn span(&self, reverse: bool) -> Option<Span> {
        let start = if reverse {
            self.rows.end
        } else {
            self.rows.start - self.taken
        };
        (self.taken > 0).then_some(Span {
            piece: self.piece,
            start,
            rows: self.taken,
            reverse,
        })
    }

    fn pass(&mut self, reverse: bool) {
        if reverse {
            self.rows.end -= 1;
        } else {
            self.rows.start += 1;
        }
    }
}

/// Hands out rows in order until one strand ends, two rows have one key, or there is no more room.
pub(super) fn weave(
    strands: &mut [Strand],
    mut room: usize,
    reverse: bool,
    mut take: impl FnMut(Span),
) {
    let heads = strands.iter().map(|strand| strand.next(reverse));
    let Some(mut heads) = heads.collect::<Option<Vec<u64>>>() else {
        return;
    };
    while room > 0 {
        let (mut least, mut at, mut second) = (u64::MAX, 0, u64::MAX);
        for (place, head) in heads.iter().enumerate() {
            if *head < least {
                (second, least, at) = (least, *head, place);
            } else {
                second = second.min(*head);
            }
        }
        // The greatest number of all is left to the general case, too.
        if least == second {
            return;
        }
        let (Some(strand), Some(head)) = (strands.get_mut(at), heads.get_mut(at)) else {
            return;
        };
        let span = strand.take_below(second, room, reverse);
        room -= span.rows;
        take(span);
        match strand.next(reverse) {
            Some(next) => *head = next,
            // What comes next from this source is not known yet.
            None => return,
        }
    }
}

/// As [`weave`], but strand by strand, which is worth it where they take turns row by row: that no
/// two rows have one key is then seen by comparing each row with the one before and the one behind.
pub(super) fn weave_in_any_order(
    strands: &mut [Strand],
    room: usize,
    reverse: bool,
    spans: &mut Vec<Span>,
) {
    let rounds = rounds(strands, room, reverse);
    for strand in &mut *strands {
        strand.pass_many(rounds, reverse);
    }
    let room = room - rounds * strands.len();
    weave(strands, room, reverse, |_| {});
    spans.extend(strands.iter().filter_map(|strand| strand.span(reverse)));
}

/// How often in a row the strands give one row each, in the same order and with no key twice. Each strand
/// keeps a row behind them.
fn rounds(strands: &[Strand], room: usize, reverse: bool) -> usize {
    let keys = strands.iter().map(|strand| strand.keys(reverse));
    let mut turns: Vec<Vec<u64>> = keys.collect();
    turns.sort_unstable_by_key(|keys| keys.first().copied());
    let fewest = turns.iter().map(Vec::len).min().unwrap_or(0);
    let mut rounds = fewest.saturating_sub(1).min(room / turns.len().max(1));
    let pairs = turns.windows(2).filter_map(|pair| match pair {
        [before, behind] => Some((before.as_slice(), behind.as_slice())),
        _ => None,
    });
    let last_to_first = match (turns.last(), turns.first()) {
        (Some(last), Some(first)) => Some((last.as_slice(), first.get(1..).unwrap_or(&[]))),
        _ => None,
    };
    for (before, behind) in pairs.chain(last_to_first) {
        let ascending = |(before, behind): (&u64, &u64)| before < behind;
        rounds = leading(before.iter().zip(behind).take(rounds).map(ascending));
    }
    // Behind the last round a strand may have more rows that come before another's of that round.
    rounds.saturating_sub(1)
}

/// How many are true before the first that is not; they mostly all are.
fn leading(mut all: impl Iterator<Item = bool>) -> usize {
    let mut count = 0;
    while all.next() == Some(true) {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests;
