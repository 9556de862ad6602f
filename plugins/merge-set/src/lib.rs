//! Joins two sets into their union, and two counters of many nodes into one. Sets are JSON arrays or words
//! between commas; a counter is a JSON object with what each node has counted. What is kept is sorted, so that
//! equal sets are equal texts.

mod counter;
mod set;

activestore_plugin::merge! {
    /// The union of two JSON arrays: each element once, in the order of their texts. An empty text is an empty
    /// set.
    fn set_union(left: &str, right: &str) -> Result<String, String> {
        set::array(left, right)
    }

    /// The union of words between commas, in the order of their bytes.
    fn words_union(left: &str, right: &str) -> String {
        set::words(left, right)
    }

    /// JSON objects with whole numbers: for each key the greater one. Each node counts under a key of its own,
    /// and what all have counted is the sum.
    fn max_by_key(left: &str, right: &str) -> Result<String, String> {
        counter::max_by_key(left, right)
    }
}

#[cfg(test)]
mod tests;
