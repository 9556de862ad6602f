//! One measure for all detectors: which labelled windows hold an alarm, and how many alarms lie outside.

use anomaly::detector::{History, Recent, Settings};

use crate::series::Series;

/// A stretch of time that people have labelled as abnormal: from, to.
pub type Labelled = (String, String);

/// How a detector did on the rows that it was judged on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Rows that were judged.
    pub rows: usize,
    /// Labelled windows in them.
    pub windows: usize,
    /// Windows with an alarm.
    pub found: usize,
    /// Alarms outside of all windows.
    pub outside: usize,
}

impl Judged {
    /// Alarms outside of the windows for 1,000 rows.
    pub fn false_per_1000(&self) -> f64 {
        self.outside as f64 * 1000.0 / self.rows.max(1) as f64
    }
}

/// Judges alarms from row `first` on; those before do not count.
pub fn judge(series: &Series, first: usize, alarms: &[usize], labelled: &[Labelled]) -> Judged {
    let mut inside = vec![0_usize; labelled.len()];
    let mut outside = 0;
    for row in alarms.iter().filter(|row| **row >= first) {
        let time = series.times[*row].as_str();
        let holds = |(from, to): &Labelled| from.as_str() <= time && time <= to.as_str();
        match labelled.iter().position(holds) {
            Some(window) => inside[window] += 1,
            None => outside += 1,
        }
    }
    Judged {
        rows: series.values.len() - first,
        windows: labelled.len(),
        found: inside.iter().filter(|alarms| **alarms > 0).count(),
        outside,
    }
}

/// The rows at which an episode of scores above the threshold begins; it ends after `rearm` rows below.
/// `scores` begins at row `first`.
pub fn episodes(scores: &[f64], first: usize, threshold: f64, rearm: usize) -> Vec<usize> {
    let (mut alarms, mut hold) = (Vec::new(), 0_usize);
    for (place, score) in scores.iter().enumerate() {
        if *score > threshold {
            if hold == 0 {
                alarms.push(first + place);
            }
            hold = rearm;
        } else {
            hold = hold.saturating_sub(1);
        }
    }
    alarms
}

/// The alarms of the `anomaly` plugin's detector with its defaults, which learns as it goes.
pub fn detector_alarms(series: &Series) -> Vec<usize> {
    let (mut recent, mut history) = (Recent::default(), History::new());
    let settings = Settings::default();
    let mut alarms = Vec::new();
    for (row, value) in series.values.iter().enumerate() {
        if recent.push(*value, &settings, || &mut history).is_some() {
            alarms.push(row);
        }
    }
    alarms
}

/// The score that so many of all scores are below: `part` from 0 to 1.
pub fn quantile(scores: &[f64], part: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted
        .get(place.round() as usize)
        .copied()
        .unwrap_or(f64::INFINITY)
}
