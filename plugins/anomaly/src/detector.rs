//! The detector for one series: a Hampel identifier on two scales.
//!
//! A *spike* is a point far from the median of the last `window` points, in units of their median
//! absolute deviation (MAD). A *level shift* is a block of `window` points whose median is far from
//! those of the last `history` blocks, in units of their MAD: so a drift that is slow enough to carry
//! the short window along is seen as well. A signal that wanders makes short windows look calmer than
//! it is; half of the spread between blocks is therefore the least that counts as a point's spread.
//!
//! Hampel, "The influence curve and its role in robust estimation", 1974; the fallback for a MAD of
//! zero is that of Iglewicz and Hoaglin, "How to detect and handle outliers", 1993.
//!
//! It knows neither time nor keys nor where its memory is kept.

use crate::window::Window;

/// Makes the MAD of normally distributed values their standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// Makes the mean absolute deviation of normally distributed values their standard deviation.
const MEAN_AD_TO_SIGMA: f64 = 1.2533;
/// How much of the spread between blocks is the least spread of a point.
const WANDER: f64 = 0.5;
/// Least spread, as a part of the median: below it sensors only resolve noise.
const RELATIVE_FLOOR: f64 = 0.005;
/// Least spread of all, against division by zero.
const ABSOLUTE_FLOOR: f64 = 1e-12;
/// What the glance at a window demands above what would do.
const MARGIN: f64 = 1.0 + 1e-9;

/// What counts as abnormal.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Points in the short window and in a block.
    pub window: usize,
    /// How many spreads a point may be away.
    pub threshold: f64,
    /// Blocks in the long window.
    pub history: usize,
    /// How many spreads a block may be away; 0 looks at points only.
    pub level_threshold: f64,
    /// Least spread, in the signal's own unit.
    pub min_mad: f64,
    /// Normal points after which an alarm may be raised again.
    pub rearm: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            window: 60,
            threshold: 6.0,
            history: 168,
            level_threshold: 4.0,
            min_mad: 0.0,
            rearm: 60,
        }
    }
}

/// The short memory of a series: changes with every point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    /// The last points.
    pub points: Window,
    /// Points since the last block was closed.
    pub in_block: u32,
    /// Normal points that must still pass before the next alarm.
    pub hold: u32,
    /// Spread of the long window when last looked at; 0 while unknown.
    pub long_spread: f64,
}

/// The long memory of a series, the medians of its blocks, oldest first: changes once per block.
pub type History = Vec<f64>;

/// A point or a block that is not normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// The point's value, or the block's median.
    pub value: f64,
    /// The median that it was compared with.
    pub median: f64,
    /// How many spreads it is away; negative when below.
    pub score: f64,
}

impl Recent {
    /// Looks at a point and remembers it. `history` is asked for when a block is full, and is left
    /// as it is to be kept.
    pub fn push<'a>(
        &mut self,
        value: f64,
        settings: &Settings,
        history: impl FnOnce() -> &'a mut History,
    ) -> Option<Alarm> {
        let mut alarm = self.spike(value, settings);
        self.points.push(value, settings.window);
        self.in_block += 1;
        if settings.level_threshold > 0.0 && self.in_block as usize >= settings.window {
            self.in_block = 0;
            let shift = self.close_block(settings, history());
            alarm = alarm.or(shift);
        }
        match alarm {
            Some(_) => {
                let silent = self.hold > 0;
                self.hold = settings.rearm as u32;
                alarm.filter(|_| !silent)
            }
            None => {
                self.hold = self.hold.saturating_sub(1);
                None
            }
        }
    }

    /// Whether a block is closed within the next `points`.
    pub fn closes_within(&self, points: usize, settings: &Settings) -> bool {
        settings.level_threshold > 0.0 && self.in_block as usize + points >= settings.window
    }

    /// The alarm for a point that is too far from the others. Most points are seen to be near at a glance.
    fn spike(&self, value: f64, settings: &Settings) -> Option<Alarm> {
        if self.points.len() < (settings.window / 2).max(2) {
            return None;
        }
        let median = self.points.median();
        let floor = settings.min_mad.max(WANDER * self.long_spread);
        let distance = (value - median).abs();
        if distance.is_finite() {
            // The spread is at least this: whoever is near by this measure is near.
            if distance / least_spread(0.0, median, floor) <= settings.threshold {
                return None;
            }
            // The same, were the MAD this. The margin is far above what rounding can take away.
            let enough = distance / (settings.threshold * MAD_TO_SIGMA) * MARGIN;
            if enough > f64::MIN_POSITIVE && self.points.is_wide(median, enough) {
                return None;
            }
        }
        let mut sigma = MAD_TO_SIGMA * self.points.median_distance(median);
        if sigma == 0.0 {
            // More than half of the points are the same: a counter, a coarse sensor.
            let about =
                mean_spread(self.points.distances(median).sum(), self.points.len()) / MARGIN;
            if distance / least_spread(about, median, floor) <= settings.threshold {
                return None;
            }
            sigma = ordered_mean_spread(median, &self.points.to_vec());
        }
        let score = (value - median) / least_spread(sigma, median, floor);
        (score.abs() > settings.threshold).then_some(Alarm {
            value,
            median,
            score,
        })
    }

    fn close_block(&mut self, settings: &Settings, history: &mut History) -> Option<Alarm> {
        let block = self.points.median();
        let judged = (history.len() >= (settings.history / 3).max(2)).then(|| {
            let median = median(&mut history.clone());
            let spread = spread(median, history, settings.min_mad);
            self.long_spread = spread;
            Alarm {
                value: block,
                median,
                score: (block - median) / spread,
            }
        });
        history.push(block);
        let surplus = history.len().saturating_sub(settings.history);
        history.drain(..surplus);
        judged.filter(|alarm| alarm.score.abs() > settings.level_threshold)
    }
}

/// The spread of values around their median.
fn spread(center: f64, values: &[f64], floor: f64) -> f64 {
    let mut distances: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mut sigma = MAD_TO_SIGMA * median(&mut distances);
    if sigma == 0.0 {
        sigma = mean_spread(distances.iter().sum(), distances.len());
    }
    least_spread(sigma, center, floor)
}

/// What the spread of many equal values is told by: their mean distance from the median.
fn mean_spread(sum: f64, count: usize) -> f64 {
    MEAN_AD_TO_SIGMA * sum / count.max(1) as f64
}

/// The same. The last digit of a sum depends on its order: this is the order that the search for the median
/// leaves, in which the sum was made before windows were sorted; so no alarm has changed.
fn ordered_mean_spread(center: f64, values: &[f64]) -> f64 {
    let mut distances: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    median(&mut distances);
    mean_spread(distances.iter().sum(), distances.len())
}

fn least_spread(sigma: f64, center: f64, floor: f64) -> f64 {
    sigma
        .max(floor)
        .max(RELATIVE_FLOOR * center.abs())
        .max(ABSOLUTE_FLOOR)
}

/// The median; reorders the values. 0 when there are none.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp);
    f64::midpoint(lower.unwrap_or(upper), upper)
}

#[cfg(test)]
mod tests;
