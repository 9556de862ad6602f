//! A table function: rows from constants. Build, try and deploy it:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE TABLE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'; SELECT * FROM @FUNCTION@(1.0, 2.0)"
//! ```

activestore_plugin::table! {
    /// Numbers from the first to the last, one apart; the first alone where there is no last.
    fn @FUNCTION@(first: f64, last: Option<f64>) -> (n: i64, x: f64) {
        let last = last.unwrap_or(first);
        if !(last - first).is_finite() {
            return Err(format!("{first} to {last} is no range"));
        }
        let rows = (0..)
            .map(move |n| (n, first + n as f64))
            .take_while(move |(_, x)| *x <= last);
        Ok(Box::new(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_among_them() {
        let rows: Vec<_> = @FUNCTION@(0.5, Some(2.5)).unwrap().collect();
        assert_eq!(rows, [(0, 0.5), (1, 1.5), (2, 2.5)]);
        assert_eq!(@FUNCTION@(7.0, None).unwrap().count(), 1);
        assert!(@FUNCTION@(0.0, Some(f64::INFINITY)).is_err());
    }
}
