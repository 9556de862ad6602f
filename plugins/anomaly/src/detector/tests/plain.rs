//! The detector without any cleverness: the window is copied and searched anew for each point. What the
//! fast one says is compared with it.

use super::super::{
    ABSOLUTE_FLOOR, Alarm, MAD_TO_SIGMA, MEAN_AD_TO_SIGMA, RELATIVE_FLOOR, Settings, WANDER,
};

/// The short memory of a series: changes with every point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    /// The last points, oldest first.
    pub points: Vec<f64>,
    /// Points since the last block was closed.
    pub in_block: u32,
    /// Normal points that must still pass before the next alarm.
    pub hold: u32,
    /// Spread of the long window when last looked at; 0 while unknown.
    pub long_spread: f64,
}

/// The long memory of a series, the medians of its blocks, oldest first: changes once per block.
pub type History = Vec<f64>;

impl Recent {
    /// Looks at a point and remembers it. `history` is asked for when a block is full, and is left
    /// as it is to be kept.
    pub fn push<'a>(
        &mut self,
        value: f64,
        settings: &Settings,
        history: impl FnOnce() -> &'a mut History,
    ) -> Option<Alarm> {
        let floor = settings.min_mad.max(WANDER * self.long_spread);
        let spike = judge(value, &self.points, settings.window / 2, floor)
            .filter(|alarm| alarm.score.abs() > settings.threshold);
        self.points.push(value);
        let surplus = self.points.len().saturating_sub(settings.window);
        self.points.drain(..surplus);
        self.in_block += 1;
        let mut alarm = spike;
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

    fn close_block(&mut self, settings: &Settings, history: &mut History) -> Option<Alarm> {
        let block = median(&mut self.points.clone());
        let judged = judge(block, history, settings.history / 3, settings.min_mad);
        if let Some(judged) = judged {
            self.long_spread = spread(judged.median, history, settings.min_mad);
        }
        history.push(block);
        let surplus = history.len().saturating_sub(settings.history);
        history.drain(..surplus);
        judged.filter(|alarm| alarm.score.abs() > settings.level_threshold)
    }
}

/// How far `value` is from the others; `None` while there are too few of them.
fn judge(value: f64, others: &[f64], enough: usize, floor: f64) -> Option<Alarm> {
    if others.len() < enough.max(2) {
        return None;
    }
    let median = median(&mut others.to_vec());
    let score = (value - median) / spread(median, others, floor);
    Some(Alarm {
        value,
        median,
        score,
    })
}

fn spread(center: f64, values: &[f64], floor: f64) -> f64 {
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mut sigma = MAD_TO_SIGMA * median(&mut deviations);
    if sigma == 0.0 {
        // More than half of the values are the same: a counter, a coarse sensor.
        let sum: f64 = deviations.iter().sum();
        sigma = MEAN_AD_TO_SIGMA * sum / deviations.len().max(1) as f64;
    }
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
