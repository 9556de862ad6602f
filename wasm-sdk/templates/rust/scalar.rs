//! Functions for SQL. Build, try and deploy them:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'"
//! ```

activestore_plugin::scalar! {
    /// The mean of two readings; null where one is null.
    fn @FUNCTION@(a: f64, b: f64) -> f64 {
        (a + b) / 2.0
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_mean_lies_between() {
        assert_eq!(super::@FUNCTION@(1.0, 3.0), 2.0);
    }
}
