//! Aggregates for readings that SQL does not have: means that respect what is averaged, and what a
//! counter counted.

mod means;
mod series;

use activestore_plugin::scalar::Timestamp;

use means::{Directions, Logarithms, Squares};
use series::{Counter, Steps};

activestore_plugin::aggregate! {
    /// Root mean square; null of no rows.
    fn rms(x: f64) -> Option<f64> = Squares, retract;

    /// Geometric mean; null of no rows, and where any value is not above zero.
    fn geometric_mean(x: f64) -> Option<f64> = Logarithms;

    /// Mean direction of angles in degrees, from 0 to below 360; null of no rows, and where the
    /// directions cancel each other out.
    fn circular_mean(degrees: f64) -> Option<f64> = Directions, retract;

    /// Mean of a value that holds until the next reading, weighted by how long it held: rows that come
    /// unevenly do not bend it. The last reading has no weight; of one moment, the mean of its rows.
    fn time_weighted_mean(x: f64, ts: Timestamp) -> Option<f64> = Steps;

    /// How much a counter rose in order of time; a fall is a restart from zero.
    fn counter_increase(x: f64, ts: Timestamp) -> Option<f64> = Counter;
}

#[cfg(test)]
mod tests;
