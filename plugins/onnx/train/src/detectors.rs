//! The two detectors that are trained on a series: on its leading part alone, whose rows nobody has labelled.

use onnx_graph::Graph;

use crate::autoencoder::Autoencoder;
use crate::export;
use crate::forest::Forest;
use crate::judge::{Judged, Labelled, episodes, judge, quantile};
use crate::series::Series;

/// Of all rows, at most so many hundredths are learnt from.
const LEADING: usize = 30;
/// The autoencoder's threshold, in the greatest errors of rows that it has not learnt.
const MARGIN: f64 = 2.0;
/// The forest's threshold: what so many of the leading rows score below. Not their greatest score: a value beyond
/// all that were learnt falls where the most extreme of them fell, and scores no more.
const QUIET: f64 = 0.99;
/// What the columns of the forest are called, as [`Series::features`] gives them.
const FEATURES: [&str; 6] = [
    "value",
    "hour_change",
    "day_change",
    "day_mean",
    "day_min",
    "day_max",
];

/// A detector as a file.
pub struct Detector {
    /// What it is.
    pub name: &'static str,
    /// The ONNX file. Its score is in thresholds.
    pub artifact: Vec<u8>,
    /// What it is shown of a row.
    pub shown: fn(&Series, usize) -> Vec<f64>,
}

/// The first row that is not learnt from: at most three tenths of all, and none of a labelled window.
pub fn leading_rows(series: &Series, labelled: &[Labelled]) -> usize {
    let most = series.values.len() * LEADING / 100;
    let first = labelled.iter().map(|(from, _)| from.as_str()).min();
    let first = first.and_then(|from| series.times.iter().position(|time| time.as_str() >= from));
    first.map_or(most, |first| first.min(most))
}

/// Trains both on the rows before `end`.
///
/// # Errors
/// A sentence where these are less than three days.
pub fn train(series: &Series, end: usize, seed: u64) -> Result<[Detector; 2], String> {
    let first = series.first();
    let part = end.saturating_sub(first) / 3;
    if part < first || end > series.values.len() {
        return Err("more than three days are needed to learn from".to_owned());
    }
    // The rows that the threshold is taken from follow those that are learnt.
    let learnt = end - part;
    let windows =
        |rows: std::ops::Range<usize>| rows.map(|row| series.window(row)).collect::<Vec<_>>();
    let autoencoder = Autoencoder::train(&windows(first..learnt), seed);
    let errors: Vec<f64> = windows(learnt..end)
        .iter()
        .map(|day| autoencoder.score(day))
        .collect();
    let greatest = quantile(&errors, 1.0).max(f64::from(f32::MIN_POSITIVE));

    let rows: Vec<Vec<f64>> = (first..end).map(|row| series.features(row)).collect();
    let forest = Forest::train(&rows, seed);
    let scores: Vec<f64> = rows.iter().map(|row| forest.score(row)).collect();
    Ok([
        Detector {
            name: "autoencoder",
            artifact: export::autoencoder(&autoencoder, greatest * MARGIN),
            shown: Series::window,
        },
        Detector {
            name: "forest",
            artifact: export::forest(&forest, &FEATURES, quantile(&scores, QUIET)),
            shown: Series::features,
        },
    ])
}

impl Detector {
    /// Its scores from row `first` on, by the file itself.
    ///
    /// # Errors
    /// What tract says of the file.
    pub fn scores(&self, series: &Series, first: usize) -> Result<Vec<f64>, String> {
        let graph = Graph::load(&self.artifact)?;
        let rows = first..series.values.len();
        let count = rows.len();
        let mut columns = vec![Vec::with_capacity(count); graph.inputs.len()];
        for row in rows {
            let shown = (self.shown)(series, row);
            columns
                .iter_mut()
                .zip(shown)
                .for_each(|(column, value)| column.push(value));
        }
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        graph
            .run(count, &columns)
            .map(|mut outputs| outputs.remove(0))
    }

    /// How it does on the rows from `first` on.
    ///
    /// # Errors
    /// As [`Detector::scores`].
    pub fn judged(
        &self,
        series: &Series,
        first: usize,
        labelled: &[Labelled],
    ) -> Result<Judged, String> {
        let scores = self.scores(series, first)?;
        let alarms = episodes(&scores, first, 1.0, series.rows_per_day());
        Ok(judge(series, first, &alarms, labelled))
    }
}
