//! Aggregates for SQL. Build, try and deploy them:
//!
//! ```text
//! activestore plugin build
//! activestore plugin test @NAME@.wasm --rows rows.csv
//! activestore plugin deploy @NAME@.wasm
//! activestore sql -c "CREATE AGGREGATE @FUNCTION@ USING PLUGIN '@NAME@'"
//! ```

use activestore_plugin::Group;

/// What is known of one group of rows: the lowest and the highest value.
#[derive(Default)]
struct Bounds(Option<(f64, f64)>);

impl Bounds {
    /// A row of the group. Rows come in any order; those with a null do not come.
    fn update(&mut self, x: f64) {
        let (low, high) = self.0.unwrap_or((x, x));
        self.0 = Some((low.min(x), high.max(x)));
    }

    /// The group's value; null of no rows.
    fn finish(&self) -> Option<f64> {
        self.0.map(|(low, high)| high - low)
    }
}

/// A group's rows may be spread over threads and nodes: what each knows is sent as bytes and merged.
impl Group for Bounds {
    fn merge(&mut self, other: Self) {
        if let Some((low, high)) = other.0 {
            self.update(low);
            self.update(high);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some((low, high)) = self.0 {
            out.extend(low.to_le_bytes());
            out.extend(high.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.as_chunks::<8>() {
            ([], []) => Some(Bounds(None)),
            ([low, high], []) => Some(Bounds(Some((
                f64::from_le_bytes(*low),
                f64::from_le_bytes(*high),
            )))),
            _ => None,
        }
    }
}

activestore_plugin::aggregate! {
    /// How far apart the lowest and the highest value are.
    fn @FUNCTION@(x: f64) -> Option<f64> = Bounds;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole() {
        let mut bytes = Vec::new();
        let mut part = Bounds::default();
        part.update(7.0);
        part.encode(&mut bytes);
        let mut whole = Bounds::default();
        whole.update(3.0);
        whole.merge(Bounds::decode(&bytes).unwrap());
        whole.merge(Bounds::default());
        assert_eq!(whole.finish(), Some(4.0));
    }
}
