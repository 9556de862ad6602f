//! Rows of a group that wait for their message: the first ones whole, within bounds, and how many there are.

/// Rows that a message may hold.
pub const ROWS_MAX: usize = 1_000;
/// Bytes of the rows that wait; those beyond are counted only.
const BYTES_MAX: usize = 64 << 10;

/// What waits of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many rows came.
    pub count: u64,
    /// Those that are kept, each as its columns' values in JSON.
    pub rows: Vec<Vec<String>>,
    /// What these hold.
    bytes: usize,
}

impl Group {
    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One row more.
    pub fn add(&mut self, row: Vec<String>, rows_max: usize) {
        self.count += 1;
        let bytes = size(&row);
        if self.rows.len() < rows_max && self.bytes + bytes <= BYTES_MAX {
            self.bytes += bytes;
            self.rows.push(row);
        }
    }

    /// As bytes: the count, then each row's values, each behind its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        for value in self.rows.iter().flatten() {
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value.as_bytes());
        }
        bytes
    }

    /// Of bytes whose rows have so many columns. Of a processor that was made anew with other columns only the
    /// count is left where the rows do not come out whole.
    pub fn decode(bytes: &[u8], columns: usize) -> Option<Group> {
        let (count, mut rest) = bytes.split_first_chunk::<8>()?;
        let mut values = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            values.push(String::from_utf8(value.to_vec()).ok()?);
            rest = after;
        }
        let whole = columns > 0 && values.len().is_multiple_of(columns);
        let rows: Vec<Vec<String>> = if whole {
            values.chunks(columns).map(<[String]>::to_vec).collect()
        } else {
            Vec::new()
        };
        Some(Group {
            count: u64::from_le_bytes(*count),
            bytes: rows.iter().map(|row| size(row)).sum(),
            rows,
        })
    }
}

fn size(row: &[String]) -> usize {
    row.iter().map(|value| value.len() + 4).sum()
}

#[cfg(test)]
mod tests;
