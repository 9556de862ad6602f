//! What a plugin may reach by grant: the clock, random bytes, rows of other tables. A plugin that uses
//! one of them is refused unless it was deployed with `--grant`.

/// The node's clock: `deploy --grant clock`.
pub mod clock {
    use crate::scalar::Timestamp;

    /// Now; the same throughout one call.
    pub fn now() -> Timestamp {
        #[cfg(target_family = "wasm")]
        return Timestamp(crate::bindings::imports::activestore::plugin::clock::now());
        #[cfg(not(target_family = "wasm"))]
        {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH);
            Timestamp(since.map_or(0, |since| since.as_nanos() as i64))
        }
    }
}

/// Random bytes: `deploy --grant random`.
pub mod random {
    /// So many random bytes.
    pub fn bytes(count: usize) -> Vec<u8> {
        #[cfg(target_family = "wasm")]
        return chunks(count)
            .flat_map(crate::bindings::imports::activestore::plugin::random::bytes)
            .collect();
        #[cfg(not(target_family = "wasm"))]
        {
            use std::hash::{BuildHasher, Hasher};
            // Each state of the standard library's hash maps has keys of its own.
            let word = || std::hash::RandomState::new().build_hasher().finish();
            (0..count.div_ceil(8))
                .flat_map(|_| word().to_le_bytes())
                .take(count)
                .collect()
        }
    }

    /// What one call after the other asks for.
    #[cfg(target_family = "wasm")]
    fn chunks(count: usize) -> impl Iterator<Item = u32> {
        const AT_ONCE: usize = 65_536;
        (0..count)
            .step_by(AT_ONCE)
            .map(move |start| (count - start).min(AT_ONCE) as u32)
    }
}

/// Rows of other tables: `deploy --grant read:KEYSPACE.TABLE`.
pub mod tables {
    use crate::{Column, Error};

    /// The named columns of the rows with these keys, which are the columns of the table's whole primary
    /// key in its order; null where there is no such row. Outside of the sandbox there are no tables.
    ///
    /// # Errors
    /// `invalid` for a table that was not granted, a column that there is not, or keys of another type.
    pub fn get(
        table: &str,
        rows: usize,
        keys: &[Column],
        columns: &[&str],
    ) -> Result<Vec<Column>, Error> {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        #[cfg(target_family = "wasm")]
        return crate::bindings::imports::activestore::plugin::tables::get(
            table,
            rows as u32,
            keys,
            &columns,
        );
        #[cfg(not(target_family = "wasm"))]
        {
            let _unused = (rows, keys, columns);
            Err(Error::Failed(format!(
                "table {table} can be read in the sandbox only"
            )))
        }
    }
}
