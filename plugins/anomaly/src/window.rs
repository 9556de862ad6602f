//! The last points of a series, in the order of their coming and sorted, so that their median is a look-up
//! and their median absolute deviation a short search. It holds numbers and judges nothing.

use std::collections::VecDeque;

/// The last points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Oldest first.
    points: VecDeque<f64>,
    /// The same points as [`rank`]s, ascending.
    sorted: Vec<i64>,
}

/// A whole number that is ordered as `f64::total_cmp` orders the points. It is its own inverse, see
/// [`point`].
fn rank(point: f64) -> i64 {
    turn(point.to_bits().cast_signed())
}

fn point(rank: i64) -> f64 {
    f64::from_bits(turn(rank).cast_unsigned())
}

/// All bits but the sign are turned over where the number is negative.
fn turn(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Window {
    /// A window of these points, oldest first.
    pub fn of(points: Vec<f64>) -> Self {
        let mut sorted: Vec<i64> = points.iter().map(|point| rank(*point)).collect();
        sorted.sort_unstable();
        Window {
            points: points.into(),
            sorted,
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The points, oldest first, in two parts.
    pub fn parts(&self) -> (&[f64], &[f64]) {
        self.points.as_slices()
    }

    /// The last so many points, oldest first; there are as many.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = f64> {
        let first = self.points.len().saturating_sub(count);
        self.points.range(first..).copied()
    }

    /// The smallest and the largest point; 0 when there are none.
    pub fn ends(&self) -> (f64, f64) {
        match (self.sorted.first(), self.sorted.last()) {
            (Some(first), Some(last)) => (point(*first), point(*last)),
            _ => (0.0, 0.0),
        }
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        8 * (self.points.capacity() + self.sorted.capacity())
    }

    /// Adds a point; the oldest ones go until `most` are left.
    pub fn push(&mut self, value: f64, most: usize) {
        let new = rank(value);
        if self.points.len() == most
            && let Some(old) = self.points.pop_front()
        {
            self.points.push_back(value);
            self.replace(rank(old), new);
            return;
        }
        self.points.push_back(value);
        self.sorted.insert(self.place(new), new);
        while self.points.len() > most.max(1)
            && let Some(old) = self.points.pop_front()
        {
            self.sorted.remove(self.place(rank(old)));
        }
    }

    /// Where the first of the sorted ranks that are not below `rank` stands.
    fn place(&self, rank: i64) -> usize {
        self.sorted.partition_point(|other| *other < rank)
    }

    /// Takes `old` out of the sorted ranks and puts `new` in: only what lies between them moves.
    fn replace(&mut self, old: i64, new: i64) {
        let (from, to) = (self.place(old), self.place(new));
        if to > from {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = new;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = new;
        }
    }

    /// The median; 0 when there are no points.
    pub fn median(&self) -> f64 {
        let middle = self.len() / 2;
        let Some(upper) = self.sorted.get(middle) else {
            return 0.0;
        };
        let upper = point(*upper);
        if self.len() % 2 == 1 {
            return upper;
        }
        f64::midpoint(point(self.sorted[middle - 1]), upper)
    }

    /// The median of the distances from `center`.
    pub fn median_distance(&self, center: f64) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let middle = self.len() / 2;
        let upper = self.distance(middle, center);
        if self.len() % 2 == 1 {
            return upper;
        }
        f64::midpoint(self.distance(middle - 1, center), upper)
    }

    /// The `nth` smallest distance from `center`, counted from 0; `nth` is below the number of points.
    ///
    /// The nearest `nth + 1` points stand side by side among the sorted ones, and the farther end of that
    /// row is the distance: of all rows of so many points it is the one whose farther end is nearest.
    fn distance(&self, nth: usize, center: f64) -> f64 {
        let below = |row: usize| center - point(self.sorted[row]);
        let above = |row: usize| point(self.sorted[row + nth]) - center;
        // The first row whose upper end is the farther one.
        let (mut low, mut high) = (0, self.len() - nth);
        while low < high {
            let middle = low.midpoint(high);
            if above(middle) >= below(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        match (low < self.len() - nth, low > 0) {
            (true, true) => above(low).min(below(low - 1)),
            (true, false) => above(low),
            (false, _) => below(low - 1),
        }
    }

    /// The points' distances from `center`.
    pub fn distances(&self, center: f64) -> impl Iterator<Item = f64> {
        let (first, second) = self.parts();
        let all = first.iter().chain(second);
        all.map(move |point| (point - center).abs())
    }

    /// Whether it is certain, at a glance, that the median of the distances from `center` is `least` or
    /// more: two points a quarter in from the ends are as far away, so half of all are.
    pub fn is_wide(&self, center: f64, least: f64) -> bool {
        let (quarter, half) = (self.len() / 4, self.len() / 2);
        match (self.sorted.get(quarter), self.sorted.get(quarter + half)) {
            (Some(lower), Some(upper)) => {
                center - point(*lower) >= least && point(*upper) - center >= least
            }
            _ => false,
        }
    }

    /// The points in one piece, oldest first.
    pub fn to_vec(&self) -> Vec<f64> {
        let (first, second) = self.parts();
        [first, second].concat()
    }
}

#[cfg(test)]
mod tests;
