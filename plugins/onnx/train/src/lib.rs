//! Trains two small detectors on the leading part of a series of readings, exports them to ONNX files that the
//! plugin `onnx` runs, and judges them on the rest beside the detector of the plugin `anomaly`.
//!
//! It learns without labels: an autoencoder of a day's readings, and an isolation forest. The same readings and
//! seed make the same files, byte for byte.

#![deny(missing_docs)]

pub mod autoencoder;
pub mod detectors;
pub mod export;
pub mod forest;
pub mod judge;
pub mod random;
pub mod series;

#[cfg(test)]
mod tests;
