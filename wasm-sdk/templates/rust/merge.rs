//! A merge function: joins two values of one cell that were written on two nodes. Build, try and deploy it:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE MERGE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'"
//! activestore sql -c "ALTER TABLE plant.extremes SET (sync = 'both', merge_peak = '@FUNCTION@')"
//! ```
//!
//! Whatever the order in which nodes hear of each other's values, and however often, all must end with the
//! same: `plugin test` and the node try it out, and name the values where it is not so.

activestore_plugin::merge! {
    /// The greater of two numbers.
    fn @FUNCTION@(left: f64, right: f64) -> f64 {
        left.max(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_number_stays() {
        assert_eq!((@FUNCTION@(1.0, 2.0), @FUNCTION@(2.0, 1.0)), (2.0, 2.0));
        assert_eq!(@FUNCTION@(3.0, 3.0), 3.0);
    }
}
