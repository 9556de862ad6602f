//! Functions that try what a plugin may do beside computing, to test that the host keeps to it. It is never
//! shipped.

use activestore_plugin::scalar::Timestamp;
use activestore_plugin::{Column, clock, random, tables};

activestore_plugin::scalar! {
    fn twice_number as twice(x: f64) -> f64 { 2.0 * x }
    fn twice_integer as twice(x: i64) -> i64 { 2 * x }
    fn twice_text as twice(x: &str) -> String { x.repeat(2) }

    fn less(from: f64, take: f64) -> f64 { from - take }

    /// The node's clock; the same in every row of a call.
    fn moment(_row: i64) -> Timestamp { clock::now() }

    /// A random number of so many bytes, in hexadecimal digits.
    fn dice(bytes: i64) -> String {
        random::bytes(bytes as usize).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A column of the row with this key; null where there is none.
    fn look_up(table: &str, key: Option<&str>, column: &str) -> Result<Option<f64>, String> {
        let keys = Column {
            validity: key.is_none().then(|| vec![0]),
            ..Column::text([key.unwrap_or_default()])
        };
        let found = tables::get(table, 1, &[keys], &[column]).map_err(|error| error.to_string())?;
        Ok(found[0].number(0))
    }
}
